"""Full speed beside the engine's own, over stores of many users: what is left of the engine as searches grow.

As in `ceiling`, end to end is a worker process between two topics, and the engine alone is Qdrant Edge doing the very
upserts, queries and flushes that the same backlog asks of it, on requests built beforehand. The store is an invented
population (`population`), the same for every pass, and every rating of the backlog is another user's, so that none
share a list. Before what is measured all users are counted, and some ratings warm the caches up. Where `QDRANT_URL`
names a server, the same is measured on it, beside the raw gRPC calls.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from consumers.demo.audience import Audience
from schemas.messages import Message
from tests.bench.ceiling_stores import EdgeStores, ServerStores, Stores
from tests.bench.frame import Bench, Requirement, spread
from tests.bench.ground import Deployment, await_answer, await_list_count, deployment, kafka, step_seconds
from tests.bench.population import Population
from tests.bench.recording import Recording, record
from tests.bench.shared_store import named_server

FEW_USERS, MANY_USERS = 6_000, 60_000
ITEMS = 10_000
RATIO_MIN = {FEW_USERS: 0.6, MANY_USERS: 0.8}
WARM_UP, MEASURED, QUICK_MEASURED = 2_000, 4_000, 2_000
LIMITS = {"batch_first_records": 100, "batch_max_records": 100}
COUNT_PATIENCE_S = 600.0


def main() -> int:
    """Measure both sizes, and compare; on a server, too, where the environment names one."""
    bench = Bench.from_command_line("ceiling_users", "Refreshes per second of service and engine, with many users.")
    populations = [Population(users, ITEMS) for users in (FEW_USERS, MANY_USERS)]
    with kafka(bench.say) as servers, TemporaryDirectory(prefix="tastestream-bench-") as name:
        for population in populations:
            _measure(bench, servers, population, EdgeStores(population, Path(name, str(population.users))))
        if (server := named_server()) is not None:
            for population in populations:
                _measure(bench, servers, population, ServerStores(population, server))
    return bench.finish()


def _measure(bench: Bench, servers: str, population: Population, stores: Stores) -> None:
    measured = bench.repeats(MEASURED, QUICK_MEASURED)
    events = population.events(WARM_UP + measured, seed=1)
    title = _title(population.users, stores)
    bench.say(f"{title}: a store of them, and what the engine is asked")
    with deployment(servers, limits=LIMITS, qdrant=stores.qdrant) as place, stores.made(place.settings):
        recording, recorded = _recorded(place, events), place.settings
    through, alone = [], []
    for number in range(bench.repeats(full=3, quick=1)):
        bench.say(f"{title}, repeat {number + 1}: the service, then the engine alone")
        through.append(_through_the_service(servers, stores, events))
        alone.append(stores.replay(recording, recorded))
    _report(bench, population.users, stores, measured, through, alone)


def _recorded(place: Deployment, events: list[Message]) -> Recording:
    with record(place.settings) as recorder:
        recorder.count_users()
        place.send(events[:WARM_UP])
        recorder.take(WARM_UP)
        recorder.begin()
        place.send(events[WARM_UP:])
        recorder.take(len(events) - WARM_UP)
    return recorder.recording


def _through_the_service(servers: str, stores: Stores, events: list[Message]) -> tuple[float, dict[str, float]]:
    """Lists per second, and the worker's seconds by step."""
    with (
        deployment(servers, limits=LIMITS, qdrant=stores.qdrant) as place,
        stores.made(place.settings),
        place.reader() as reader,
        place.worker() as worker,
    ):
        audience = Audience(reader)
        place.send(events[:WARM_UP])
        await_list_count(audience, worker, WARM_UP)
        await_answer(place, worker, "0", "counted", COUNT_PATIENCE_S)
        before = step_seconds(worker)
        place.send(events[WARM_UP:])
        audience.first_at_s = None
        await_list_count(audience, worker, len(events))
        seconds = audience.last_at_s - (audience.first_at_s or 0.0)
        spent = {step: now - before[step] for step, now in step_seconds(worker).items()}
    return (len(events) - WARM_UP) / seconds, spent


def _report(
    bench: Bench,
    users: int,
    stores: Stores,
    measured: int,
    through: list[tuple[float, dict[str, float]]],
    alone: list[dict[str, float]],
) -> None:
    title, key = _title(users, stores), f"{users}{stores.suffix}"
    of_the_engine = [measured / sum(seconds.values()) for seconds in alone]
    ratios = spread([per_s / other for (per_s, _), other in zip(through, of_the_engine, strict=True)])
    bench.figure(f"{title}: service", f"{key}_per_s", spread([per_s for per_s, _ in through]), "refreshes/s")
    bench.figure(f"{title}: engine alone", f"{key}_engine_per_s", spread(of_the_engine), "refreshes/s")
    bench.figure(f"{title}: service ÷ engine", f"{key}_ratio", ratios)
    for step in through[0][1]:
        each_ms = spread([1000 * spent[step] / measured for _, spent in through])
        bench.figure(f"{title}: service, {step}", f"{key}_{step}_ms", each_ms, "ms per refresh")
    for method in sorted(alone[0]):
        each_ms = spread([1000 * seconds[method] / measured for seconds in alone])
        bench.figure(f"{title}: engine, {method}", f"{key}_engine_{method}_ms", each_ms, "ms per refresh")
    bench.headline(f"ceiling{stores.suffix}", {str(users): ratios.median})
    bench.requirements.append(Requirement(f"{title}, service ÷ engine", ratios.median, RATIO_MIN[users]))


def _title(users: int, stores: Stores) -> str:
    return f"{users:,} users{stores.suffix.replace('_', ' ')}"


if __name__ == "__main__":
    sys.exit(main())
