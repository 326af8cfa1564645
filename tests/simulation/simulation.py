"""One run: the real service's workers over the simulated Kafka and store, from a seed to what the oracle says."""

import random
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from unittest.mock import patch

from decisions import Decisions, Fault, Key
from disks import Disk, EdgeDisk
from host import Host
from kafka_broker import Broker
from kafka_broker import Place as KafkaPlace
from kafka_clients import SimulatedConsumer
from oracle import DEAD_LETTERS, LISTS, Reader, Truth, ends, not_durable, violations
from quorum import quorum_reads
from scheduler import Crash, Scheduler, Task
from service import STORE_SETTINGS, Surrounded, worker_of
from shape import QUIET_S, Operation, Shape, shape_of
from silence import silent
from simulated_store import Place
from workload import Planned, planned_records

from consumers.offsets import SourceError
from consumers.records import GapError
from consumers.worker import Worker
from producers.sink import SinkError
from recommender.profile import Update
from recommender.store import StoreError

TIME_LIMIT_S = 220.0
EMPTY_GROUP_S = 6.0
"""After so long the brokers know that nobody is left."""
DECLARED = (StoreError, SinkError, SourceError, GapError)
"""What may end a worker; it is started again."""


@dataclass(slots=True)
class Outcome:
    """What a run came to: what is wrong (nothing, if all is well), what went wrong on the way, and the story."""

    seed: int
    violations: list[str]
    decisions: dict[Key, Fault]
    trace: list[str]


@dataclass(eq=False, slots=True)
class _Slot:
    number: int
    incarnations: int = 0
    host: Host | None = None
    worker: Worker | None = None
    hosts: list[Host] = field(default_factory=list)


@dataclass(eq=False)
class Simulation:
    """The world of one run."""

    seed: int
    shape: Shape
    decisions: Decisions
    tracing: bool = False
    trace: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        shape = self.shape
        self.scheduler = Scheduler(TIME_LIMIT_S)
        self.broker = Broker(self.scheduler, shape.volume.inputs, (LISTS, DEAD_LETTERS), together=shape.together)
        disks: list[Disk] = [EdgeDisk(STORE_SETTINGS)] if shape.mode == "edge" else []
        disks = disks or [Disk(STORE_SETTINGS) for _ in range(shape.replicas)]
        self.place = Place(disks, acknowledgements_min=2 if shape.replicas == 3 else 1)
        self.place.snapshots.append(disks[0].copy())
        self.truth = Truth(shape.limits, ordered=len(shape.volume.inputs) == 1)
        self._dice = random.Random(self.seed + 17)  # noqa: S311  # no secret
        self.broker.tell = lambda what: self.say("broker", what)
        self._slots = [_Slot(number) for number in range(shape.workers)]
        self._hosts: list[tuple[Host, SimulatedConsumer]] = []
        self._halted = self._caught_up = False

    def run(self) -> list[str]:
        """Everything from the first record to the verdict."""
        for number, record in enumerate(planned_records(self.seed, self.shape.volume)):
            if self.decisions.planned(Key("record", 0, number), Fault("record", 0.0)) is not None:
                self.scheduler.at(record.at_s, lambda record=record: self._produce(record))  # type: ignore[misc]
        for number, operation in enumerate(self.shape.operations):
            if self.decisions.planned(Key("operation", 0, number), Fault(operation.kind, operation.amount)):
                self.scheduler.at(operation.at_s, lambda op=operation: self._operate(op))  # type: ignore[misc]
        if self.shape.mode == "edge":
            self.broker.on_commit = self._check_flushed
        self.scheduler.at(QUIET_S, self._quieten)
        for slot in self._slots:
            self._start(slot, self._dice.random())
        with _replaced_clock(self.scheduler), silent():
            try:
                self.scheduler.run()
            except Exception as error:  # noqa: BLE001  # whatever the service raises that it does not declare
                self.problems.append(f"raised {error!r}")
                self.say("cluster", f"raised {error!r}")
        if self.shape.writer_must_live and any(slot.incarnations > 1 for slot in self._slots):
            return []
        if not self._caught_up and not self.problems:
            self.problems.append("the workers did not catch up")
        self.problems += violations(self.truth, self.broker, self._readers())
        return self.problems

    def _readers(self) -> Sequence[Reader]:
        disks = self.place.disks
        if len(disks) < 3:
            return disks
        # Whichever replica does not take part in it, a quorum read must show the truth.
        return [quorum_reads(disks, lambda at=at: {at}, self._dice) for at in range(len(disks))]  # type: ignore[misc]

    def say(self, who: str, what: str) -> None:
        """Write a line of the story."""
        if self.tracing:
            self.trace.append(f"{self.scheduler.now:8.3f}  {who:6} {what}")

    def _produce(self, record: Planned) -> None:
        offset = self.broker.append(record.place, record.user_id.encode(), record.value)
        self.say("log", f"{record.place} {offset}: {record.user_id} {record.value.decode()}")
        if record.change is None:
            self.truth.malformed.append((*record.place, offset))
            return
        source = f"id-{record.place[0]}:{record.place[1]}"
        self.truth.updates[record.user_id].append(Update(source, offset, record.user_id, record.change))

    def _start(self, slot: _Slot, delay_s: float) -> None:
        slot.incarnations += 1
        host = Host(slot.number, slot.incarnations, self.scheduler, self.decisions)
        host.task = Task(host.name, lambda: self._live(slot, host))
        host.tell = lambda what: self.say(host.name, what)
        host.on_replaced = lambda: self._replace(slot)
        slot.host, slot.worker = host, None
        slot.hosts = [other for other in slot.hosts if not other.gone] + [host]
        self.scheduler.start(host.task, delay_s)

    def _replace(self, slot: _Slot) -> None:
        """Start another one of the same name beside one that seems to be gone, if there are not two already."""
        if sum(not host.gone for host in slot.hosts) < 2:
            self._start(slot, 0.5)

    def _live(self, slot: _Slot, host: Host) -> None:
        """A process from start to end; its supervisor starts the next one."""
        try:
            with ExitStack() as stack:
                surrounded = Surrounded(host, self.broker, self.place, self.shape, self._consumer_made)
                worker = worker_of(surrounded, stack)
                if slot.host is host:
                    slot.worker = worker
                worker.run()
        except DECLARED as error:
            self.say(host.name, f"ends: {error!r}")
        except Crash:
            self.say(host.name, "crashes")
        finally:
            if slot.host is host and not self._halted and not self.scheduler.stopped:
                self._start(slot, 0.3 + self._dice.random() * 2)

    def _consumer_made(self, host: Host, consumer: SimulatedConsumer) -> None:
        self._hosts.append((host, consumer))

    def _operate(self, operation: Operation) -> None:
        slot = self._slots[int(operation.amount * len(self._slots))]
        self.say("cluster", f"{operation.kind} (w{slot.number}, if of one)")
        match operation.kind:
            case "bounce" if slot.worker is not None:
                slot.worker.stop()
            case "kill" if slot.host is not None and slot.host.begun:
                self._kill(slot.host)
            case "power":
                self._lose_power()
            case "snapshot":
                self.place.snapshots.append(self.place.disk.copy())
            case "restore" if not self._halted:
                self._halted = True
                for host in [host for each in self._slots for host in each.hosts]:
                    self._kill(host)
                self.scheduler.at(self.scheduler.now + EMPTY_GROUP_S, lambda: self._restore(operation.amount))

    def _kill(self, host: Host) -> None:
        if host.task is not None:
            self.scheduler.kill(host.task)

    def _lose_power(self) -> None:
        """The machine goes off: every process on it ends, and the store's folder loses the end of what was written."""
        for host in [host for each in self._slots for host in each.hosts if host.begun]:
            self._kill(host)
        if isinstance(self.place.disk, EdgeDisk):
            self.place.disk.lose_power(self._dice)
            self._check_durable(self.broker.group.committed, self.place.disk)

    def _restore(self, amount: float) -> None:
        """Put an old snapshot back while nobody is in the group, then start the workers again."""
        self.place.restore(self.place.snapshots[int(amount * len(self.place.snapshots))])
        self._halted = False
        for slot in self._slots:
            self._start(slot, self._dice.random())

    def _check_flushed(self, offsets: Mapping[KafkaPlace, int]) -> None:
        if isinstance(self.place.disk, EdgeDisk):
            self._check_durable(offsets, self.place.disk.durable)

    def _check_durable(self, offsets: Mapping[KafkaPlace, int], durable: Reader) -> None:
        if not self.problems:
            self.problems += not_durable(self.truth, offsets, durable)
            for problem in self.problems:
                self.say("oracle", problem)

    def _quieten(self) -> None:
        self.decisions.quiet = True
        self._caught_up = self._is_caught_up()
        if self._caught_up or self.problems:
            self.scheduler.stop()
        self.scheduler.at(self.scheduler.now + 1.0, self._quieten)

    def _is_caught_up(self) -> bool:
        if self._halted or self.place.under_way or self.place.away or self.broker.anything_open():
            return False
        if any(self.broker.group.committed.get(place, 0) != end for place, end in ends(self.broker).items()):
            return False
        living = [(host, consumer) for host, consumer in self._hosts if not host.gone]
        if any(host.frozen for host, _ in living):
            return False
        held = [(place, at) for _, consumer in living if consumer.idle for place, at in consumer.positions.items()]
        return sorted(held) == sorted(ends(self.broker).items())


def _replaced_clock(scheduler: Scheduler) -> ExitStack:
    stack = ExitStack()
    stack.enter_context(patch("time.monotonic", lambda: scheduler.now))
    stack.enter_context(patch("time.sleep", scheduler.wait))
    return stack


def simulate(
    seed: int, *, script: Mapping[Key, Fault] | None = None, shape: Shape | None = None, tracing: bool = False
) -> Outcome:
    """Run a seed; with a script, nothing happens but what stands in it."""
    state = random.getstate()
    random.seed(seed)
    try:
        shape = shape or shape_of(seed)
        decisions = Decisions(seed, shape.kinds, shape.rate, script)
        simulation = Simulation(seed, shape, decisions, tracing)
        problems = simulation.run()
    finally:
        random.setstate(state)
    return Outcome(seed, problems, decisions.taken, simulation.trace)
