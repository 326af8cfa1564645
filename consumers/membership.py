"""What the group's assignments mean for the store: where its markers stand, and that partition counts still hold."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import stamina

from recommender.store import Store, StoreMismatchError, StoreUnavailableError

Answer = TypeVar("Answer")


class Membership:
    """The source's listener. A store that is away is asked again for `retry_limit_s`, in seconds.

    Nobody polls meanwhile: `waits` is called each time it did not answer, as a sign of life. `check_tenure` raises
    where the store is no longer the one to use.
    """

    def __init__(
        self,
        store: Store,
        retry_limit_s: float,
        drop_caches: Callable[[], None],
        check_tenure: Callable[[], None] = lambda: None,
        waits: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._retry_limit_s = retry_limit_s
        self._drop_caches = drop_caches
        self._check_tenure = check_tenure
        self._waits = waits

    def markers(self, sources: Sequence[str]) -> Mapping[str, int]:
        """See `Listener.markers`."""
        # Only now, with the partitions given to us: whoever had them before may have gone on with a newer store.
        self._asked(self._check_tenure)
        return self._asked(lambda: self._store.read([], sources)).markers

    def partitions_seen(self, counts: Mapping[str, int]) -> None:
        """See `Listener.partitions_seen`.

        Raises:
            StoreMismatchError: a topic has another number of partitions than when the store was made.
        """
        self._asked(lambda: self._store.remember_partitions(counts))
        for topic, count in counts.items():
            if (stored := self._store.settings.partitions[topic]) != count:
                raise StoreMismatchError(
                    f"{topic} has {count} partitions, the store was made with {stored}: users would move between "
                    "partitions; make a new topic with the new count, and `tastestream rebuild` from it"
                )

    def partitions_changed(self) -> None:
        """See `Listener.partitions_changed`."""
        self._drop_caches()

    def _asked(self, ask: Callable[[], Answer]) -> Answer:
        def ask_now() -> Answer:
            try:
                return ask()
            except StoreUnavailableError:
                self._waits()
                raise

        return stamina.retry(on=StoreUnavailableError, attempts=None, timeout=self._retry_limit_s)(ask_now)()
