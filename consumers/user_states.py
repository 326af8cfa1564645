"""The state protocol: how a batch of updates becomes stored states, whatever fails in between.

- A write is compare-and-set by tag; a tag is unique to one attempt of one writer.
- The reply never says whether the condition held, so what was written is read back (unless the store is exclusive).
- After an error every tag tried or read stays known, and the user is written anew under them until a read shows our
  own tag; so is a user on whom replicas disagree.
- Nothing is cached before it was read back; a redo always reads the store.
- A source's marker trails one batch: everything at or below it was verified before this batch began.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from recommender.bounded_cache import BoundedCache
from recommender.embedding import Embedding, stored_vectors
from recommender.neighbour_pool import NeighbourPool
from recommender.profile import NEW_USER, History, HistoryLimits, Update, UserState, fold
from recommender.store import (
    StateWrite,
    Store,
    StoreRestoredError,
    StoreUnavailableError,
    UserWrite,
    point_id,
)
from recommender.vector import SparseVector, ValueRule, Vector, user_vector

ATTEMPTS_MAX = 20
_STATE_OVERHEAD_BYTES = 1_000
FurtherVectors = Mapping[str, Callable[[History], Vector | None]]
"""How vectors beside the main one are made of a history, by name; None: the user has none."""


@dataclass(frozen=True, slots=True)
class Transition:
    """A user's state before a batch (as loaded) and after it (as stored)."""

    before: UserState
    after: UserState


@dataclass(frozen=True, slots=True)
class StateRules:
    """What states are made by: value rule, length of histories, size of the cache, further vectors, and who has any."""

    value: ValueRule
    limits: HistoryLimits
    cache_max_bytes: int
    embeddings: Sequence[Embedding] = ()
    further: FurtherVectors = field(default_factory=dict)
    pool: NeighbourPool = field(default_factory=NeighbourPool)


class UserStates:
    """Reads and writes states by the protocol above, for one process; `writer` is unique to it."""

    def __init__(self, store: Store, rules: StateRules, writer: str) -> None:
        self.cache: BoundedCache[str, UserState] = BoundedCache(rules.cache_max_bytes)
        self.pool = rules.pool
        self.conflicts = 0
        """Writes so far that did not hold, as another writer's stood there, and were made anew."""

        self._store = store
        self._rules = rules
        self._writer = writer
        self._attempt = 0
        self._tried: dict[str, frozenset[int]] = {}
        self._markers: dict[str, int] = {}

    def drop_caches(self) -> None:
        """Forget what is known of the store, but not which tags were tried: those writes may still land."""
        self.cache.clear()
        self._markers.clear()

    def load(self, user_ids: Sequence[str], sources: Sequence[str]) -> dict[str, UserState]:
        """The states of users, from the cache where it holds them; checks the markers of the sources.

        Raises:
            StoreRestoredError: a marker stands behind what this process last wrote.
            StoreError: the store could not be read.
        """
        known = {user_id: state for user_id in user_ids if (state := self.cache.get(user_id)) is not None}
        snapshot = self._store.read([user_id for user_id in user_ids if user_id not in known], sources)
        self._check_markers(snapshot.markers, sources)
        for user_id in snapshot.disputed:
            # One replica may be all that knows an event: writing the state anew brings it to the others.
            self._tried.setdefault(user_id, frozenset({snapshot.states[user_id].tag}))
        return {user_id: known.get(user_id) or snapshot.states.get(user_id, NEW_USER) for user_id in user_ids}

    def apply(
        self,
        states: Mapping[str, UserState],
        updates: Mapping[str, Sequence[Update]],
        first_offsets: Mapping[str, int],
    ) -> dict[str, Transition]:
        """Fold every user's updates into their state, store it, and see that it is stored.

        Args:
            states: the states as loaded, by user id.
            updates: per user, in topic order.
            first_offsets: the batch's first offset by source.

        Raises:
            StoreUnavailableError: not everything could be confirmed; loading and applying again goes on from there.
        """
        markers = {source: first - 1 for source, first in first_offsets.items()}
        return self._settled(states, updates, markers)

    def renew(self, states: Mapping[str, UserState]) -> None:
        """Write users anew as they stand, with the vectors that they have by now; `states` as loaded, by user id.

        Raises:
            StoreUnavailableError: not everything could be confirmed.
        """
        for user_id, state in states.items():
            # Written whatever stands there, as after an error.
            self._tried.setdefault(user_id, frozenset({state.tag}))
        self._settled(states, dict.fromkeys(states, ()), {})
        for user_id in states:
            self.cache.drop(user_id)

    def _settled(
        self,
        states: Mapping[str, UserState],
        updates: Mapping[str, Sequence[Update]],
        markers: Mapping[str, int],
    ) -> dict[str, Transition]:
        settled: dict[str, UserState] = {}
        current = {user_id: states[user_id] for user_id in updates}
        for _ in range(ATTEMPTS_MAX):
            writes = [write for user_id in current if (write := self._write_of(user_id, current[user_id], updates))]
            settled |= current
            if not writes:
                return {user_id: Transition(states[user_id], state) for user_id, state in settled.items()}
            stored = self._write(StateWrite(markers, writes))
            current = {}
            for write in writes:
                if stored[write.user_id].tag == write.state.tag:
                    settled[write.user_id] = self._confirmed(write.user_id, stored[write.user_id])
                else:
                    current[write.user_id] = stored[write.user_id]
            self.conflicts += len(current)
        raise StoreUnavailableError(
            f"{len(current)} users could not be written in {ATTEMPTS_MAX} attempts: other processes write them too"
        )

    def _write_of(self, user_id: str, state: UserState, updates: Mapping[str, Sequence[Update]]) -> UserWrite | None:
        folded = fold(state, updates[user_id], self._rules.limits)
        tried = self._tried.get(user_id, frozenset())
        if folded.count == state.count and not tried:
            return None
        folded = replace(folded, tag=self._new_tag(folded))
        # What was read before stays allowed too (0: no point): a replica that missed what was tried stands there still.
        expected = tried | {state.tag}
        self._tried[user_id] = expected | {folded.tag}
        self.cache.drop(user_id)
        vector, further = self._vectors(user_id, folded.history)
        return UserWrite(user_id, folded, vector, expected - {0}, missing=0 in expected, further=further)

    def _vectors(self, user_id: str, history: History) -> tuple[SparseVector | None, Mapping[str, Vector]]:
        """What the user is found by; nothing outside the neighbour pool."""
        if self.pool.thinning and not self.pool.admits(point_id(user_id)):
            return None, {}
        further: dict[str, Vector] = {**stored_vectors(self._rules.embeddings, history)}
        for name, make in self._rules.further.items():
            if (beside := make(history)) is not None:
                further[name] = beside
        return user_vector(history, self._rules.value), further

    def _write(self, request: StateWrite) -> Mapping[str, UserState]:
        self._store.write(request)
        if self._store.exclusive:
            stored: Mapping[str, UserState] = {write.user_id: write.state for write in request.users}
        else:
            snapshot = self._store.read([write.user_id for write in request.users], list(request.markers))
            stored = {write.user_id: snapshot.states.get(write.user_id, NEW_USER) for write in request.users}
        self._markers |= request.markers
        return stored

    def _confirmed(self, user_id: str, state: UserState) -> UserState:
        del self._tried[user_id]
        if state.user_id is None:
            # Whoever was forgotten leaves their id nowhere, as little as a key of the cache.
            return state
        self.cache.put(user_id, state, _STATE_OVERHEAD_BYTES + state.history.nbytes + state.seen.nbytes)
        return state

    def _new_tag(self, state: UserState) -> int:
        self._attempt += 1
        last = state.last_source or ""
        text = f"{last}|{state.offsets.get(last)}|{self._writer}|{self._attempt}"
        digest = hashlib.blake2b(text.encode(), digest_size=8, person=b"tastestream.tag").digest()
        return (int.from_bytes(digest, "big") >> 1) or 1

    def _check_markers(self, markers: Mapping[str, int], sources: Sequence[str]) -> None:
        for source in sources:
            written, found = self._markers.get(source), markers.get(source, -1)
            if written is not None and found < written:
                raise StoreRestoredError(
                    f"the store's marker of {source} stands at {found}, this process had written {written}: the store "
                    "was restored while workers ran, or a worker that had paused wrote late"
                )
