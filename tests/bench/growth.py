"""What a refresh costs, and what worker and engine take, as users and as items grow a hundredfold.

Measured is the worker's whole path but for Kafka: batches of 100 ratings of different users are decoded, folded,
written, asked, ranked and encoded, and flushed at a worker's pace. Every size has a store of its own, made in bulk
(`population`), and is measured in a process of its own, in turns with the others: first all users are counted and some
batches warm the caches up. Every item of a size is known to the worker, by its number and by a title, also those that
nobody rated.

Neighbours are found as by default, which is among a sample where there are many users (the neighbour pool); the full
run measures the most users without one, too. Where `QDRANT_URL` names a server, users are measured on it as well; what
memory it takes is not ours to see.

The engine's memory is what the process holds more once the store is open. The worker's is what else the process holds
of its own at its end; pages of files, which the system takes back when it needs them, are told apart.
"""

import sys
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, cast

import numpy as np
import psutil

from consumers.ranking_kernels import RankingKernels
from consumers.settings import Settings
from recommender.catalogue import CatalogueItem
from tests.bench.apart import apart
from tests.bench.frame import Bench, Requirement, spread
from tests.bench.pipeline import Pipeline, batches, pipeline, records, step_seconds
from tests.bench.population import Population, fill, stored_bytes
from tests.bench.shared_store import drop_collection, named_server

FEWEST_USERS, FEWEST_ITEMS = 6_000, 10_000
USERS, QUICK_USERS = (FEWEST_USERS, 60_000, 600_000), (FEWEST_USERS, 60_000)
ITEMS, QUICK_ITEMS = (FEWEST_ITEMS, 100_000, 1_000_000), (FEWEST_ITEMS, 100_000)
USERS_RATIO_MAX, ITEMS_RATIO_MAX = 2.0, 1.3
BATCH_RECORDS = 100
WARM_UP, QUICK_WARM_UP = 3_000, 1_000
MEASURED, QUICK_MEASURED = 2_000, 1_000
HEADLINES = ("refresh_us", "engine_bytes_per_user", "worker_mb")
SCAN_USERS = 2_000
PARTITIONS = 4


@dataclass(frozen=True, slots=True)
class Size:
    """One population in a store, and how much is measured on it; without a pool, neighbours are found among all.

    `server` is how a Qdrant server is reached; without it the store is an Edge one in the folder.
    """

    population: Population
    folder: Path
    warm_up: int
    measured: int
    has_pool: bool = True
    server: dict[str, Any] | None = None

    @property
    def settings(self) -> Settings:
        """A worker's settings over that store."""
        ranking = {} if self.has_pool else {"neighbour_pool_users": 0}
        return Settings.model_validate(
            {
                "kafka": {"bootstrap_servers": "unused:9092"},
                "qdrant": {"edge_path": self.folder / "store", "collection": self._collection, **(self.server or {})},
                "limits": {"catalogue_max_items": max(ITEMS)},
                "ranking": ranking,
                "http": {"port": None},
            }
        )

    @property
    def _collection(self) -> str:
        """A name for this run and size alone, on a server that others use, too."""
        return f"{self.folder.parent.name}-{self.folder.name}"


class Held(NamedTuple):
    """Bytes of memory that a process holds: its own, and of files."""

    own: int
    files: int


class Found(NamedTuple):
    """One measurement: microseconds per list and by step, neighbours read from the store per list, and memory."""

    refresh_us: float
    cpu_us: float
    steps_us: dict[str, float]
    neighbours_read: float
    engine_bytes: int
    worker_bytes: int
    file_bytes: int
    open_s: float
    scan_s: float


def main() -> int:
    """Measure along both axes, and compare."""
    bench = Bench.from_command_line("growth", "What a refresh costs as users and items grow.")
    users = [Population(count, FEWEST_ITEMS) for count in (QUICK_USERS if bench.quick else USERS)]
    items = [Population(FEWEST_USERS, count) for count in (QUICK_ITEMS if bench.quick else ITEMS)]
    by_users, by_items = _axis(bench, "users", users), _axis(bench, "items", items)
    what, ratio = f"{items[-1].items:,} items ÷ {items[0].items:,}", by_items[-1] / by_items[0]
    bench.requirements.append(Requirement(what, ratio, ITEMS_RATIO_MAX, at_most=True))
    if not bench.quick:
        # Below the size of the neighbour pool a search is known to take longer with every user.
        what, ratio = f"{users[-1].users:,} users ÷ {users[-2].users:,}", by_users[-1] / by_users[-2]
        bench.requirements.append(Requirement(what, ratio, USERS_RATIO_MAX, at_most=True))
        _axis(bench, "users", users[-1:], has_pool=False)
    if (server := named_server()) is not None:
        _on_server(bench, users, server)
    return bench.finish()


def _axis(bench: Bench, axis: str, populations: list[Population], *, has_pool: bool = True) -> list[float]:
    """Report every size of one axis; returns the median microseconds per refresh of each."""
    with TemporaryDirectory(prefix="tastestream-bench-") as name:
        sizes = [replace(size, has_pool=has_pool) for size in _sizes(bench, populations, Path(name))]
        disk = [_filled(bench, size) for size in sizes]
        found = _measured(bench, axis, sizes)
    report = {
        str(getattr(size.population, axis)): _report(bench, _named(size, axis), size, rows, disk_bytes)
        for size, rows, disk_bytes in zip(sizes, found, disk, strict=True)
    }
    bench.keep(axis if has_pool else f"{axis}_without_pool", report)
    if has_pool:
        brief = {count: {key: found[key] for key in HEADLINES} for count, found in report.items()}
        bench.headline("growth" if axis == "users" else f"growth_{axis}", brief)
    return [spread([one.refresh_us for one in rows]).median for rows in found]


def _on_server(bench: Bench, populations: list[Population], server: dict[str, Any]) -> None:
    """Report every number of users on a server: what a refresh costs the worker, waiting for the server included."""
    report: dict[str, float] = {}
    with TemporaryDirectory(prefix="tastestream-bench-") as name, ExitStack() as stack:
        sizes = [replace(size, server=server) for size in _sizes(bench, populations, Path(name))]
        for size in sizes:
            stack.callback(drop_collection, size.settings)
            _filled(bench, size)
        for size, rows in zip(sizes, _measured(bench, "users", sizes), strict=True):
            for key in ("refresh_us", "cpu_us"):
                value = spread([getattr(one, key) for one in rows])
                bench.row(f"{_named(size, 'users')}: {key}", value, "µs")
            report[str(size.population.users)] = spread([one.refresh_us for one in rows]).median
    bench.keep("users_on_server", report)


def _sizes(bench: Bench, populations: list[Population], folder: Path) -> list[Size]:
    warm_up, measured = bench.repeats(WARM_UP, QUICK_WARM_UP), bench.repeats(MEASURED, QUICK_MEASURED)
    return [Size(population, folder / str(number), warm_up, measured) for number, population in enumerate(populations)]


def _measured(bench: Bench, axis: str, sizes: list[Size]) -> list[list[Found]]:
    """Every size in turns, each time in a process of its own."""
    found: list[list[Found]] = [[] for _ in sizes]
    for number in range(bench.repeats(full=3, quick=1)):
        for size, rows in zip(sizes, found, strict=True):
            bench.say(f"{_named(size, axis)}, repeat {number + 1}")
            rows.append(apart(measure, size, number))
    return found


def _named(size: Size, axis: str) -> str:
    where = "" if size.server is None else " on the server"
    return f"{getattr(size.population, axis):,} {axis}{where}{'' if size.has_pool else ' without a pool'}"


def _filled(bench: Bench, size: Size) -> int:
    bench.say(f"a store of {size.population.users:,} users and {size.population.items:,} items")
    apart(fill, size.settings, size.population)
    return stored_bytes(size.folder)


def _report(bench: Bench, name: str, size: Size, rows: list[Found], disk_bytes: int) -> dict[str, Any]:
    users = size.population.users
    figures = {
        "refresh_us": (spread([one.refresh_us for one in rows]), "µs"),
        "cpu_us": (spread([one.cpu_us for one in rows]), "µs of processors"),
        "neighbours_read": (spread([one.neighbours_read for one in rows]), "per refresh"),
        "engine_bytes_per_user": (spread([one.engine_bytes / users for one in rows]), "bytes resident"),
        "disk_bytes_per_user": (spread([disk_bytes / users]), "bytes on disk"),
        "worker_mb": (spread([one.worker_bytes / 1e6 for one in rows]), "MB"),
        "file_mb": (spread([one.file_bytes / 1e6 for one in rows]), "MB of files in memory"),
        "open_s": (spread([one.open_s for one in rows]), "s"),
        "scan_s": (spread([one.scan_s for one in rows]), "s"),
    }
    for step in rows[0].steps_us:
        figures[f"{step}_us"] = (spread([one.steps_us[step] for one in rows]), "µs")
    for key, (value, unit) in figures.items():
        bench.row(f"{name}: {key}", value, unit)
    medians = {key: value.median for key, (value, _) in figures.items()}
    return medians | {"spreads": {key: asdict(value) for key, (value, _) in figures.items()}}


def measure(size: Size, repeat: int) -> Found:
    """Open the store, count its users, warm up, and take batches; every repeat has ratings of its own."""
    RankingKernels().warm_up()
    before = _held()
    begun = time.perf_counter()
    with pipeline(size.settings) as service:
        open_s, opened = time.perf_counter() - begun, _held()
        begun = time.perf_counter()
        while service.recommender.scan_slice(SCAN_USERS):
            pass
        scan_s = time.perf_counter() - begun
        _know_all_items(service, size.population.items)
        _take(service, size, size.warm_up, 2 * repeat)
        reads = _counted_reads(service)
        steps, cpu = step_seconds(service), time.process_time()
        begun = time.perf_counter()
        lists = _take(service, size, size.measured, 2 * repeat + 1)
        seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
        spent = {step: (now - steps[step]) / lists * 1e6 for step, now in step_seconds(service).items()}
        end = _held()
    return Found(
        seconds / lists * 1e6,
        cpu / lists * 1e6,
        spent,
        reads["histories"] / lists,
        opened.own + opened.files - before.own - before.files,
        end.own - (opened.own - before.own),
        end.files,
        open_s,
        scan_s,
    )


def _know_all_items(service: Pipeline, items: int) -> None:
    service.recommender.index.dense(np.arange(items, dtype=np.uint32))
    for item in range(items):
        service.recommender.catalogue.put(item, CatalogueItem(f"Item {item}"))


def _take(service: Pipeline, size: Size, count: int, seed: int) -> int:
    """Ratings of different users in batches; returns how many lists came of them."""
    # A topic of its own, because what a store has taken from one before it takes as read.
    rows = records(f"ratings-{seed}", size.population.events(count, seed), PARTITIONS)
    return sum(len(service.take(batch)) for batch in batches(rows, BATCH_RECORDS))


def _counted_reads(service: Pipeline) -> dict[str, int]:
    """Counts, from now on, the histories that are read from the store."""
    counts: defaultdict[str, int] = defaultdict(int)
    histories = service.store.histories

    def counted(ids: Any) -> Any:
        counts["histories"] += len(ids)
        return histories(ids)

    cast("Any", service.store).histories = counted
    return counts


def _held() -> Held:
    memory = psutil.Process().memory_info()
    # Only Linux tells them apart.
    files = int(getattr(memory, "shared", 0))
    return Held(int(memory.rss) - files, files)


if __name__ == "__main__":
    sys.exit(main())
