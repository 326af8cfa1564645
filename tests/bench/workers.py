"""Refreshes per second of one, two and three workers of one group over one Qdrant server.

In turns each number of them works off the same backlog, over a store of its own: invented users with 100 ratings each,
every one of whom rates once more, so that no ratings share a list. When it is sent, the workers hold equal shares of
the partitions, have counted the stored users and are warm. The clock runs from its first rating to the last list that a
`read_committed` reader has.

The server (`shared_store.py`), the broker, the workers and that reader share the machine's cores. So beside the rate
stands what a refresh takes of processors, by whom, and how many refreshes these cores could do if nobody ever waited;
no number of workers is faster than that, or than a server that does one request at a time. Workers in each other's way
would have cores to spare, and wait longer for the store the more of them there are. On a machine that strangers keep
busy the speed-up is too high, as more processes get more of it: how many cores strangers had stands beside it.

A user belongs to one worker; as a neighbour, to all. At the end every state has to be the same as with one worker, bit
for bit. That a worker's lists know what another one has just written is a test of its own
(`tests/system/test_two_workers.py`).
"""

import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack

from consumers.demo.audience import Audience
from consumers.settings import Settings
from producers.broker_config import free_ports
from tests.bench.apart import apart
from tests.bench.frame import Bench, Requirement, spread
from tests.bench.ground import Deployment, await_list_count, deployment, kafka
from tests.bench.population import Population, fill
from tests.bench.shared_store import comparable_states, drop_collection, shared_store
from tests.bench.team import TROUBLES, Run, Team

WORKERS = (1, 2, 3)
POPULATION = Population(users=6_000, items=10_000)
PARTITIONS = 6
"""Which all these numbers of workers can share evenly."""
WARM_UP, QUICK_WARM_UP = 3_000, 1_500
BACKLOG, QUICK_BACKLOG = 6_000, 2_000
"""At most one rating of each user."""
LIMITS = {"batch_max_records": 100, "scan_slice_users": POPULATION.users}
STEPS = ("read", "write", "search", "rank", "commit", "total")


def main() -> int:
    """Let each number of workers have a go, several times over, and compare."""
    bench = Bench.from_command_line("workers", "Refreshes per second of workers that share a Qdrant server.")
    warm_up, backlog = bench.repeats(WARM_UP, QUICK_WARM_UP), bench.repeats(BACKLOG, QUICK_BACKLOG)
    runs: dict[int, list[Run]] = {workers: [] for workers in WORKERS}
    with kafka(bench.say) as servers:
        for number in range(bench.repeats(full=3, quick=1)):
            for workers, found in runs.items():
                bench.say(f"repeat {number + 1}: {_named(workers)}")
                found.append(_run(servers, workers, warm_up, backlog))
    _report(bench, runs)
    return bench.finish()


def _run(servers: str, workers: int, warm_up: int, backlog: int) -> Run:
    with ExitStack() as stack:
        store = stack.enter_context(shared_store())
        sections = {"qdrant": store.settings, "limits": LIMITS, "topics": {"partitions": PARTITIONS}}
        place = stack.enter_context(deployment(servers, **sections))
        stack.callback(drop_collection, place.settings)
        apart(fill, place.settings, POPULATION)
        own = [_own_settings(place.settings, number) for number in range(workers)]
        team = Team([stack.enter_context(place.worker(settings)) for settings in own], store)
        team.await_even_shares(PARTITIONS)
        audience = Audience(stack.enter_context(place.reader()))
        place.send(POPULATION.events(warm_up, seed=0))
        await_list_count(audience, team, warm_up)
        return _worked_off(place, team, audience, backlog)


def _worked_off(place: Deployment, team: Team, audience: Audience, backlog: int) -> Run:
    events = POPULATION.events(backlog, seed=1)
    known, before, begun = audience.lists, team.mark(), time.monotonic()
    place.send(events)
    await_list_count(audience, team, known + backlog)
    after = team.mark()
    troubles = {what: team.total(name) for what, name in TROUBLES.items()}
    for worker in team.workers:
        worker.stop()
    lists = audience.lists - known
    return Run(audience.last_at_s - begun, lists, before, after, troubles, comparable_states(place.settings))


def _own_settings(settings: Settings, number: int) -> Settings:
    http = settings.http.model_copy(update={"port": free_ports(["http"])["http"]})
    return settings.model_copy(update={"instance": f"bench-{number}", "http": http})


def _named(workers: int) -> str:
    return f"{workers} worker{'s' if workers > 1 else ''}"


def _report(bench: Bench, runs: dict[int, list[Run]]) -> None:
    alone = runs[WORKERS[0]]
    bench.figure("ratings, each of another user", "ratings", f"{alone[0].lists:,}")
    for workers, found in runs.items():
        per_s = spread([run.per_s for run in found])
        speed_up = spread([run.per_s / first.per_s for run, first in zip(found, alone, strict=True)])
        bench.figure(_named(workers), f"{workers}_per_s", per_s, "refreshes/s")
        bench.figure(f"{_named(workers)} ÷ 1", f"{workers}_speed_up", speed_up)
        bench.headline("workers", {str(workers): {"per_s": per_s.median, "speed_up": speed_up.median}})
        _report_costs(bench, workers, found)
    differing = max(_differing(alone[0].states, run.states) for found in runs.values() for run in found)
    bench.figure("states compared", "states", f"{len(alone[0].states):,}")
    bench.requirements.append(Requirement("states that differ between runs", differing, 0, at_most=True))


def _report_costs(bench: Bench, workers: int, found: list[Run]) -> None:
    cores = os.cpu_count() or 1
    figures: dict[str, tuple[str, str, Sequence[float | None]]] = {
        "worker_ms": ("processors, workers", "ms per refresh", [run.worker_ms for run in found]),
        "store_ms": ("processors, server", "ms per refresh", [run.store_ms for run in found]),
        "broker_ms": ("processors, broker and reader", "ms per refresh", [run.rest_ms for run in found]),
        "allowed_per_s": (f"{cores} cores allow", "refreshes/s", [1000 * cores / run.own_ms for run in found]),
        "own_cores": ("cores in use by these", f"of {cores}", [run.own_cores for run in found]),
        "store_cores": ("cores in use by the server", f"of {cores}", [run.store_cores for run in found]),
        "foreign_cores": ("cores in use by strangers", f"of {cores}", [run.foreign_cores for run in found]),
        "least_share": ("least share of a worker", "of the lists", [run.least_share for run in found]),
    }
    for step in STEPS:
        figures[f"{step}_ms"] = (f"a worker's {step}", "ms per refresh", [run.step_ms(step) for run in found])
    for key, (what, unit, values) in figures.items():
        if seen := [value for value in values if value is not None]:
            bench.figure(f"{_named(workers)}: {what}", f"{workers}_{key}", spread(seen), unit)
    troubles = {what: sum(run.troubles[what] for run in found) for what in TROUBLES}
    bench.row(f"{_named(workers)}: {', '.join(troubles)}", ", ".join(f"{count:.0f}" for count in troubles.values()))
    bench.keep(f"{workers}_troubles", troubles)


def _differing(one: dict[int, bytes], other: dict[int, bytes]) -> int:
    return sum(one.get(identity) != other.get(identity) for identity in one.keys() | other.keys())


if __name__ == "__main__":
    sys.exit(main())
