"""How a new store is filled: from where its markers stand, up to what is committed, with markers that never lie."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import cast

import pytest
import stamina

from consumers.handler import Handler
from consumers.rebuild_feed import Key, Positions, RebuildFeed, Targets
from consumers.rebuild_filling import SWITCH_LAG_RECORDS, Filling
from consumers.records import Batch, GapError, Record
from consumers.settings_sections import LimitSettings
from recommender.memory_store import MemoryStore
from recommender.store import StateWrite, StoreSettings, StoreUnavailableError

FIRST, SECOND = ("ratings", 0), ("ratings", 1)
LIMITS = LimitSettings(batch_max_records=100)


class Feed:
    """Two partitions with as many records as asked for; every look at the targets may find more committed."""

    keys: tuple[Key, ...] = (FIRST, SECOND)

    def __init__(self, *committed: Positions, lows: Positions | None = None) -> None:
        self._committed = list(committed)
        self._lows = lows or {}
        self.next: dict[Key, int] = {}

    def source(self, key: Key) -> str:
        return f"id:{key[1]}"

    def low(self, key: Key) -> int:
        return self._lows.get(key, 0)

    def targets(self) -> Targets:
        found = self._committed.pop(0) if len(self._committed) > 1 else self._committed[0]
        return Targets(found, frozenset())

    def start(self, positions: Positions) -> None:
        self.next = dict(positions)

    def lag(self, targets: Targets) -> int:
        return sum(max(0, offset - self.next[key]) for key, offset in targets.offsets.items())

    def records(self, records_max: int) -> list[Record]:
        found = []
        for key in self.keys:
            offset = self.next[key]
            found += [
                Record(*key, offset + n, self.source(key), None, None, replayed=True) for n in range(records_max // 2)
            ]
            self.next[key] += records_max // 2
        return found


class Applied:
    """A handler that notes what it is given, after these errors."""

    def __init__(self, *errors: Exception) -> None:
        self.batches: list[Batch] = []
        self._errors = list(errors)

    def handle(self, batch: Batch) -> list[object]:
        if self._errors:
            raise self._errors.pop(0)
        self.batches.append(batch)
        return []

    def offsets(self, key: Key) -> list[int]:
        return [r.offset for batch in self.batches for r in batch.records if (r.topic, r.partition) == key]


@contextmanager
def bars(_description: str) -> Iterator[object]:
    yield lambda *_: None


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    stamina.set_testing(True, attempts=5)
    yield
    stamina.set_testing(False)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(StoreSettings("integer", 0.5, 5.0, "rule"))


def filling(store: MemoryStore, feed: Feed, handler: Applied | None = None) -> Filling:
    return Filling(store, cast("RebuildFeed", feed), cast("Handler", handler or Applied()), LIMITS)


def nobody_knows(_lows: Mapping[str, int]) -> int | None:
    return None


def run(made: Filling) -> Targets:
    made.begin({}, nobody_knows)
    return made.catch_up(bars)  # type: ignore[arg-type]


def test_it_reads_from_the_markers_to_what_is_committed(store: MemoryStore) -> None:
    """Law: every offset above a marker, or from 0 on without one, comes once and in order; all of what is committed."""
    store.write(StateWrite({"id:0": 41}, []))
    handler = Applied()
    run(filling(store, Feed({FIRST: 500, SECOND: 300}), handler))
    assert handler.offsets(FIRST)[:2] == [42, 43]
    assert handler.offsets(SECOND)[:2] == [0, 1]
    for key, first, end in ((FIRST, 42, 500), (SECOND, 0, 300)):
        offsets = handler.offsets(key)
        assert offsets == list(range(first, first + len(offsets)))
        assert offsets[-1] >= end - 1


def test_it_goes_on_while_more_is_committed(store: MemoryStore) -> None:
    """Law: it ends when, at a fresh look, at most so many records are left as workers replay in a moment."""
    feed = Feed({FIRST: 100}, {FIRST: 5_000}, {FIRST: 9_000}, {FIRST: 9_000 + SWITCH_LAG_RECORDS})
    targets = run(filling(store, feed))
    assert targets.offsets == {FIRST: 9_000 + SWITCH_LAG_RECORDS}
    assert feed.next[FIRST] >= 9_000


def test_sealed_markers_vouch_for_what_was_applied(store: MemoryStore) -> None:
    """Law: a sealed marker is the last offset applied, never one more; a partition without any has none."""
    made = filling(store, feed := Feed({FIRST: 200, SECOND: 0}))
    made.begin({}, nobody_knows)
    feed.keys = (FIRST,)
    made.catch_up(bars)  # type: ignore[arg-type]
    made.seal()
    assert store.read([], ["id:0", "id:1"]).markers == {"id:0": feed.next[FIRST] - 1}


def test_a_store_that_is_away_gets_the_same_batch_again(store: MemoryStore) -> None:
    """Law: nothing is skipped because the store did not answer."""
    handler = Applied(*[StoreUnavailableError("away")] * 3)
    run(filling(store, Feed({FIRST: 100, SECOND: 100}), handler))
    assert handler.offsets(FIRST)[0] == 0


def test_events_that_are_gone_stop_it(store: MemoryStore) -> None:
    """Law: partitions that begin above what the store has are named with their loss, and the users, where known."""
    feed = Feed({FIRST: 100, SECOND: 100}, lows={FIRST: 30, SECOND: 7})
    with pytest.raises(GapError, match=r"30 of ratings \[0\], 2 users would vanish") as caught:
        filling(store, feed).begin({"ratings": [1]}, lambda lows: 2 if lows == {"id:0": 30} else 0)
    assert "--accept-gap ratings:0" in str(caught.value)
    assert "ratings:1" not in str(caught.value)


def test_an_accepted_gap_is_skipped(store: MemoryStore) -> None:
    """Law: where the loss is accepted it begins where the topic does, and says of which sources events are lost."""
    store.write(StateWrite({"id:1": 20}, []))
    feed = Feed({FIRST: 100, SECOND: 100}, lows={FIRST: 30, SECOND: 7})
    made = filling(store, feed)
    assert made.begin({"ratings": [0, 1]}, nobody_knows) == {"id:0"}
    assert feed.next == {FIRST: 30, SECOND: 21}
