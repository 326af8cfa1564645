"""Where a refresh's time goes, without Kafka: steps of the service's own path, and of each the engine's share.

    python tests/bench/budget.py [--quick] [--profile]

Microseconds per list on the two backlogs of `ceiling`, in one process. `--profile` prints the functions that take
longest instead of measuring; a profiler makes everything slower, calls more than arithmetic.
"""

import cProfile
import pstats
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, cast

from consumers.process import spare_the_collector
from consumers.records import Batch
from consumers.settings import Settings
from schemas.messages import Message
from tests.bench.ceiling import SESSIONS_BATCH_RECORDS, TURNS, TURNS_BATCH_RECORDS, in_turns
from tests.bench.frame import Bench, spread
from tests.bench.ground import demo_events
from tests.bench.pipeline import Pipeline, batches, pipeline, records, step_seconds

PARTITIONS = 4
EVENTS, QUICK_EVENTS = 30_000, 10_000
PROFILE_OPTION, PROFILE_ROWS = "--profile", 40


class Backlog(NamedTuple):
    """Ratings to have before, ratings to measure, and how many are taken at a time."""

    name: str
    before: list[Message]
    measured: list[Message]
    batch_records: int


def main() -> int:
    """Measure, or profile."""
    is_profile = PROFILE_OPTION in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != PROFILE_OPTION]
    bench = Bench.from_command_line("budget", "Microseconds per list, step by step.")
    events = demo_events()
    turns = in_turns(events, bench.repeats(TURNS, quick=5))
    for backlog in (
        Backlog("turns", *turns, TURNS_BATCH_RECORDS),
        Backlog("sessions", [], events[: bench.repeats(EVENTS, QUICK_EVENTS)], SESSIONS_BATCH_RECORDS),
    ):
        if is_profile:
            _taken(backlog, _profiled(backlog.name))
        else:
            _measure(bench, backlog)
    return 0 if is_profile else bench.finish()


def _measure(bench: Bench, backlog: Backlog) -> None:
    found = []
    for number in range(bench.repeats(full=3, quick=1)):
        bench.say(f"{backlog.name}, repeat {number + 1}")
        found.append(_taken(backlog, nullcontext()))
    for name in found[0]:
        bench.figure(f"{backlog.name}: {name}", f"{backlog.name}_{name}_us", spread([row[name] for row in found]), "µs")


def _taken(backlog: Backlog, around: Any) -> dict[str, float]:
    """Microseconds per list by step, and what of them the engine took."""
    with TemporaryDirectory(prefix="tastestream-bench-") as folder:
        settings = Settings.model_validate(
            {
                "kafka": {"bootstrap_servers": "unused:9092"},
                "qdrant": {"edge_path": Path(folder, "store")},
                "http": {"port": None},
            }
        )
        with pipeline(settings) as service:
            rows = records("ratings", [*backlog.before, *backlog.measured], PARTITIONS)
            for batch in batches(islice(rows, len(backlog.before)), backlog.batch_records):
                service.take(batch)
            # As a worker does; it is looked for less, then, also in what is measured after this.
            spare_the_collector()
            with around:
                return _timed(service, batches(rows, backlog.batch_records))


def _timed(service: Pipeline, rest: Iterator[Batch]) -> dict[str, float]:
    engine = _timed_engine(service)
    first = next(rest)
    before, lists, begun = step_seconds(service), 0, time.perf_counter()
    for batch in chain([first], rest):
        lists += len(service.handler.handle(batch))
        service.handler.committed()
    seconds = time.perf_counter() - begun
    steps = {name: total - before[name] for name, total in step_seconds(service).items()}
    rows = {"all": seconds, **steps, **{f"engine {name}": total for name, total in engine.items()}}
    return {name: total / lists * 1e6 for name, total in rows.items()}


def _timed_engine(service: Pipeline) -> dict[str, float]:
    """Wraps the shard; the seconds of its methods are added up in what is returned."""
    seconds: defaultdict[str, float] = defaultdict(float)
    store = cast("Any", service.store)
    store._shard = _TimedShard(store._shard, seconds)
    return seconds


class _TimedShard:
    """A shard whose methods are timed."""

    def __init__(self, shard: Any, seconds: dict[str, float]) -> None:
        self._shard = shard
        self._seconds = seconds

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._shard, name)

        def timed(*arguments: Any, **options: Any) -> Any:
            begun = time.perf_counter()
            try:
                return method(*arguments, **options)
            finally:
                self._seconds[name] += time.perf_counter() - begun

        return timed


@contextmanager
def _profiled(name: str) -> Iterator[None]:
    profile = cProfile.Profile()
    with profile:
        yield
    print(f"== {name}")  # noqa: T201  # beside what pstats prints
    pstats.Stats(profile).sort_stats("tottime").print_stats(PROFILE_ROWS)


if __name__ == "__main__":
    sys.exit(main())
