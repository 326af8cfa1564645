"""Full speed beside the engine's own: a backlog of the demonstration's ratings through the whole service.

End to end is a worker process between two topics: decode, fold, write, query, rank, encode, transaction. The engine
alone is Qdrant Edge doing the very upserts, queries and flushes that the same backlog asks of it, on requests built
beforehand. Both in refreshes (lists) per second, in turns. Two backlogs:

- `sessions`: all ratings in time order, where one user's ratings follow each other. Those that meet in a batch share a
  list, so that one refresh stands for dozens of events decoded and folded, of which the engine alone has nothing.
- `turns`: every user's last ratings, users taking turns, on a store that has the rest: hardly two events share a list.

The requirement is on the first, the demonstration's own. Its ratio rises and falls with what an fsync costs: both sides
wait for the same flushes.
"""

import sys
from collections import Counter
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from consumers.demo.audience import Audience
from consumers.demo.stage import Worker
from consumers.settings_mapping import store_settings
from schemas.messages import Message
from tests.bench.frame import Bench, Requirement, spread
from tests.bench.ground import Deployment, await_lists, demo_events, deployment, kafka, step_seconds
from tests.bench.recording import Recording, record, replay_on_edge

RATIO_MIN = 0.4
QUICK_EVENTS = 20_000
SESSIONS_BATCH_RECORDS, TURNS_BATCH_RECORDS = 500, 100
TURNS, QUICK_TURNS = 19, 5
"""Ratings of each user that are kept for the second backlog; every user has more."""
BATCHES = "tastestream_batch_records_count"


class Backlog(NamedTuple):
    """Ratings to have before, ratings to measure, and how many the worker takes at a time."""

    name: str
    before: list[Message]
    measured: list[Message]
    batch_max_records: int


class Pass(NamedTuple):
    """One pass over the backlog: lists, the seconds they took, batches, and the worker's seconds by step."""

    lists: int
    seconds: float
    batches: int
    steps: dict[str, float]

    @property
    def per_s(self) -> float:
        """Refreshes per second."""
        return self.lists / self.seconds


def main() -> int:
    """Measure both in turns, and compare."""
    bench = Bench.from_command_line("ceiling", "Refreshes per second of the service and of the engine alone.")
    events = demo_events(QUICK_EVENTS if bench.quick else None)
    backlogs = [
        Backlog("sessions", [], events, SESSIONS_BATCH_RECORDS),
        Backlog("turns", *in_turns(demo_events(), bench.repeats(TURNS, QUICK_TURNS)), TURNS_BATCH_RECORDS),
    ]
    with kafka(bench.say) as servers:
        for backlog in backlogs:
            _measure(bench, servers, backlog)
    return bench.finish()


def in_turns(events: list[Message], turns: int) -> tuple[list[Message], list[Message]]:
    """All but every user's last events, and those: every user's first of them, every user's second, and so on."""
    left = Counter(event.key for event in events)
    before: list[Message] = []
    rounds: list[list[Message]] = [[] for _ in range(turns)]
    for event in events:
        kept = before if left[event.key] > turns else rounds[-left[event.key]]
        kept.append(event)
        left[event.key] -= 1
    return before, list(chain.from_iterable(rounds))


def _measure(bench: Bench, servers: str, backlog: Backlog) -> None:
    bench.say(f"{backlog.name}: recording what the engine is asked")
    limits = {"batch_max_records": backlog.batch_max_records}
    with deployment(servers, limits=limits) as place:
        recording, made_for = _recorded(place, backlog), store_settings(place.settings)
    through, alone = [], []
    for number in range(bench.repeats(full=3, quick=2)):
        bench.say(f"{backlog.name}, repeat {number + 1}: the service, then the engine alone")
        with deployment(servers, limits=limits) as place:
            through.append(_through_the_service(place, backlog))
        with TemporaryDirectory(prefix="tastestream-bench-") as folder:
            alone.append(replay_on_edge(recording, made_for, Path(folder, "store")))
    _report(bench, backlog, recording, through, alone)


def _recorded(place: Deployment, backlog: Backlog) -> Recording:
    place.send(backlog.before)
    with record(place.settings) as recorder:
        recorder.take(len(backlog.before))
        recorder.begin()
        place.send(backlog.measured)
        recorder.take(len(backlog.measured))
    return recorder.recording


def _through_the_service(place: Deployment, backlog: Backlog) -> Pass:
    with place.reader() as reader, ExitStack() as stack:
        if not backlog.before:
            audience = Audience(reader)
            place.send(backlog.measured)
            return _pass(audience, stack.enter_context(place.worker()), len(backlog.measured))
        worker = stack.enter_context(place.worker())
        place.send(backlog.before)
        await_lists(Audience(reader), worker, len(backlog.before))
        # Every user rates again, so that the lists to come stand for all events.
        audience = Audience(reader)
        steps, batches = step_seconds(worker), worker.metric(BATCHES)
        place.send(backlog.measured)
        done = _pass(audience, worker, len(backlog.before) + len(backlog.measured))
        since = {step: seconds - steps[step] for step, seconds in done.steps.items()}
        return done._replace(steps=since, batches=done.batches - int(batches))


def _pass(audience: Audience, worker: Worker, events: int) -> Pass:
    await_lists(audience, worker, events)
    seconds = audience.last_at_s - (audience.first_at_s or 0.0)
    return Pass(audience.lists, seconds, int(worker.metric(BATCHES)), step_seconds(worker))


def _report(
    bench: Bench, backlog: Backlog, recording: Recording, through: list[Pass], alone: list[dict[str, float]]
) -> None:
    name = backlog.name
    of_the_engine = [recording.lists / sum(seconds.values()) for seconds in alone]
    ratios = spread([one.per_s / other for one, other in zip(through, of_the_engine, strict=True)])
    bench.figure(f"{name}: events", f"{name}_events", f"{len(backlog.measured):,}")
    lists, batches = spread([each.lists for each in through]), spread([each.batches for each in through])
    bench.figure(f"{name}: lists", f"{name}_lists", lists, f"recorded: {recording.lists}")
    bench.figure(f"{name}: batches", f"{name}_batches", batches, f"recorded: {recording.batches}")
    per_s = spread([each.per_s for each in through])
    bench.figure(f"{name}: service", f"{name}_refreshes_per_s", per_s, "refreshes/s")
    bench.figure(f"{name}: engine alone", f"{name}_engine_refreshes_per_s", spread(of_the_engine), "refreshes/s")
    bench.figure(f"{name}: service ÷ engine", f"{name}_ratio", ratios)
    for step in through[0].steps:
        each_ms = spread([1000 * one.steps[step] / one.lists for one in through])
        bench.figure(f"{name}: service, {step}", f"{name}_{step}_ms", each_ms, "ms per refresh")
    for method in sorted(alone[0]):
        each_ms = spread([1000 * one[method] / recording.lists for one in alone])
        bench.figure(f"{name}: engine, {method}", f"{name}_engine_{method}_ms", each_ms, "ms per refresh")
    if not backlog.before:
        bench.requirements.append(Requirement(f"{name}, service ÷ engine", ratios.median, RATIO_MIN))


if __name__ == "__main__":
    sys.exit(main())
