"""Memory of a worker after the demonstration's ratings, with small and large caches, and whether lists depend on it.

The worker's memory is its own `process_resident_memory_bytes`. Whether a cache's size changes a list is seen without
Kafka, because only there the same batches can be taken twice: every record published is compared byte for byte, but for
the times in it (`generated_at`, header `ce_time`).

The engine adds a dot product up in an order that differs from one store to the next, so two stores give the same
similarity with another last bit. That is not what is asked here: the second run answers its queries from its own store,
and then goes on with the similarities of the first.
"""

import hashlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, cast

import numpy as np
import orjson

from consumers.demo.audience import Audience
from consumers.settings import Settings
from recommender.store import NeighbourQuery, Neighbours, Store
from schemas.messages import Message
from tests.bench.frame import Bench, Requirement
from tests.bench.ground import await_lists, demo_events, deployment, kafka
from tests.bench.pipeline import batches, pipeline, records

SMALL_BYTES, QUICK_SMALL_BYTES, LARGE_BYTES = 1_000_000, 100_000, 1_000_000_000
SIMILARITY_TOLERANCE = 1e-6
BATCH_RECORDS = 50
QUICK_EVENTS = 10_000
CLOCKS = frozenset({"ce_time"})


class Run(NamedTuple):
    """What came of the batches, record by record, what the caches held at the end, and every answer of the store."""

    digests: list[bytes]
    cached_bytes: int
    answers: list[list[Neighbours]]


def main() -> int:
    """Measure each cache size, and compare."""
    bench = Bench.from_command_line("memory", "Memory of a worker, and whether lists depend on its caches.")
    events = demo_events(QUICK_EVENTS if bench.quick else None)
    sizes = (QUICK_SMALL_BYTES if bench.quick else SMALL_BYTES, LARGE_BYTES)
    with kafka(bench.say) as servers:
        for size in sizes:
            name = f"{size // 1000:,} kB"
            bench.say(f"{len(events)} ratings through a worker with caches of {name}")
            worker_mb = _worker_mb(servers, events, size)
            bench.figure(f"worker's memory with caches of {name}", f"worker_mb_{size}", worker_mb, "MB")
    bench.say("the same batches with each of the caches")
    small = _run(events, sizes[0], None)
    large = _run(events, sizes[1], small.answers)
    differing = sum(one != other for one, other in zip(small.digests, large.digests, strict=True))
    bench.figure("small caches hold", "small_cached_bytes", f"{small.cached_bytes:,}", "bytes")
    bench.figure("large caches hold", "large_cached_bytes", f"{large.cached_bytes:,}", "bytes")
    bench.figure("lists compared", "lists", f"{len(small.digests):,}")
    bench.requirements += [
        Requirement("lists that differ", differing, 0, at_most=True),
        Requirement("bytes that the small caches had to drop", large.cached_bytes - small.cached_bytes, 1),
    ]
    return bench.finish()


def _limits(cache_bytes: int) -> dict[str, int]:
    return {"own_cache_max_bytes": cache_bytes, "neighbour_cache_max_bytes": cache_bytes}


def _worker_mb(servers: str, events: list[Message], cache_bytes: int) -> float:
    with deployment(servers, limits=_limits(cache_bytes)) as place, place.reader() as reader:
        place.send(events)
        audience = Audience(reader)
        with place.worker() as worker:
            await_lists(audience, worker, len(events))
            return worker.memory_mb


def _run(events: list[Message], cache_bytes: int, answers: list[list[Neighbours]] | None) -> Run:
    with TemporaryDirectory(prefix="tastestream-bench-") as folder:
        settings = Settings(
            qdrant={"edge_path": Path(folder, "store")}, http={"port": None}, limits=_limits(cache_bytes)
        )
        rows = records(settings.input_topics[0], events, settings.topics.partitions)
        with pipeline(settings) as service:
            given = _listen(service.store, answers)
            published = [message for batch in batches(rows, BATCH_RECORDS) for message in service.handler.handle(batch)]
            cached = service.handler.cached_bytes + service.recommender.cache.size_bytes
        return Run(list(map(_digest, published)), cached, given)


def _listen(store: Store, answers: list[list[Neighbours]] | None) -> list[list[Neighbours]]:
    """Keep what the store answers from now on; where `answers` are given, check it against them and pass those on."""
    given: list[list[Neighbours]] = []
    nearest = store.nearest

    def heard(queries: Sequence[NeighbourQuery]) -> list[Neighbours]:
        found = nearest(queries)
        if answers is not None:
            found = [_same(own, other) for own, other in zip(found, answers[len(given)], strict=True)]
        given.append(found)
        return found

    cast("Any", store).nearest = heard
    return given


def _same(own: Neighbours, other: Neighbours) -> Neighbours:
    if not np.allclose(own.similarities, other.similarities, rtol=0, atol=SIMILARITY_TOLERANCE):
        raise ValueError("two stores that were given the same found different neighbours")
    return other


def _digest(message: Message) -> bytes:
    return hashlib.blake2b(b"\0".join(_timeless(message)), digest_size=16).digest()


def _timeless(message: Message) -> Iterator[bytes]:
    document = orjson.loads(message.value or b"null")
    if document is not None:
        del document["generated_at"]
    yield message.key or b""
    yield orjson.dumps(document)
    for name, value in message.headers:
        if name not in CLOCKS:
            yield name.encode() + b"=" + (value or b"")


if __name__ == "__main__":
    sys.exit(main())
