"""Several input topics: nothing new is taken while any held partition is behind what was committed of it.

A user's events come from partition n of every topic. What a loss of power took of them is replayed up to the committed
offsets; were something new of one topic taken before another one is there, a list would go out that knows less than
one before it, under a version that was published before. So what is new is put back, and comes again when all is there.

A partition has caught up when a record shows it, or its end: the committed offset may stand behind a transaction's
control record or a gap, where no record ever comes.
"""

from collections.abc import Sequence

from consumers.records import Record

Key = tuple[str, int]


class CatchingUp:
    """Which of the held partitions are behind, and which wait for them."""

    def __init__(self) -> None:
        self._targets: dict[Key, int] = {}
        self._waiting: set[Key] = set()

    @property
    def is_behind(self) -> bool:
        """Whether any partition is behind."""
        return bool(self._targets)

    @property
    def waiting(self) -> frozenset[Key]:
        """The partitions that something was put back of, as long as any other is behind."""
        return frozenset(self._waiting if self._targets else ())

    def begin(self, key: Key, start: int, target: int) -> None:
        """A partition is read from `start` on, anew or for the first time; it is behind until `target` (exclusive)."""
        self.let_go(key)
        if start < target:
            self._targets[key] = target

    def let_go(self, key: Key) -> None:
        """A partition is no longer held."""
        self._targets.pop(key, None)
        self._waiting.discard(key)

    def reached(self, key: Key, offset: int) -> None:
        """Everything of a partition below this offset was read."""
        if offset >= self._targets.get(key, offset + 1):
            del self._targets[key]

    def sorted(self, records: Sequence[Record]) -> tuple[list[Record], dict[Key, int]]:
        """Of records read while a partition was behind: what to take of them, and where to put the others back to."""
        old = [record for record in records if record.replayed]
        new = [record for record in records if not record.replayed]
        for record in records:
            self.reached((record.topic, record.partition), record.offset + 1)
        if not self._targets:
            # What is replayed comes first, so that a user's last event is a new one where there is any.
            self._waiting.clear()
            return old + new, {}
        put_back: dict[Key, int] = {}
        for record in new:
            put_back.setdefault((record.topic, record.partition), record.offset)
        self._waiting |= put_back.keys()
        return old, put_back
