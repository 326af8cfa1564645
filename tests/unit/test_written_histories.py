"""What a worker has written itself it does not read back to rank by; what others wrote since, it does."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from recommender.memory_store import MemoryStore
from recommender.profile import NEW_USER, Forget, History, HistoryLimits, Rate, Update, UserState, fold
from recommender.recommender import Recommender
from recommender.rules import RankingRules
from recommender.store import StateWrite, StoreSettings, UserWrite, point_id
from recommender.vector import user_vector

RULES = RankingRules(list_length=8, personal_min_ratings=1, personal_min_neighbours=1)
ME, ANN = "me", "ann"


class ReadStore(MemoryStore):
    """Knows whose histories were read; `exclusive` as the test has it."""

    def __init__(self, *, exclusive: bool) -> None:
        super().__init__(StoreSettings("integers", RULES.scale_min, RULES.scale_max, RULES.value.fingerprint))
        self.exclusive = exclusive
        self.read_of: list[int] = []

    def histories(self, ids: Sequence[int]) -> Mapping[int, History]:
        self.read_of += ids
        return super().histories(ids)


def rated(store: MemoryStore, user_id: str, item: int) -> tuple[UserState, UserState]:
    """A user rates one more item: the state before and as stored."""
    before = store.read([user_id], []).states.get(user_id, NEW_USER)
    return stored(store, user_id, before, Update("t:0", before.count, user_id, Rate(item, 5.0, item)))


def stored(store: MemoryStore, user_id: str, before: UserState, update: Update) -> tuple[UserState, UserState]:
    after = replace(fold(before, [update], HistoryLimits()), tag=before.tag + 1)
    vector = user_vector(after.history, RULES.value)
    store.write(StateWrite({}, [UserWrite(user_id, after, vector, frozenset({before.tag}), missing=not before.tag)]))
    return before, after


def shown_to_me(recommender: Recommender, store: MemoryStore) -> list[int]:
    (ranked,) = recommender.recommend([(ME, store.read([ME], []).states[ME])])
    return ranked.item


@pytest.fixture(params=[True, False], ids=["exclusive", "shared"])
def store(request: pytest.FixtureRequest) -> ReadStore:
    found = ReadStore(exclusive=request.param)
    for user_id in (ME, ANN):
        rated(found, user_id, 1)
    return found


def test_what_was_written_here_is_not_read_back(store: ReadStore) -> None:
    """A neighbour's new rating is in the next list, and their history was not read for it."""
    recommender = Recommender(store, RULES, 1 << 20)
    recommender.changed([(ANN, *rated(store, ANN, 2))])
    assert shown_to_me(recommender, store) == [2]
    assert store.read_of == []


def test_what_another_worker_wrote_since_is_read() -> None:
    """On a store that others write to, the tag says that what was written here no longer stands there."""
    store = ReadStore(exclusive=False)
    for user_id in (ME, ANN):
        rated(store, user_id, 1)
    recommender = Recommender(store, RULES, 1 << 20)
    recommender.changed([(ANN, *rated(store, ANN, 2))])
    rated(store, ANN, 3)
    assert sorted(shown_to_me(recommender, store)) == [2, 3]
    assert store.read_of == [point_id(ANN)]


def test_of_the_forgotten_nothing_written_is_held(store: ReadStore) -> None:
    """Who is forgotten leaves no history behind in the worker that wrote it."""
    recommender = Recommender(store, RULES, 1 << 20)
    before, after = rated(store, ANN, 2)
    recommender.changed([(ANN, before, after)])
    recommender.changed([(ANN, *stored(store, ANN, after, Update("t:0", 9, ANN, Forget())))])
    assert not len(recommender._neighbourhood._written)
