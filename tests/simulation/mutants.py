"""The service with one mechanism taken out, each at one place: what the simulation must be able to see."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from confluent_kafka import TopicPartition
from shape import Operation, Shape, polite, shape_of
from simulation import Outcome, simulate
from workload import Volume

from consumers import handler, source
from consumers.catching_up import CatchingUp
from consumers.flushing import PacedFlush
from consumers.membership import Membership
from consumers.records import Assigned, Batch, Position, Record
from consumers.source import KafkaSource
from consumers.user_states import UserStates
from consumers.worker import Worker
from recommender.profile import Update, UserState
from recommender.store import StateWrite, UserWrite
from schemas.decode import Decoded
from schemas.messages import Message


class _AnyTag(frozenset[int]):
    """Holds every tag: a condition that never fails."""

    def __contains__(self, _: object) -> bool:
        return True

    def __or__(self, _: object) -> "_AnyTag":
        return self


@contextmanager
def no_compare_and_set() -> Iterator[None]:
    """States are written whatever stands there."""
    real = UserStates._write

    def write(self: UserStates, request: StateWrite) -> Any:
        users = [replace(user, tags=_AnyTag(), missing=True) for user in request.users]
        return real(self, StateWrite(request.markers, users))

    with patch.object(UserStates, "_write", write):
        yield


@contextmanager
def no_read_back() -> Iterator[None]:
    """What was written is taken for what is stored."""

    def write(self: UserStates, request: StateWrite) -> Mapping[str, UserState]:
        self._store.write(request)
        self._markers |= request.markers
        return {user.user_id: user.state for user in request.users}

    with patch.object(UserStates, "_write", write):
        yield


@contextmanager
def no_marker_seek() -> Iterator[None]:
    """A partition begins at what is committed, whatever the store holds."""

    def position(assigned: Assigned, _: object = None) -> Position:
        committed = assigned.low if assigned.committed is None else assigned.committed
        return Position(committed, committed)

    with patch.object(source, "starting_position", position):
        yield


@contextmanager
def marker_ahead() -> Iterator[None]:
    """The marker vouches for the batch that it is written with."""
    with patch.object(Batch, "first_offsets", lambda self: {r.source: r.offset + 1 for r in self.records}):
        yield


@contextmanager
def cache_kept() -> Iterator[None]:
    """Partitions come and go, and what was cached of their users stays."""
    with patch.object(Membership, "partitions_changed", lambda _: None):
        yield


@contextmanager
def no_publish_rule() -> Iterator[None]:
    """Every user of a batch who is not replayed gets a list."""

    def naming(events: Sequence[tuple[Record, Decoded]], _: UserState) -> tuple[Record, Decoded] | None:
        record, decoded = events[-1]
        return None if record.replayed else (record, decoded)

    with patch.object(handler, "_naming", naming):
        yield


@contextmanager
def metadata_at_commit() -> Iterator[None]:
    """The group metadata is asked for when it is needed, not when the batch came."""
    real = Worker._commit

    def commit(self: Worker, batch: Batch, messages: list[Message]) -> None:
        late: Any = self._parts.source._consumer
        real(self, Batch(batch.records, late.consumer_group_metadata()), messages)

    with patch.object(Worker, "_commit", commit):
        yield


@contextmanager
def batch_kept_over_rebalance() -> Iterator[None]:
    """A batch that waits for the store is gone on with, whatever became of its partitions meanwhile."""
    real = KafkaSource.keep_alive

    def keep_alive(self: KafkaSource) -> bool:
        real(self)
        return True

    with patch.object(KafkaSource, "keep_alive", keep_alive):
        yield


@contextmanager
def no_rewind() -> Iterator[None]:
    """After a commit whose outcome is unknown, consumption goes on where it stood."""

    def go_back(self: Worker, _why: str) -> None:
        self._parts.handler.drop_caches()

    with patch.object(Worker, "_go_back", go_back):
        yield


@contextmanager
def rewind_to_batch() -> Iterator[None]:
    """After a commit whose outcome is unknown, its batch is taken once more as if nothing of it were visible."""

    def rewind(self: KafkaSource) -> None:
        places = list(self._held)
        located = self._located(places)
        for place in places:
            before = self._held[place]
            start = min(located[place].position.start, before.position.committed)
            self._held[place] = replace(located[place], position=Position(start, before.position.committed))
            self._consumer.seek(TopicPartition(*place, start))

    with patch.object(KafkaSource, "rewind", rewind):
        yield


@contextmanager
def tried_forgotten() -> Iterator[None]:
    """After an error only the tag that is read may stand there, and a state that shows the events is done."""
    real = UserStates._write_of

    def write_of(self: UserStates, user_id: str, state: UserState, updates: Any) -> Any:
        self._tried.clear()
        return real(self, user_id, state, updates)

    with patch.object(UserStates, "_write_of", write_of), patch.object(UserStates, "_confirmed", _confirmed_anyhow):
        yield


def _confirmed_anyhow(self: UserStates, user_id: str, state: UserState) -> UserState:
    self._tried.pop(user_id, None)
    self.cache.put(user_id, state, 1_000)
    return state


@contextmanager
def no_catching_up() -> Iterator[None]:
    """New events of one topic are taken while old ones of another are yet to be replayed."""
    with patch.object(CatchingUp, "begin", lambda *_: None):
        yield


@contextmanager
def left_over_unflushed() -> Iterator[None]:
    """What a setback or a dead worker left uncommitted is flushed no sooner than anything else."""
    with patch.object(PacedFlush, "left_over", lambda _: None):
        yield


@contextmanager
def no_old_first() -> Iterator[None]:
    """In the batch in which all is caught up, new events stay before old ones."""
    real = CatchingUp.sorted

    def as_they_came(self: CatchingUp, records: Sequence[Record]) -> tuple[list[Record], dict[tuple[str, int], int]]:
        taken, put_back = real(self, records)
        return [record for record in records if record in taken], put_back

    with patch.object(CatchingUp, "sorted", as_they_came):
        yield


@contextmanager
def last_read_only() -> Iterator[None]:
    """After an error the tags tried may stand there and the one that is read, not those that were read before."""
    real = UserStates._write_of
    tried: dict[tuple[int, str], frozenset[int]] = {}

    def write_of(
        self: UserStates, user_id: str, state: UserState, updates: Mapping[str, Sequence[Update]]
    ) -> UserWrite | None:
        key = id(self), user_id
        before = tried.get(key, frozenset()) if user_id in self._tried else frozenset()
        write = real(self, user_id, state, updates)
        if write is None:
            return None
        tried[key] = before | {write.state.tag}
        return replace(write, tags=(before | {state.tag}) - {0}, missing=not state.tag)

    with patch.object(UserStates, "_write_of", write_of):
        yield


@dataclass(frozen=True, slots=True)
class Mutant:
    """What is taken out, and a seed that shows it; `polite`: in a world without faults, where only it matters."""

    seed: int
    without: tuple[Callable[[], AbstractContextManager[None]], ...]
    is_polite: bool = False
    made: Shape | None = None
    """A shape for it alone, where none that is drawn shows it."""

    def shape(self, seed: int) -> Shape:
        """The shape in which a seed is run."""
        if self.made is not None:
            return self.made
        return polite(shape_of(seed)) if self.is_polite else shape_of(seed)

    def runs(self, seed: int, *, parts: int | None = None) -> Outcome:
        """Run a seed without what is taken out, or without the first `parts` of it only."""
        with ExitStack() as stack:
            for part in self.without[:parts]:
                stack.enter_context(part())
            return simulate(seed, shape=self.shape(seed))


_POWER_LOST_BETWEEN_TWO_TOPICS = replace(
    shape_of(5),
    mode="edge",
    workers=1,
    volume=Volume({"ratings": 1, "more": 1}, users=1, records=8, seconds=4.0, malformed=0.0),
    batch_max_records=1,
    kinds=frozenset({"crash", "crash_after"}),
    rate=0.03,
    operations=(Operation(12.176, "power", 0.0),),
    flush_interval_s=1_000.0,
)
"""Power is lost right after a list of one topic's event that counts another one's, whose commit a crash prevented."""

MUTANTS: dict[str, Mutant] = {
    "compare-and-set": Mutant(12, (no_compare_and_set,)),
    "read-back": Mutant(965, (no_read_back,)),
    "marker seek": Mutant(3, (no_marker_seek,)),
    "marker one behind": Mutant(298, (marker_ahead,)),
    "publish rule": Mutant(2, (no_publish_rule,)),
    "seek to committed: nothing is sought": Mutant(7, (no_rewind,)),
    "seek to committed: the batch is sought": Mutant(11, (rewind_to_batch,)),
    "redo with tried tags": Mutant(93, (tried_forgotten,)),
    "redo with every tag read": Mutant(2490, (last_read_only,)),
    "marker seek after a loss of power": Mutant(38, (no_marker_seek,)),
    "marker one behind in a loss of power": Mutant(188, (marker_ahead,)),
    "nothing new before all is caught up": Mutant(1618, (no_catching_up,)),
    "flush before going on": Mutant(28, (left_over_unflushed,), made=_POWER_LOST_BETWEEN_TWO_TOPICS),
    "old before new": Mutant(21293, (no_old_first,)),
    # Two guards of one thing, either alone suffices: a batch is given up when partitions change while it waits, and no
    # callback runs between a poll and its commit otherwise; were it kept, its poll's metadata would be stale.
    "metadata from the poll, and batches given up": Mutant(105, (metadata_at_commit, batch_kept_over_rebalance)),
    "batches given up, and metadata from the poll": Mutant(105, (batch_kept_over_rebalance, metadata_at_commit)),
    # A stale cache loses its compare-and-set and is read anew; only without that does dropping it matter, and among
    # workers that come and go in order it is then all that is needed.
    "compare-and-set, and cache dropped on revoke": Mutant(38, (no_compare_and_set, cache_kept), is_polite=True),
    "cache dropped on revoke, and compare-and-set": Mutant(38, (cache_kept, no_compare_and_set), is_polite=True),
}
"""By what is taken out. Where it is two things, the first alone is not seen, as the second stands in for it."""
