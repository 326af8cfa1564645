"""One trial: a deployment of its own, a stream of events, a reader of what comes out, workers, and what they suffer.

A scenario drives it from the main thread; `finish` lets the workers take the rest, ends them and judges.
"""

import random
import re
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, cast

from chaos_oracle import Judgement, judge
from chaos_worker import ChaosWorker, MemoryWatch, delivered
from confluent_kafka import KafkaException
from deployment import Deployment
from list_watch import ListWatch
from rating_stream import Pace, RatingStream

from producers.broker import LocalBroker

LOOK_S = 0.02
ENOUGH = threading.Event()
"""Set when the run is to end before its time: what was done is judged all the same."""
RECOVERY_LIMIT_S = 60.0
DRAIN_LIMIT_S = 60.0
"""How long the rest may stand still before it is given up."""
REPORT_INTERVAL_S = 5.0
START_MAX_S = 20.0
PROBLEMS_MAX = 10
WARNINGS_MAX = 20
FAULTS_SHOWN_MAX = 6
LIBRDKAFKA = re.compile(r"(?<=[A-Z]) \[rdkafka#.*")
WARNING = re.compile(r'"event": "([^"]+)", "level": "(?:warning|error)"')
Build = str
EXACTLY_ONCE, NO_DEDUPLICATION = "exactly-once", "no-deduplication"
SMALL_LISTS = {"ranking__list_length": "10", "ranking__neighbours": "20"}


@dataclass(frozen=True, slots=True)
class Ground:
    """Where trials take place: a Kafka, a folder, who hears about progress; `broker` where it may be killed."""

    servers: str
    folder: Path
    say: Callable[[str], None]
    broker: LocalBroker | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """What a trial is given: its seed, and how long it lasts in seconds.

    It goes on until there were so many kills, faults of any kind and events, but not beyond `limit_s` (seconds).
    """

    seed: int
    seconds: float
    kills: int = 0
    faults: int = 0
    events: int = 0
    limit_s: float = 0.0


@dataclass(slots=True)
class Record:
    """What happened in a trial.

    Attributes:
        recoveries_s: from a kill to the first list of a later worker, where no other kill came before it.
        stalls_s: by kind of restart, the longest time without a list while events came.
        ended: exit codes of workers that ended by themselves.
    """

    faults: Counter[str] = field(default_factory=Counter)
    recoveries_s: list[float] = field(default_factory=list)
    stalls_s: dict[str, list[float]] = field(default_factory=dict)
    ended: Counter[int] = field(default_factory=Counter)
    notes: dict[str, object] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


class Trial:
    """A deployment under attack; use as a context manager."""

    def __init__(
        self,
        ground: Ground,
        name: str,
        terms: Terms,
        pace: Pace | None = None,
        build: Build = EXACTLY_ONCE,
        **variables: str,
    ) -> None:
        self.ground, self.name, self.terms = ground, name, terms
        self.dice = random.Random(f"{name} {terms.seed}")  # noqa: S311 - no secret
        self.record = Record()
        self.folder = ground.folder / f"{name}-{terms.seed}-{time.monotonic_ns()}"
        given = {**SMALL_LISTS, "limits__batch_max_records": "100", "topics__session_timeout_ms": "1500"}
        given |= {"topics__heartbeat_interval_ms": "300", **variables}
        self.deployment = Deployment(ground.servers, self.folder.name, self.folder, **given)
        self.deployment.process = partial(ChaosWorker, build=build)
        self.workers: list[ChaosWorker] = []
        self.expected_ends: set[int] = set()
        self.expected_at_start: set[int] = set()
        self._pace = pace or Pace()
        self._stack = ExitStack()
        self._kill_at_s: float | None = None
        self._is_counting = False
        self._reported_at = time.monotonic()

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True)
        self._stack.enter_context(self.deployment)
        self.deployment.make_topics()
        self.stream = RatingStream(self.deployment, self.terms.seed, self._pace)
        self.watch = ListWatch(self.deployment)
        self._stack.callback(self.watch.close)
        self._stack.callback(self.stream.stop)
        self.memory = self._stack.enter_context(MemoryWatch(self._pids))
        self.watch.start()
        self.stream.start()
        self.began_at = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.workers:
            worker.end()
        self._stack.close()

    @property
    def seconds(self) -> float:
        """How long it has lasted, in seconds."""
        return time.monotonic() - self.began_at

    def worker(self, instance: str = "only", **variables: str) -> ChaosWorker:
        """A worker of this trial, not started yet."""
        worker = cast("ChaosWorker", self.deployment.worker(instance=instance, **variables))
        self.workers.append(worker)
        return worker

    def goes_on(self) -> bool:
        """Whether there is time left, or a number to reach within the limit; tells how it stands now and then.

        The time begins when this is asked first: what it takes to get to work is not taken from it.
        """
        if not self._is_counting:
            self._is_counting, self.began_at = True, time.monotonic()
        self._settle()
        terms, faults, sent = self.terms, self.record.faults, self.stream.sent
        wanting = faults["kill"] < terms.kills or faults.total() < terms.faults or sent < terms.events
        left_s = self.terms.seconds - self.seconds
        if time.monotonic() - self._reported_at > REPORT_INTERVAL_S:
            self._reported_at = time.monotonic()
            done = ", ".join(f"{count:,} {name}" for name, count in sorted(faults.items()))
            if len(faults) > FAULTS_SHOWN_MAX:
                done = f"{faults.total():,} faults of {len(faults)} kinds"
            self.ground.say(f"{self.name}: {sent:,} events, {self.watch.lists:,} lists; {done}; {self._left(left_s)}")
        return not ENOUGH.is_set() and (left_s > 0 or (wanting and self.seconds < self.terms.limit_s))

    def fault(self, name: str) -> None:
        """Count something that was done."""
        self.record.faults[name] += 1

    def wait(self, at_least_s: float, at_most_s: float) -> None:
        """Let a random time pass."""
        time.sleep(self.dice.uniform(at_least_s, at_most_s))

    def kill(self, worker: ChaosWorker) -> None:
        """End a worker at once; one that has ended by itself is noted."""
        if not self.note_end(worker):
            self._settle()
            worker.kill()
            self.fault("kill")
            if self._kill_at_s is not None:
                self.fault("kill before recovery")
            self._kill_at_s = time.time()

    def stop(self, worker: ChaosWorker) -> None:
        """Ask a worker to end; anything but an orderly end is a problem."""
        code = worker.stop()
        # Before its first word a process is still loading, and has nothing to put in order.
        if code and not (code == -signal.SIGTERM and not worker.events()):
            self.record.problems.append(f"a worker asked to end ended with {code}: {worker.last_words()}")

    def note_end(self, worker: ChaosWorker) -> bool:
        """Whether a worker does not run; notes the exit code of one that ended by itself."""
        if worker.running:
            return False
        if not worker.was_begun:
            return True
        code = worker.await_exit()
        self.record.ended[code] += 1
        worker.forget_end()
        if code not in self.expected_ends and not (code in self.expected_at_start and worker.lived_s() < START_MAX_S):
            self.record.problems.append(f"a worker ended by itself with {code}: {worker.last_words()}")
            assert len(self.record.problems) < PROBLEMS_MAX, "too much is wrong to go on"
        return True

    def await_list(self, since_s: float, *workers: ChaosWorker, limit_s: float = RECOVERY_LIMIT_S) -> bool:
        """Wait for a list that was written after `since_s` (epoch seconds); False when none comes, or a worker ends."""
        deadline = time.monotonic() + limit_s
        while self.watch.first_after(since_s) is None:
            if any(not worker.running for worker in workers):
                return False
            if time.monotonic() > deadline:
                said = workers[0].last_words() if workers else ""
                self.record.problems.append(f"no list came for {limit_s:g} s: {said}")
                return False
            time.sleep(LOOK_S)
        self._settle()
        return True

    def finish(self, *workers: ChaosWorker) -> Judgement:
        """Send no more, let the workers take the rest, end them, and judge."""
        self.ground.say(f"{self.name}: taking the rest")
        self.stream.stop()
        least, at = self._lag(), time.monotonic()
        while (lag := self._lag()) > 0:
            if lag < least:
                least, at = lag, time.monotonic()
            assert time.monotonic() < at + DRAIN_LIMIT_S, f"{lag} records are left: {workers[0].last_words()}"
            for worker in workers:
                if not worker.begun:
                    self.note_end(worker)
                    worker.start()
            time.sleep(0.1)
        self._settle()
        for worker in self.workers:
            if worker.begun:
                self.stop(worker)
            worker.end()
        self.watch.finish()
        self.record.notes["warnings"] = self._warnings()
        return judge(self.deployment, self.stream, self.watch)

    def redelivered(self, events: int) -> int:
        """How many records workers were given beyond the first time."""
        return max(0, delivered(self.folder) - events)

    def remove(self) -> None:
        """Leave nothing on the disk."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _lag(self) -> int:
        try:
            return self.deployment.lag()
        except KafkaException:
            return 1

    def _settle(self) -> None:
        """Note how long the last kill kept lists from coming, once one came."""
        if self._kill_at_s is not None and (read_s := self.watch.first_after(self._kill_at_s)) is not None:
            self.record.recoveries_s.append(read_s - self._kill_at_s)
            self._kill_at_s = None

    def _left(self, left_s: float) -> str:
        if left_s > 0 or not (self.terms.kills or self.terms.events):
            return f"{max(0.0, left_s):.0f} s left"
        kills, events = self.terms.kills - self.record.faults["kill"], self.terms.events - self.stream.sent
        done = max(self.record.faults["kill"] / max(1, self.terms.kills), 0.001)
        share = min(done, self.stream.sent / self.terms.events) if self.terms.events else done
        return (
            f"{max(0, kills):,} kills and {max(0, events):,} events to go, about {self.seconds * (1 / share - 1):.0f} s"
        )

    def _warnings(self) -> dict[str, int]:
        """How often each warning or error stands in the logs of all workers."""
        counted: Counter[str] = Counter()
        for log in self.folder.glob("worker-*.log"):
            for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
                if found := WARNING.search(line):
                    counted[LIBRDKAFKA.sub("", found[1])] += 1
        return dict(counted.most_common(WARNINGS_MAX))

    def _pids(self) -> list[int]:
        return [worker.pid for worker in self.workers if worker.running]
