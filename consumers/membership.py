"""What the group's assignments mean for the store: where its markers stand, and that partition counts still hold."""

from collections.abc import Callable, Mapping, Sequence

import stamina

from recommender.store import Store, StoreMismatchError, StoreUnavailableError


class Membership:
    """The source's listener. A store that is away is asked again for `retry_limit_s`, in seconds."""

    def __init__(self, store: Store, retry_limit_s: float, drop_caches: Callable[[], None]) -> None:
        self._store = store
        self._retry_limit_s = retry_limit_s
        self._drop_caches = drop_caches

    def markers(self, sources: Sequence[str]) -> Mapping[str, int]:
        """See `Listener.markers`."""
        read = stamina.retry(on=StoreUnavailableError, attempts=None, timeout=self._retry_limit_s)(self._store.read)
        return read([], sources).markers

    def partitions_seen(self, counts: Mapping[str, int]) -> None:
        """See `Listener.partitions_seen`.

        Raises:
            StoreMismatchError: a topic has another number of partitions than when the store was made.
        """
        self._store.remember_partitions(counts)
        for topic, count in counts.items():
            if (stored := self._store.settings.partitions[topic]) != count:
                raise StoreMismatchError(
                    f"{topic} has {count} partitions, the store was made with {stored}: users would move between "
                    "partitions; make a new topic with the new count, and replay it into a new store"
                )

    def partitions_changed(self) -> None:
        """See `Listener.partitions_changed`."""
        self._drop_caches()
