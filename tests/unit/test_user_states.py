"""The state protocol against stores that interleave, lose and delay writes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest

from consumers.user_states import StateRules, UserStates
from recommender.memory_store import MemoryStore
from recommender.profile import NEW_USER, HistoryLimits, Rate, Update, UserState, fold
from recommender.store import (
    Snapshot,
    StateWrite,
    StoreRestoredError,
    StoreSettings,
    StoreUnavailableError,
    UserWrite,
)
from recommender.vector import ValueRule

RULE = ValueRule()
LIMITS = HistoryLimits()
SETTINGS = StoreSettings("integer", 0.5, 5.0, RULE.fingerprint)
SOURCE = "topic:0"


class SharedStore(MemoryStore):
    """A memory store that several writers share: not exclusive, and with hooks around every write."""

    exclusive = False

    def __init__(self) -> None:
        super().__init__(SETTINGS)
        self.before_write: list[Callable[[], None]] = []
        self.lose_answers = 0
        self.lose_requests = 0
        self.disputed: frozenset[str] = frozenset()
        self.requests: list[StateWrite] = []
        self.reads: list[tuple[Sequence[str], Sequence[str]]] = []

    def read(self, user_ids: Sequence[str], sources: Sequence[str]) -> Snapshot:
        self.reads.append((list(user_ids), list(sources)))
        found = super().read(user_ids, sources)
        return replace(found, disputed=self.disputed & found.states.keys())

    def write(self, request: StateWrite) -> None:
        if self.before_write:
            self.before_write.pop(0)()
        self.requests.append(request)
        if self.lose_requests:
            self.lose_requests -= 1
            raise StoreUnavailableError("the request was lost")
        super().write(request)
        if self.lose_answers:
            self.lose_answers -= 1
            raise StoreUnavailableError("the answer was lost")


def states_of(store: MemoryStore, writer: str = "a", cache_max_bytes: int = 1 << 20) -> UserStates:
    return UserStates(store, StateRules(RULE, LIMITS, cache_max_bytes), writer)


def rated(offset: int, item: int, rating: float = 4.0, user: str = "u") -> Update:
    return Update(SOURCE, offset, user, Rate(item, rating, 1_000_000 + offset))


def run(states: UserStates, updates: Sequence[Update], first: int | None = None) -> UserState:
    """One batch of one user, as the handler does it."""
    user = updates[0].user_id
    loaded = states.load([user], [SOURCE])
    start = updates[0].offset if first is None else first
    return states.apply(loaded, {user: updates}, {SOURCE: start})[user].after


def stored(store: MemoryStore, user: str = "u") -> UserState:
    return store.read([user], []).states[user]


def as_dict(state: UserState) -> Mapping[str, object]:
    return {
        "items": state.history.items.tolist(),
        "ratings": state.history.ratings.tolist(),
        "count": state.count,
        "offsets": dict(state.offsets),
    }


EVENTS = [rated(offset, item=offset % 3 + 1, rating=1.0 + offset / 2) for offset in range(6)]
FOLDED = as_dict(fold(NEW_USER, EVENTS, LIMITS))


def test_a_write_lost_to_another_writer_is_redone_from_a_fresh_read() -> None:
    """No update of two interleaved writers is lost, and none is applied twice."""
    store = SharedStore()
    other = states_of(store, "b")
    store.before_write.append(lambda: None)
    run(states_of(store), EVENTS[:2])
    store.before_write.append(lambda: (run(other, EVENTS[2:4]), None)[1])
    mine = states_of(store)
    run(mine, EVENTS[2:6], first=2)
    assert as_dict(stored(store)) == FOLDED
    assert (mine.conflicts, other.conflicts) == (1, 0)


def test_a_paused_writer_with_an_old_read_changes_nothing() -> None:
    """A zombie's write under tags that no longer stand is ignored by the store."""
    store = SharedStore()
    zombie = states_of(store, "zombie")
    run(zombie, EVENTS[:1])
    loaded = zombie.load(["u"], [SOURCE])
    owner = states_of(store, "owner")
    run(owner, EVENTS[1:6])
    after = zombie.apply(loaded, {"u": EVENTS[1:2]}, {SOURCE: 1})["u"].after
    assert as_dict(after) == FOLDED
    assert as_dict(stored(store)) == FOLDED


def test_a_new_user_is_inserted_once_by_two_writers() -> None:
    """Two writers that both read no point end with one state that holds every event once."""
    store = SharedStore()
    first, second = states_of(store, "a"), states_of(store, "b")
    seen_by_first, seen_by_second = first.load(["u"], [SOURCE]), second.load(["u"], [SOURCE])
    first.apply(seen_by_first, {"u": EVENTS[:3]}, {SOURCE: 0})
    second.apply(seen_by_second, {"u": EVENTS}, {SOURCE: 0})
    assert as_dict(stored(store)) == FOLDED


def test_a_lost_answer_is_written_again_under_the_tags_tried() -> None:
    """After an unknown outcome the user is written anew even where the read already shows the events."""
    store = SharedStore()
    states = states_of(store)
    run(states, EVENTS[:2])
    store.lose_answers = 1
    with pytest.raises(StoreUnavailableError):
        run(states, EVENTS[2:6])
    tried = store.requests[-1].users[0].state.tag
    run(states, EVENTS[2:6])
    (redone,) = store.requests[-1].users
    assert tried in redone.tags
    assert redone.state.tag != tried
    assert as_dict(stored(store)) == FOLDED
    assert stored(store).tag == redone.state.tag


def test_a_lost_request_is_written_again() -> None:
    """A request that never arrived leaves nothing undone after the retry."""
    store = SharedStore()
    states = states_of(store)
    store.lose_requests = 1
    with pytest.raises(StoreUnavailableError):
        run(states, EVENTS)
    run(states, EVENTS)
    assert as_dict(stored(store)) == FOLDED


def test_a_redo_reads_the_store_and_not_the_cache() -> None:
    """After a failed write the cached state is not trusted."""
    store = SharedStore()
    states = states_of(store)
    run(states, EVENTS[:2])
    store.lose_answers = 1
    with pytest.raises(StoreUnavailableError):
        run(states, EVENTS[2:4])
    store.reads.clear()
    states.load(["u"], [SOURCE])
    assert store.reads[0][0] == ["u"]


def test_the_cache_spares_the_read_of_a_confirmed_state() -> None:
    """A state that was read back is not read again, but the marker is, in every batch."""
    store = SharedStore()
    states = states_of(store)
    run(states, EVENTS[:2])
    store.reads.clear()
    states.load(["u"], [SOURCE])
    assert store.reads == [([], [SOURCE])]


def test_dropping_the_caches_reads_anew() -> None:
    """What another owner wrote meanwhile is seen after a revoke."""
    store = SharedStore()
    states = states_of(store, "a")
    run(states, EVENTS[:2])
    run(states_of(store, "b"), EVENTS[2:6])
    states.drop_caches()
    assert as_dict(states.load(["u"], [SOURCE])["u"]) == FOLDED


def test_the_marker_trails_the_batch() -> None:
    """The marker vouches for what was verified before the batch, never for the batch itself."""
    store = SharedStore()
    states = states_of(store)
    run(states, EVENTS[:2])
    assert store.read([], [SOURCE]).markers == {SOURCE: -1}
    run(states, EVENTS[2:6])
    assert store.read([], [SOURCE]).markers == {SOURCE: 1}


def test_a_marker_behind_what_was_written_stops_the_worker() -> None:
    """A store restored while workers run is noticed at the next batch."""
    store = SharedStore()
    states = states_of(store)
    run(states, EVENTS[:2])
    run(states, EVENTS[2:4])
    store.write(StateWrite({SOURCE: -1}, []))
    with pytest.raises(StoreRestoredError, match="restored"):
        states.load(["u"], [SOURCE])


def test_applied_events_are_not_written_again() -> None:
    """A batch of duplicates writes nothing."""
    store = SharedStore()
    states = states_of(store)
    run(states, EVENTS)
    count = len(store.requests)
    assert as_dict(run(states, EVENTS[3:])) == FOLDED
    assert len(store.requests) == count


def test_every_write_has_a_tag_of_its_own() -> None:
    """Tags are unique to one attempt of one writer, also for the same event."""
    stores = [SharedStore(), SharedStore()]
    for store, writer in zip(stores, ("a", "b"), strict=True):
        states = states_of(store, writer)
        for event in EVENTS:
            run(states, [event])
    tags = [write.state.tag for store in stores for request in store.requests for write in request.users]
    assert len(set(tags)) == len(tags)
    assert all(0 < tag < 2**63 for tag in tags)


def test_a_user_that_others_keep_rewriting_ends_in_a_retriable_error() -> None:
    """The number of attempts is limited, and nothing is claimed that was not read back."""
    store = SharedStore()
    store.before_write = [lambda: rewritten(store)] * 100
    with pytest.raises(StoreUnavailableError, match="attempts"):
        run(states_of(store), EVENTS[:1])


def test_a_user_on_whom_replicas_disagree_is_written_anew() -> None:
    """What may stand on one replica alone is brought to all, even when it already holds the batch's events."""
    store = SharedStore()
    run(states_of(store, "before"), EVENTS)
    store.disputed = frozenset({"u"})
    count = len(store.requests)
    run(states_of(store), EVENTS)
    (written,) = store.requests[count].users
    assert as_dict(written.state) == FOLDED
    assert stored(store).tag == written.state.tag


def test_what_was_read_before_an_error_stays_allowed() -> None:
    """A replica that missed the write that failed still stands where it was read, and must take the next one."""
    store = SharedStore()
    states = states_of(store)
    run(states, EVENTS[:2])
    read = stored(store).tag
    store.lose_answers = 1
    with pytest.raises(StoreUnavailableError):
        run(states, EVENTS[2:])
    run(states, EVENTS[2:])
    assert read in store.requests[-1].users[0].tags


def rewritten(store: SharedStore) -> None:
    """Another process puts a tag of its own on the user."""
    state = store.read(["u"], []).states.get("u", NEW_USER)
    changed = replace(state, tag=state.tag + 1)
    MemoryStore.write(store, StateWrite({}, [UserWrite("u", changed, None, frozenset({state.tag}), missing=True)]))
