"""The worker's step over fakes that write down what they are asked, in order: the delivery guarantee's own law."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, cast

import pytest
from prometheus_client.parser import text_string_to_metric_families

from consumers import flushing
from consumers import worker as worker_module
from consumers.answering.desk import Desk
from consumers.exit_codes import ExitCode
from consumers.handler import Handler
from consumers.health import Health
from consumers.live_report import LiveReport
from consumers.metrics import Metrics
from consumers.offsets import SourceError
from consumers.pool_upkeep import PoolUpkeep
from consumers.records import Batch, Record
from consumers.source import KafkaSource
from consumers.surroundings import Surroundings
from consumers.watchdog import Watchdog
from consumers.worker import TURN_MAX_S, TURN_S, Parts, Worker, WorkerLimits
from producers.sink import FencedError, SinkError, TransactionAbortedError, TransactionalSink
from recommender.recommender import Recommender
from recommender.store import Store, StoreError, StoreFullError, StoreRestoredError, StoreUnavailableError
from schemas.messages import Message

NOW_MS = 1_700_000_000_000
METADATA = object()
AWAY = StoreUnavailableError("away")
EAGER = WorkerLimits(flush_interval_s=1e-9)


def record(offset: int, *, replayed: bool = False, at_ms: int | None = NOW_MS - 250) -> Record:
    return Record("ratings", 0, offset, "id:0", b"u", b"{}", (), at_ms, replayed)


def batch(*offsets: int) -> Batch:
    return Batch([record(offset) for offset in offsets], METADATA)


REPLAY = Batch([record(1, replayed=True), record(2, replayed=True)], METADATA)


class Sized:
    size_bytes = 30


@dataclass
class Figures:
    """Live evaluation whose figures are always due."""

    messages: list[Message]
    committed_times: int = 0

    def due(self, now_ms: int) -> list[Message]:
        assert now_ms == NOW_MS
        return self.messages

    def committed(self) -> None:
        self.committed_times += 1


@dataclass
class Moves:
    """A neighbour pool's upkeep."""

    moves: list[bool]

    def step(self, users_max: int) -> bool:
        assert users_max > 0
        return bool(self.moves and self.moves.pop(0))


@dataclass
class World:
    """Everything around a worker. `failures` are raised by the calls of a name, in turn; None lets one through."""

    batches: list[Batch] = field(default_factory=list)
    failures: dict[str, list[Exception | None]] = field(default_factory=dict)
    during: dict[str, Callable[[], None]] = field(default_factory=dict)
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    held: frozenset[tuple[str, int]] = frozenset({("ratings", 0)})
    replaying: bool = False
    ours: bool = True
    lag: dict[tuple[str, int], int] = field(default_factory=dict)
    exclusive: bool = True
    uncounted_slices: int = 0
    is_warm: bool = False
    cached_bytes: int = 20
    write_conflicts: int = 3
    cache: Sized = field(default_factory=Sized)
    waits: list[float | None] = field(default_factory=list)
    requests: list[bool] = field(default_factory=list)
    """Whether each look for requests finds any, in turn; then none does."""

    def called(self, name: str, *arguments: object) -> None:
        self.calls.append((name, *arguments))
        if name in self.during:
            self.during[name]()
        waiting = self.failures.get(name)
        if waiting and (failure := waiting.pop(0)) is not None:
            raise failure

    @property
    def names(self) -> list[str]:
        return [call[0] for call in self.calls if call[0] not in {"beat", "count", "committed"}]

    # The source
    def poll(self, timeout_s: float | None = None) -> Batch:
        self.called("poll")
        self.waits.append(timeout_s)
        return self.batches.pop(0) if self.batches else Batch([], METADATA)

    def keep_alive(self) -> bool:
        self.called("keep_alive")
        return self.ours

    def rewind(self) -> None:
        self.called("rewind")

    def lags(self) -> Mapping[tuple[str, int], int]:
        return self.lag

    # The handler
    def handle(self, given: Batch) -> list[Message]:
        self.called("handle", tuple(r.offset for r in given.records))
        return [Message("lists", b"u", b"%d" % r.offset) for r in given.records if not r.replayed]

    def committed(self) -> None:
        self.called("committed")

    def drop_caches(self) -> None:
        self.called("drop_caches")

    # The sink
    def begin(self) -> None:
        self.called("begin")

    def send(self, messages: list[Message]) -> None:
        self.called("send", tuple(message.value for message in messages))

    def commit(self, next_offsets: Mapping[tuple[str, int], int], group_metadata: object = None) -> None:
        self.called("commit", dict(next_offsets), group_metadata)

    def abort(self) -> None:
        self.called("abort")

    # The store
    def flush(self) -> None:
        self.called("flush")

    # The recommender
    def warm_up(self) -> None:
        assert not self.calls
        self.is_warm = True

    def scan_slice(self, users_max: int) -> bool:
        self.called("count", users_max)
        self.uncounted_slices -= 1
        return self.uncounted_slices >= 0

    def rescan(self) -> None:
        self.called("rescan")

    # The desk
    def step(self, wait_s: float) -> bool:
        self.called("answer", wait_s)
        return bool(self.requests and self.requests.pop(0))

    # The watchdog
    def beat(self) -> None:
        self.called("beat")


@dataclass
class Rig:
    world: World
    limits: WorkerLimits = field(default_factory=WorkerLimits)
    metrics: Metrics = field(default_factory=Metrics)
    health: Health = field(default_factory=lambda: Health(60))
    has_desk: bool = False
    figures: Figures | None = None
    moves: list[bool] | None = None
    """Whether each look at the neighbour pool moves any users; then none does."""
    worker: Worker = field(init=False)

    def __post_init__(self) -> None:
        world = self.world
        parts = Parts(
            cast("KafkaSource", world),
            cast("TransactionalSink", world),
            cast("Store", world),
            cast("Handler", world),
            cast("Recommender", world),
            desk=cast("Desk", world) if self.has_desk else None,
            live=cast("LiveReport", self.figures) if self.figures else None,
            pool=cast("PoolUpkeep", Moves(self.moves)) if self.moves else None,
        )
        around = Surroundings(self.metrics, self.health, cast("Watchdog", world), lambda: NOW_MS)
        self.worker = Worker(parts, self.limits, around)

    def served(self, name: str) -> dict[str, float]:
        """Values of a metric by their labels' values."""
        families = text_string_to_metric_families(self.metrics.render().decode())
        samples = [sample for family in families for sample in family.samples if sample.name == name]
        return {",".join(value for _, value in sorted(sample.labels.items())): sample.value for sample in samples}


def rig(*batches: Batch, limits: WorkerLimits | None = None, **world: Any) -> Rig:
    return Rig(World(list(batches), **world), limits or WorkerLimits())


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "_BACKOFF_FIRST_S", 0.001)


# A step that is committed


def test_a_step_is_poll_handle_send_commit() -> None:
    """Law: the state is written and messages are under way before offsets are committed, with the batch's metadata."""
    it = rig(batch(4, 5))
    it.worker.step()
    assert [call for call in it.world.calls if call[0] not in {"beat", "count"}] == [
        ("poll",),
        ("handle", (4, 5)),
        ("begin",),
        ("send", (b"4", b"5")),
        ("commit", {("ratings", 0): 6}, METADATA),
        ("committed",),
    ]


def test_an_empty_poll_commits_nothing() -> None:
    """Law: without records there is no transaction, but the watchdog hears of the step."""
    it = rig()
    it.worker.step()
    assert it.world.names == ["poll"]
    assert ("beat",) in it.world.calls


def test_figures_that_are_due_are_published_without_a_batch() -> None:
    """Law: in a transaction of their own, without offsets, and only where nothing came that takes them along."""
    figures = Figures([Message("metrics", b"k", b"figures")])
    it = Rig(World([batch(4)]), figures=figures)
    it.worker.step()
    assert ("send", (b"4",)) in it.world.calls
    it.world.calls.clear()
    it.worker.step()
    assert [call for call in it.world.calls if call[0] not in {"beat", "count"}] == [
        ("poll",),
        ("begin",),
        ("send", (b"figures",)),
        ("commit", {}, None),
    ]
    assert figures.committed_times == 1


def test_figures_that_could_not_be_published_hold_nothing_up() -> None:
    """Law: an aborted transaction of figures goes nowhere back; they are published later, and no batch is told."""
    figures = Figures([Message("metrics", b"k", b"figures")])
    it = Rig(World(failures={"commit": [TransactionAbortedError("away")]}), figures=figures)
    it.worker.step()
    assert (it.world.names, figures.committed_times) == (["poll", "begin", "send", "commit"], 0)
    it.worker.step()
    assert figures.committed_times == 1
    assert ("committed",) not in it.world.calls


def test_a_replay_needs_no_transaction() -> None:
    """Law: what was committed before is neither published nor committed again."""
    it = rig(REPLAY)
    it.worker.step()
    assert it.world.names == ["poll", "handle"]


def test_a_batch_that_is_half_replayed_commits_its_live_half() -> None:
    """Law: one live record is enough for a transaction."""
    it = rig(Batch([*REPLAY.records, record(3)], METADATA))
    it.worker.step()
    assert ("commit", {("ratings", 0): 4}, METADATA) in it.world.calls


def test_freshness_is_measured_from_append_to_commit() -> None:
    """Law: live records with a timestamp alone are measured, and only once they are committed."""
    records = [record(1, replayed=True), record(2), record(3, at_ms=None)]
    it = rig(Batch(records, METADATA), batch(4), failures={"commit": [None, TransactionAbortedError("rebalanced")]})
    it.worker.step()
    it.worker.step()
    assert it.served("tastestream_freshness_seconds_count") == {"": 1}
    assert it.served("tastestream_freshness_seconds_sum") == {"": 0.25}


def test_only_what_is_committed_is_told_to_the_handler() -> None:
    """Law: a batch that was given up, and one that was only replayed, count for no limit."""
    it = rig(batch(4), REPLAY, batch(4), failures={"commit": [TransactionAbortedError("rebalanced")]})
    for told in (0, 0, 1):
        it.worker.step()
        assert it.world.calls.count(("committed",)) == told


# Flushing, which no commit waits for


class Clock:
    """Stands still until it is moved."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 100.0
        monkeypatch.setattr(flushing, "time", self)

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def flushes_of(it: Rig, clock: Clock, *waits_s: float) -> list[int]:
    """How often the store was flushed by the end of each of as many steps, which begin after these times."""
    counts = []
    for wait_s in waits_s:
        clock.now_s += wait_s
        it.worker.step()
        counts.append(it.world.names.count("flush"))
    return counts


@pytest.mark.parametrize("first", [batch(4), REPLAY], ids=["live", "replayed"])
def test_the_store_is_flushed_an_interval_after_the_first_unflushed_write(first: Batch, clock: Clock) -> None:
    """Law: further writes put it off no longer, a replay counts as well, and after it the next write counts anew."""
    batches = [first, batch(5), batch(6), batch(7), batch(8), batch(9)]
    it = rig(*batches, limits=WorkerLimits(flush_interval_s=1.0))
    assert flushes_of(it, clock, 0, 0.4, 0.5, 0.1, 5, 0.9) == [0, 0, 0, 1, 1, 1]
    assert flushes_of(it, clock, 0.1) == [2]


def test_a_step_without_ratings_flushes_what_is_due(clock: Clock) -> None:
    """Law: the last write before a silence is durable after the same time; in the silence nothing is flushed."""
    it = rig(batch(4), limits=WorkerLimits(flush_interval_s=1.0))
    assert flushes_of(it, clock, 50, 0.9, 0.2, 50, 50) == [0, 0, 1, 1, 1]
    assert it.served("tastestream_step_seconds_count")["flush"] == 1


def test_a_flush_comes_after_the_commit_and_the_answers(clock: Clock) -> None:
    """Law: neither lists nor answers wait for the disk."""
    it = Rig(World([batch(4)], requests=[True]), limits=WorkerLimits(flush_interval_s=1.0), has_desk=True)
    it.worker.step()
    it.world.calls.clear()
    it.world.batches, it.world.requests = [batch(5)], [True]
    clock.now_s += 1
    it.worker.step()
    assert it.world.names[-3:] == ["commit", "answer", "flush"]


def test_what_was_written_and_not_committed_is_flushed_before_anything_else_is_taken(clock: Clock) -> None:
    """Law: be it a setback's, or of a worker that was killed before this one began; once, and not again when due."""
    it = rig(batch(4), failures={"commit": [TransactionAbortedError("rebalanced")]})
    assert flushes_of(it, clock, 0, 2) == [1, 1]
    assert it.world.names[-4:] == ["drop_caches", "flush", "rewind", "poll"]
    killed = rig(batch(4))
    killed.world.during["commit"] = killed.worker.stop
    killed.worker.run()
    assert killed.world.names[:2] == ["flush", "poll"]


def test_users_who_change_sides_of_the_neighbour_pool_are_flushed(clock: Clock) -> None:
    """Law: what is written between batches is written, too."""
    it = Rig(World(), limits=WorkerLimits(flush_interval_s=1.0), moves=[True])
    assert flushes_of(it, clock, 0, 0.9, 0.1, 50) == [0, 0, 1, 1]


def test_stopping_flushes_what_was_written() -> None:
    """Law: whoever stops in an orderly way leaves nothing to replay, and has nothing to flush where nothing came."""
    it = rig(batch(4))
    it.world.during["commit"] = it.worker.stop
    it.worker.run()
    assert it.world.names[-1] == "flush"
    idle = rig()
    idle.world.during["poll"] = idle.worker.stop
    idle.worker.run()
    assert idle.world.names == ["flush", "poll"]


# A step that is given up


@pytest.mark.parametrize("step", ["begin", "send", "commit"])
def test_an_aborted_transaction_goes_back_to_what_is_committed(step: str) -> None:
    """Law: what was cached may never have been, and the consumer's position is not rewound by itself."""
    it = rig(batch(4), failures={step: [TransactionAbortedError("rebalanced")]})
    it.worker.step()
    assert it.world.names[-4:] == [step, "drop_caches", "flush", "rewind"]
    assert it.served("tastestream_producer_restarts_total") == {"": 1}


def test_after_an_abort_the_records_are_handled_again() -> None:
    """Law: the step after a rewind is like any other."""
    it = rig(batch(4), batch(4), failures={"commit": [TransactionAbortedError("rebalanced")]})
    it.worker.step()
    it.worker.step()
    assert it.world.names.count("commit") == 2
    assert it.world.names[-1] == "commit"


def test_a_marker_that_was_set_back_is_gone_back_to() -> None:
    """Law: a store that was restored, or another worker's late write, is answered as a restart would answer it."""
    it = rig(batch(4), batch(2), failures={"handle": [StoreRestoredError("restored")]})
    it.worker.step()
    assert it.world.names == ["poll", "handle", "drop_caches", "flush", "rewind"]
    it.worker.step()
    assert it.world.names[-1] == "commit"


@pytest.mark.parametrize(
    ("step", "error"),
    [("commit", TransactionAbortedError("no such topic")), ("handle", StoreRestoredError("restored"))],
)
def test_what_sets_back_every_time_stops_the_worker(step: str, error: Exception) -> None:
    """Law: a batch that can never be committed does not go round for ever; the error is that of the last time."""
    it = rig(*[batch(4)] * 9, failures={step: [error] * 9}, limits=WorkerLimits(setbacks_in_a_row_max=3))
    with pytest.raises(type(error), match=str(error)):
        it.worker.run()
    assert (it.world.names.count(step), it.world.names.count("rewind")) == (4, 3)


def test_only_a_commit_ends_a_row_of_setbacks() -> None:
    """Law: a replay between two aborts is no progress, a commit is."""
    abort = TransactionAbortedError("rebalanced")
    limits = WorkerLimits(setbacks_in_a_row_max=1)
    it = rig(batch(4), REPLAY, batch(4), failures={"commit": [abort, abort]}, limits=limits)
    it.worker.step()
    it.worker.step()
    with pytest.raises(TransactionAbortedError):
        it.worker.step()
    it = rig(batch(4), batch(4), batch(5), failures={"commit": [abort, None, abort]}, limits=limits)
    for _ in range(3):
        it.worker.step()
    assert it.world.names[-1] == "rewind"


# A step that ends the worker


@pytest.mark.parametrize("error", [StoreError("broken"), StoreFullError("full"), ValueError("a bug of ours")])
def test_nothing_is_committed_when_handling_fails(error: Exception) -> None:
    """Law: a failure that no retry mends stops the worker before anything is begun; a restart replays."""
    it = rig(batch(4), failures={"handle": [error]})
    with pytest.raises(type(error)):
        it.worker.step()
    assert it.world.names == ["poll", "handle"]


@pytest.mark.parametrize("error", [StoreFullError("full"), StoreUnavailableError("away")])
def test_a_store_that_cannot_be_flushed_stops_the_worker(error: StoreError) -> None:
    """Law: what is written and not durable does not grow without bound; no transaction is open then."""
    it = rig(batch(4), failures={"flush": [error]}, limits=EAGER)
    with pytest.raises(type(error)):
        it.worker.step()
    assert it.world.names == ["poll", "handle", "begin", "send", "commit", "flush"]


@pytest.mark.parametrize("error", [FencedError("fenced"), SinkError("refused")])
def test_a_sink_that_cannot_go_on_stops_the_worker(error: SinkError) -> None:
    """Law: only an aborted transaction is tried again."""
    it = rig(batch(4), failures={"commit": [error]})
    with pytest.raises(type(error)):
        it.worker.step()
    assert "rewind" not in it.world.names


def test_a_source_that_cannot_go_on_stops_the_worker() -> None:
    """Law: nothing is handled without records."""
    it = rig(failures={"poll": [SourceError("refused")]})
    with pytest.raises(SourceError):
        it.worker.run()
    assert it.world.names == ["flush", "poll"]


# A store that is away


def test_a_store_that_is_away_is_waited_for_in_the_group() -> None:
    """Law: the very same batch is handled again, with signs of life between, and committed with its own metadata."""
    it = rig(batch(4, 5), failures={"handle": [AWAY, AWAY]})
    it.worker.step()
    order = " ".join(name for name, _ in groupby(it.world.names))
    assert order == "poll handle keep_alive handle keep_alive handle begin send commit"
    assert {call for call in it.world.calls if call[0] == "handle"} == {("handle", (4, 5))}
    assert ("commit", {("ratings", 0): 6}, METADATA) in it.world.calls
    assert it.served("tastestream_store_retries_total") == {"": 2}


def test_every_sign_of_life_reaches_the_watchdog() -> None:
    """Law: waiting for a store is no step that hangs."""
    it = rig(batch(4), failures={"handle": [AWAY]})
    it.worker.step()
    beats = [at for at, call in enumerate(it.world.calls) if call[0] == "beat"]
    waits = [at for at, call in enumerate(it.world.calls) if call[0] == "keep_alive"]
    assert waits
    assert all(at - 1 in beats for at in waits)


def test_a_batch_that_is_no_longer_ours_is_given_up() -> None:
    """Law: when partitions came or went meanwhile, everything goes on from what is committed."""
    it = rig(batch(4), failures={"handle": [AWAY]}, ours=False)
    it.worker.step()
    assert it.world.names == ["poll", "handle", "keep_alive", "drop_caches", "flush", "rewind"]


def test_stopping_does_not_wait_for_the_store() -> None:
    """Law: the batch is left to the next start; nothing is asked of the brokers on the way out."""
    it = rig(batch(4), failures={"handle": [AWAY]})
    it.world.during["keep_alive"] = it.worker.stop
    it.worker.run()
    assert it.world.names == ["flush", "poll", "handle", "keep_alive", "drop_caches", "flush"]


def test_a_store_that_stays_away_stops_the_worker() -> None:
    """Law: waiting has a limit; then the store's own error ends the worker, and nothing was committed."""
    errors: list[Exception | None] = [StoreUnavailableError(f"away {n}") for n in range(10_000)]
    it = rig(batch(4), failures={"handle": errors}, limits=WorkerLimits(store_retry_limit_s=0.05))
    with pytest.raises(StoreUnavailableError):
        it.worker.step()
    assert it.world.names.count("handle") > 1
    assert set(it.world.names) == {"poll", "handle", "keep_alive"}


def test_a_store_is_left_alone_as_long_as_it_asks() -> None:
    """Law: what the store says about when to come back counts."""
    asked_s = 0.05
    at: list[float] = []
    it = rig(batch(4), failures={"handle": [StoreUnavailableError("busy", asked_s)]})
    it.world.during["handle"] = lambda: at.append(time.monotonic())
    it.worker.step()
    assert at[1] - at[0] >= asked_s


def test_a_store_that_asks_for_more_than_the_limit_is_not_waited_for() -> None:
    """Law: the limit of waiting holds, whatever the store asks."""
    limits = WorkerLimits(store_retry_limit_s=10)
    it = rig(batch(4), failures={"handle": [StoreUnavailableError("busy", 60)]}, limits=limits)
    with pytest.raises(StoreUnavailableError):
        it.worker.step()
    assert it.world.names == ["poll", "handle"]


# Running, stopping, reporting


def test_an_assignment_that_waits_for_the_store_ends_when_asked_to() -> None:
    """Law: waiting is alive and not ready; once the worker is to stop, the process ends, in order."""
    world = World()
    health = Health(60)
    around = Surroundings(Metrics(), health, cast("Watchdog", world), lambda: 0)
    health.ready(True)
    around.wait_unless_stopping()
    assert (world.calls, health.why_not_ready()) == ([("beat",)], "the store is away")
    around.stopping.set()
    with pytest.raises(SystemExit) as ended:
        around.wait_unless_stopping()
    assert ended.value.code == ExitCode.OK


def test_stopping_finishes_the_step_in_hand() -> None:
    """Law: a batch that was read is committed, and no other is read."""
    it = rig(batch(4), batch(5))
    it.world.during["handle"] = it.worker.stop
    it.worker.run()
    assert it.world.names == ["flush", "poll", "handle", "begin", "send", "commit", "flush"]


def test_an_abort_while_stopping_asks_nothing_more() -> None:
    """Law: the next start begins at the committed offsets by itself."""
    it = rig(batch(4), failures={"commit": [TransactionAbortedError("rebalanced")]})
    it.world.during["commit"] = it.worker.stop
    it.worker.run()
    assert it.world.names[-2:] == ["drop_caches", "flush"]


def test_a_worker_that_was_stopped_before_it_began_reads_nothing() -> None:
    """Law: a signal may come at any time."""
    it = rig(batch(4))
    it.worker.stop()
    it.worker.run()
    assert it.world.names == ["flush"]


@pytest.mark.parametrize(
    ("held", "replaying", "why_not"),
    [
        (frozenset({("ratings", 0)}), False, ""),
        (frozenset({("ratings", 0)}), True, "catching up"),
        (frozenset(), False, "no partitions"),
    ],
)
def test_readiness_says_whether_lists_are_refreshed(
    held: frozenset[tuple[str, int]], replaying: bool, why_not: str
) -> None:
    """Law: ready is who holds partitions and is past what was committed; the reason stands beside."""
    it = rig(held=held, replaying=replaying)
    assert it.health.why_not_ready() != ""
    it.worker.step()
    found = it.health.why_not_ready()
    assert why_not in found
    assert (found == "") == (why_not == "")
    assert it.served("tastestream_assigned_partitions") == {"": len(held)}


def test_a_worker_that_waits_for_its_store_is_alive_but_not_ready() -> None:
    """Law: restarting it would not help; ready again it is after the next step."""
    said: list[tuple[str, str]] = []
    it = rig(batch(4), failures={"handle": [AWAY]})
    it.world.during["keep_alive"] = lambda: said.append((it.health.why_not_live(), it.health.why_not_ready()))
    it.worker.step()
    assert set(said) == {("", "the store is away")}
    assert it.health.why_not_ready() == ""


def test_the_lag_of_a_partition_is_told_while_it_is_held() -> None:
    """Law: a partition that went to another worker is not served any more."""
    it = rig(lag={("ratings", 0): 7, ("ratings", 1): 8})
    it.worker.step()
    assert it.served("tastestream_lag_records") == {"0,ratings": 7, "1,ratings": 8}
    it.world.lag = {("ratings", 1): 3}
    it.worker.step()
    assert it.served("tastestream_lag_records") == {"1,ratings": 3}


def test_the_memory_of_the_caches_is_told() -> None:
    """Law: each cache under its own name."""
    it = rig()
    it.worker.step()
    assert it.served("tastestream_cache_bytes") == {"own": 20, "neighbours": 30, "lists": 0, "shadow": 0}
    assert it.served("tastestream_write_conflicts_total") == {"": 3}


# Counting what is stored


def test_the_kernels_are_loaded_before_anything_is_read() -> None:
    """No list waits for them: it is done while the group still gives out partitions."""
    it = rig()
    it.worker.stop()
    it.worker.run()
    assert it.world.is_warm


def test_stored_users_are_counted_a_slice_per_step() -> None:
    """Law: the first slice comes before the first batch; a worker never stops reading to count."""
    it = rig(batch(4), limits=WorkerLimits(scan_slice_users=70), uncounted_slices=5)
    it.world.during["commit"] = it.worker.stop
    it.worker.run()
    assert it.world.calls[0] == ("count", 70)
    assert [call[0] for call in it.world.calls].count("count") == 2


def test_counting_stored_users_waits_for_no_rating() -> None:
    """Law: a poll is short while more is to be counted; not where the store is away, and not once all is counted."""
    it = rig(uncounted_slices=2, failures={"count": [None, AWAY]})
    for _ in range(5):
        it.worker.step()
    assert it.world.waits == [None, TURN_S, None, TURN_S, None]


def test_a_store_that_cannot_be_counted_now_stops_nothing() -> None:
    """Law: popularity is worth no outage."""
    it = rig(batch(4), failures={"count": [AWAY, AWAY]})
    it.world.during["commit"] = it.worker.stop
    it.worker.run()
    assert it.world.names[-2:] == ["commit", "flush"]


@pytest.mark.parametrize(("exclusive", "interval_s", "rescans"), [(False, 0, 1), (False, 600, 0), (True, 0, 0)])
def test_a_shared_store_is_counted_anew_now_and_then(exclusive: bool, interval_s: float, rescans: int) -> None:
    """Law: only where other workers write can the count grow old, and only after its interval."""
    it = rig(exclusive=exclusive, limits=WorkerLimits(rescan_interval_s=interval_s))
    it.worker.step()
    assert it.world.names.count("rescan") == rescans


# Requests


def desk_rig(*batches: Batch, **world: Any) -> Rig:
    return Rig(World(list(batches), **world), WorkerLimits(poll_timeout_s=0.02), has_desk=True)


def test_requests_are_answered_while_no_ratings_come() -> None:
    """Law: ratings are waited for a moment at a time, requests are looked for in between; the step ends in time."""
    it = desk_rig()
    it.worker.step()
    it.world.calls.clear()
    it.worker.step()
    assert it.world.names[:4] == ["poll", "answer", "poll", "answer"]
    assert {call[1] for call in it.world.calls if call[0] == "answer"} == {0.0}


def test_an_idle_worker_looks_less_often() -> None:
    """Law: while nothing comes each wait is longer than the one before, up to a bound, also from step to step."""
    it = desk_rig()
    while len(it.world.waits) < 300:
        it.worker.step()
    waits = [wait for wait in it.world.waits[1:] if wait is not None]
    assert waits[0] == TURN_S
    assert waits == sorted(waits)
    assert waits[-1] == TURN_MAX_S


@pytest.mark.parametrize("what", ["rating", "request"])
def test_whatever_comes_makes_turns_short_again(what: str) -> None:
    """Law: after a rating or a request the next wait is the shortest, because more may follow."""
    it = desk_rig()
    while len(it.world.waits) < 300:
        it.worker.step()
    if what == "rating":
        it.world.batches.append(batch(1))
    else:
        it.world.requests.append(True)
    it.world.waits.clear()
    it.worker.step()
    it.worker.step()
    assert it.world.waits[:2] == [TURN_MAX_S, TURN_S]


def test_ratings_go_first_and_requests_follow_at_once() -> None:
    """Law: a batch is committed before requests are looked for, which are not waited for then."""
    it = desk_rig(Batch([], METADATA), batch(1), batch(2))
    it.worker.step()
    it.world.calls.clear()
    it.worker.step()
    it.worker.step()
    turn = ["poll", "handle", "begin", "send", "commit", "answer"]
    assert it.world.names == turn * 2
    assert {call[1] for call in it.world.calls if call[0] == "answer"} == {0.0}


def test_requests_wait_until_the_stored_ratings_are_counted() -> None:
    """Law: nobody is told what is popular before it is known."""
    it = desk_rig(uncounted_slices=2)
    for _ in range(2):
        it.worker.step()
    assert "answer" not in it.world.names
    it.worker.step()
    it.worker.step()
    assert "answer" in it.world.names


def test_what_the_desk_cannot_deal_with_ends_the_worker() -> None:
    """Law: a failure there is a failure of the step."""
    it = desk_rig(failures={"answer": [SinkError("x")]})
    it.worker.step()
    with pytest.raises(SinkError):
        it.worker.step()


def test_the_watchdog_hears_of_every_look_for_requests() -> None:
    """Law: a long row of answers is no step that hangs."""
    it = desk_rig()
    it.worker.step()
    it.world.calls.clear()
    it.worker.step()
    called = [call[0] for call in it.world.calls]
    assert all(called[at - 1] == "beat" for at, name in enumerate(called) if name == "answer")
