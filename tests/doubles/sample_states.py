"""States, vectors and writes for tests of stores."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from recommender.profile import History, UserState
from recommender.store import StateWrite, Store, UserWrite
from recommender.vector import SparseVector

NUM_ITEMS_MAX = 2**32
TAG_MAX = 2**63 - 1

_items = st.integers(0, NUM_ITEMS_MAX - 1)
_texts = st.text(max_size=20)
_attribute = st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | _texts


def history(*entries: tuple[int, float, int]) -> History:
    items, ratings, times = zip(*entries, strict=True) if entries else ((), (), ())
    return History(np.array(items, np.uint32), np.array(ratings, np.float64), np.array(times, np.int64))


@st.composite
def histories(draw: st.DrawFn) -> History:
    items = draw(st.lists(_items, unique=True, max_size=10))
    ratings = st.just(np.nan) | st.floats(-1e6, 1e6)
    return history(*((item, draw(ratings), draw(st.integers(0, 2**62))) for item in items))


_offsets = st.integers(0, 2**63 - 1)


@st.composite
def states(draw: st.DrawFn, user_id: str) -> UserState:
    return UserState(
        user_id=user_id,
        history=draw(histories()),
        seen=np.array(draw(st.lists(_items, unique=True, max_size=10)), np.uint32),
        attributes=draw(st.dictionaries(st.text(min_size=1, max_size=20), _attribute, max_size=5)),
        count=draw(st.integers(0, 2**53)),
        offsets=draw(
            st.dictionaries(st.from_regex(r"[A-Za-z0-9_-]{4}\.[0-9]{1,3}", fullmatch=True), _offsets, max_size=3)
        ),
        last_source=draw(st.none() | _texts),
        tag=draw(st.integers(1, TAG_MAX)),
    )


def vector(values: Mapping[int, float]) -> SparseVector:
    return SparseVector(np.array(list(values), np.uint32), np.array(list(values.values()), np.float32))


def sample_state(user_id: str, tag: int, **changed: Any) -> UserState:
    known = history((7, 4.0, 1_000))
    return replace(UserState(user_id, known, count=1, offsets={"t.0": 10}, last_source="t.0", tag=tag), **changed)


def insert(state: UserState, found_by: SparseVector | None = None) -> UserWrite:
    """A write of a known user where there is no point yet."""
    assert state.user_id is not None
    return UserWrite(state.user_id, state, found_by, frozenset(), missing=True)


def replace_tagged(state: UserState, *tags: int, missing: bool = False) -> UserWrite:
    """A write of a known user where one of the tags stands."""
    assert state.user_id is not None
    return UserWrite(state.user_id, state, None, frozenset(tags), missing)


def write(store: Store, *users: UserWrite, **markers: int) -> None:
    store.write(StateWrite(markers, users))


def tags(store: Store, user_ids: Iterable[str]) -> dict[str, int]:
    """The tags that stand in the store, by user id."""
    return {user_id: state.tag for user_id, state in store.read(list(user_ids), []).states.items()}


def exactly(state: UserState) -> tuple[object, ...]:
    """Everything a state holds, comparable bit for bit, types included."""
    arrays = (*((a.dtype.str, a.tobytes()) for a in _arrays(state.history)), state.seen.dtype.str, state.seen.tobytes())
    attributes = sorted((name, type(value).__name__, repr(value)) for name, value in state.attributes.items())
    return (state.user_id, arrays, attributes, state.count, dict(state.offsets), state.last_source, state.tag)


def _arrays(found: History) -> tuple[Any, ...]:
    return found.items, found.ratings, found.rated_at
