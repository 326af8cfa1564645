"""What the group's assignments mean for the store."""

from collections.abc import Iterator, Mapping, Sequence

import pytest
import stamina

from consumers.membership import Membership
from recommender.memory_store import MemoryStore
from recommender.store import (
    Snapshot,
    StateWrite,
    StoreError,
    StoreMismatchError,
    StoreRestoredError,
    StoreSettings,
    StoreUnavailableError,
)

SETTINGS = StoreSettings("integer", 0.5, 5.0, "rule", partitions={"ratings": 3})


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    stamina.set_testing(True, attempts=5)
    yield
    stamina.set_testing(False)


class FailingStore(MemoryStore):
    """A memory store whose calls fail with these errors first."""

    def __init__(self, *errors: StoreError) -> None:
        super().__init__(SETTINGS)
        self.write(StateWrite({"id:0": 41}, []))
        self.errors = list(errors)

    def read(self, user_ids: Sequence[str], sources: Sequence[str]) -> Snapshot:
        if self.errors:
            raise self.errors.pop(0)
        return super().read(user_ids, sources)

    def remember_partitions(self, partitions: Mapping[str, int]) -> None:
        if self.errors:
            raise self.errors.pop(0)
        super().remember_partitions(partitions)


def membership(store: MemoryStore) -> Membership:
    return Membership(store, 1.0, lambda: None)


def test_markers_are_those_of_the_store() -> None:
    """Law: a source without a marker is missing, which means that nothing is verified."""
    assert membership(FailingStore()).markers(["id:0", "id:1"]) == {"id:0": 41}


def test_a_store_that_is_away_is_asked_again() -> None:
    """Law: an assignment waits for the store; without its markers nobody knows where to begin."""
    store = FailingStore(*[StoreUnavailableError("away")] * 3)
    assert membership(store).markers(["id:0"]) == {"id:0": 41}


def test_a_worker_that_waits_for_the_store_gives_a_sign_of_life_each_time() -> None:
    """Law: however long an assignment waits, neither watchdog nor liveness probe takes it for a call that hangs."""
    signs: list[str] = []
    errors = [StoreUnavailableError("away")] * 3
    Membership(FailingStore(*errors), 1.0, lambda: None, waits=lambda: signs.append("alive")).markers(["id:0"])
    assert signs == ["alive"] * len(errors)


def test_partition_counts_are_remembered_once_the_store_is_back() -> None:
    """Law: a store that is away when the partitions are seen is asked again, as it is for its markers."""
    store = FailingStore(*[StoreUnavailableError("away")] * 3)
    membership(store).partitions_seen({"ratings": 3, "lists": 2})
    assert store.settings.partitions == {"ratings": 3, "lists": 2}


def test_a_store_that_stays_away_stops_the_worker() -> None:
    """Law: waiting ends, with the store's own error."""
    with pytest.raises(StoreUnavailableError, match="away"):
        membership(FailingStore(*[StoreUnavailableError("away")] * 10)).markers(["id:0"])


def test_no_other_error_is_waited_out() -> None:
    """Law: only a store that is away may come back by itself."""
    store = FailingStore(StoreRestoredError("restored"), StoreError("never asked for"))
    with pytest.raises(StoreRestoredError):
        membership(store).markers(["id:0"])
    assert len(store.errors) == 1


def test_partition_counts_are_remembered_with_the_store() -> None:
    """Law: a topic seen for the first time is noted; the same counts again change nothing."""
    store = FailingStore()
    for _ in range(2):
        membership(store).partitions_seen({"ratings": 3, "lists": 4})
    assert store.settings.partitions == {"ratings": 3, "lists": 4}


def test_another_partition_count_stops_the_worker() -> None:
    """Law: with another count users would be found elsewhere, whether partitions were added or the topic made anew."""
    store = FailingStore()
    for count in (2, 4):
        with pytest.raises(StoreMismatchError, match=rf"ratings.*{count}.*3"):
            membership(store).partitions_seen({"ratings": count, "lists": 4})
    assert store.settings.partitions == {"ratings": 3}


class ForgetfulStore(MemoryStore):
    """A store in which another worker noted the counts first."""

    def remember_partitions(self, partitions: Mapping[str, int]) -> None:
        """Takes note of nothing."""


def test_counts_are_checked_against_what_is_stored() -> None:
    """Law: what counts is what the store holds afterwards, not what this worker wished to note."""
    with pytest.raises(StoreMismatchError, match="4 partitions, the store was made with 3"):
        membership(ForgetfulStore(SETTINGS)).partitions_seen({"ratings": 4})


def test_whenever_partitions_change_the_caches_are_dropped() -> None:
    """Law: another worker may have written meanwhile."""
    dropped: list[str] = []
    Membership(FailingStore(), 1.0, lambda: dropped.append("caches")).partitions_changed()
    assert dropped == ["caches"]
