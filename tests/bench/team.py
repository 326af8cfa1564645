"""Workers of one group over one Qdrant server, and what they and the machine spend while they work a backlog off."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import psutil

from consumers.demo.stage import DemoError, Worker
from tests.bench.ground import PATIENCE_S, step_seconds
from tests.bench.shared_store import SharedStore

LOOK_S = 0.05
ASSIGNED, CPU = "tastestream_assigned_partitions", "process_cpu_seconds_total"
LISTS = 'tastestream_outcomes_total{outcome="list"}'
TROUBLES = {
    "store retries": "tastestream_store_retries_total",
    "producers made anew": "tastestream_producer_restarts_total",
    "ratings taken twice": 'tastestream_outcomes_total{outcome="replayed"}',
}


class Mark(NamedTuple):
    """What was spent until now: seconds of processors by whom, a worker's seconds by step, and its lists.

    `own_s` is that of this program and of all that it started: workers, server, broker, and the reader in itself.
    """

    workers_s: float
    store_s: float | None
    own_s: float
    machine_s: float
    steps_s: dict[str, float]
    lists: list[float]


@dataclass(frozen=True, slots=True)
class Run:
    """The backlog worked off once: seconds and lists, what was spent meanwhile, what went wrong, and the states."""

    seconds: float
    lists: int
    before: Mark
    after: Mark
    troubles: dict[str, float]
    states: dict[int, bytes]

    @property
    def per_s(self) -> float:
        """Refreshes per second."""
        return self.lists / self.seconds

    @property
    def least_share(self) -> float:
        """Of the lists, by the worker that made the fewest."""
        made = [after - before for before, after in zip(self.before.lists, self.after.lists, strict=True)]
        return min(made) / sum(made)

    @property
    def own_cores(self) -> float:
        """How many cores this program and all that it started had in use."""
        return (self.after.own_s - self.before.own_s) / self.seconds

    @property
    def foreign_cores(self) -> float:
        """How many cores all others on the machine had in use."""
        return (self.after.machine_s - self.before.machine_s) / self.seconds - self.own_cores

    @property
    def store_cores(self) -> float | None:
        """How many cores the server had in use."""
        return self._of_the_store(self.seconds)

    @property
    def worker_ms(self) -> float:
        """Of processors by the workers, per refresh."""
        return 1000 * (self.after.workers_s - self.before.workers_s) / self.lists

    @property
    def store_ms(self) -> float | None:
        """Of processors by the server, per refresh."""
        return self._of_the_store(self.lists / 1000)

    @property
    def own_ms(self) -> float:
        """Of processors by all that takes part and can be seen, per refresh."""
        return 1000 * (self.after.own_s - self.before.own_s) / self.lists

    @property
    def rest_ms(self) -> float:
        """Of that, what is neither the workers' nor the server's."""
        return self.own_ms - self.worker_ms - (self.store_ms or 0.0)

    def step_ms(self, step: str) -> float:
        """Of a worker's time, per refresh."""
        return 1000 * (self.after.steps_s[step] - self.before.steps_s[step]) / self.lists

    def _of_the_store(self, whole: float) -> float | None:
        if self.before.store_s is None or self.after.store_s is None:
            return None
        return (self.after.store_s - self.before.store_s) / whole


@dataclass(frozen=True, slots=True)
class Team:
    """Workers of one group, and the server they share."""

    workers: Sequence[Worker]
    store: SharedStore

    def check(self) -> None:
        """See that all run; raises as `Worker.check`."""
        for worker in self.workers:
            worker.check()

    def log_tail(self) -> str:
        """The last lines of all their logs."""
        return "\n".join(worker.log_tail() for worker in self.workers)

    def total(self, name: str) -> float:
        """The sum of a metric over the workers."""
        return sum(worker.metric(name) for worker in self.workers)

    def mark(self) -> Mark:
        """What was spent until now."""
        steps = [step_seconds(worker) for worker in self.workers]
        return Mark(
            self.total(CPU),
            self.store.cpu_s,
            _own_s(),
            _busy_s(),
            {step: sum(seconds[step] for seconds in steps) for step in steps[0]},
            [worker.metric(LISTS) for worker in self.workers],
        )

    def await_even_shares(self, partitions: int) -> None:
        """Return when each holds as many of the partitions as every other.

        Raises:
            TimeoutError: they do not in time.
        """
        give_up_at = time.monotonic() + PATIENCE_S
        while any(_held(worker) != partitions // len(self.workers) for worker in self.workers):
            self.check()
            if time.monotonic() > give_up_at:
                raise TimeoutError(f"the partitions were not shared evenly in {PATIENCE_S:g} s")
            time.sleep(LOOK_S)


def _held(worker: Worker) -> float:
    try:
        return worker.metric(ASSIGNED)
    except DemoError:
        # It does not serve yet.
        return -1.0


def _own_s() -> float:
    ours = psutil.Process()
    spent = [process.cpu_times() for process in (ours, *ours.children(recursive=True))]
    return float(sum(times.user + times.system for times in spent))


def _busy_s() -> float:
    times: dict[str, float] = psutil.cpu_times()._asdict()
    # The system counts guests among the others as well.
    return sum(seconds for kind, seconds in times.items() if kind not in {"idle", "iowait", "guest", "guest_nice"})
