"""How long from appending a rating until its list can be read, beside a bare echo through the same Kafka.

Both are fed at the same pace by a producer, and read by a read_committed reader, that know nothing of the service
(`probe.py`). The service has taken the whole demonstration in before. The two take turns, so that both see the same
machine, and a round's ratio is that round's own. Two questions:

- *idle*: at 20 ratings/s, where each finds the worker waiting for it.
- *under load*: at 10 to 90 % of the rate that this service sustains here, which is measured first: one rating of every
  user, so that none share a list, sent as fast as it goes, in the seconds until the last list can be read. (More at
  once are done at a higher rate, as a user's ratings then share lists; but that is a backlog's rate, and no stream's.)
  The echo has the same rates.
  There is no cliff where p50 at 90 % is at most three times that at 50 %; a queue that does not drain has no bound.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from typing import cast

import numpy as np
import orjson
from confluent_kafka import Message as KafkaMessage

from consumers.demo.stage import Worker
from schemas.events import Rated
from tests.bench.frame import Bench, Requirement, Spread, spread
from tests.bench.ground import demo_events, deployment, kafka, load, step_seconds
from tests.bench.probe import ID_HEADER, Probe, Round, new_ratings, rating_users

IDLE_RATIO_MAX = 4.0
IDLE_RATE_PER_S = 20.0
LOADS = (10, 30, 50, 70, 90)
"""In per cent of the sustained rate."""
JUDGED_LOAD, HIGHEST_LOAD = 50, 90
P50_RATIO_MAX, P99_RATIO_MAX, CLIFF_MAX = 2.5, 4.0, 3.0
PERCENTILES = ((50, "p50"), (99, "p99"), (100, "max"))
DISTRIBUTION = (*range(1, 100), 99.5, 99.9, 100)
"""Percentiles that are kept of all waits, for the plot."""
WARM_UP_EVENTS = 60

Rounds = list[tuple[Round, Round]]
"""Through the service, and through the echo."""


@dataclass(slots=True)
class Pair:
    """The service and the echo, each with a probe, and the ratings that they are given."""

    bench: Bench
    worker: Worker
    service: Probe
    echo: Probe
    ratings: Iterator[Rated]

    def sustained_per_s(self) -> Spread:
        """Ratings per second that the service keeps up with."""
        events = len(rating_users())
        found = []
        for number in range(self.bench.repeats(full=9, quick=3)):
            self.bench.say(f"the sustained rate, repeat {number + 1}: {events} ratings at once")
            found.append(events / self.service.round(self.take(events), None).seconds)
        return spread(found)

    def rounds(self, rate_per_s: float, events: int, repeats: int) -> Rounds:
        """So many events through both, in turns."""
        found = []
        for number in range(repeats):
            self.bench.say(f"round {number + 1}: {events} ratings at {rate_per_s:.0f}/s through each")
            before = step_seconds(self.worker)
            through = self.service.round(self.take(events), rate_per_s)
            after = step_seconds(self.worker)
            through.steps_ms = {step: 1000 * (after[step] - before[step]) / events for step in after}
            found.append((through, self.echo.round(self.take(events), rate_per_s)))
        return found

    def take(self, count: int) -> list[Rated]:
        """The next ratings."""
        return list(islice(self.ratings, count))


def main() -> int:
    """Measure both in turns, and compare."""
    bench = Bench.from_command_line("freshness", "From append to readable list, beside a bare echo.")
    with ExitStack() as stack:
        pair = _pair(bench, stack)
        idle = pair.rounds(IDLE_RATE_PER_S, bench.repeats(full=300, quick=100), bench.repeats(full=7, quick=3))
        _report_idle(bench, idle, len(pair.service.last_value))
        sustained = pair.sustained_per_s()
        bench.figure("sustained rate", "sustained_per_s", sustained, "ratings/s")
        seconds, repeats = bench.repeats(full=20, quick=6), bench.repeats(full=5, quick=2)
        p50_ms = {}
        for load in LOADS:
            rate_per_s = sustained.median * load / 100
            rounds = pair.rounds(rate_per_s, max(100, round(rate_per_s * seconds)), repeats)
            p50_ms[load] = _report_load(bench, load, rounds)
        cliff = p50_ms[HIGHEST_LOAD] / p50_ms[JUDGED_LOAD]
        what = f"p50 at {HIGHEST_LOAD} % load ÷ at {JUDGED_LOAD} %"
        bench.requirements.append(Requirement(what, cliff, CLIFF_MAX, at_most=True))
    return bench.finish()


def _pair(bench: Bench, stack: ExitStack) -> Pair:
    servers = stack.enter_context(kafka(bench.say))
    place, bare = (stack.enter_context(deployment(servers)) for _ in range(2))
    worker = stack.enter_context(place.worker())
    bench.say("loading the demonstration's ratings")
    load(place, worker, demo_events())
    pair = Pair(bench, worker, Probe(place, stack, _list_id), Probe(bare, stack, _header_id), new_ratings())
    pair.service.round(pair.take(WARM_UP_EVENTS), IDLE_RATE_PER_S)
    lists = (bare.settings.input_topics[0], bare.settings.recommendations_topic)
    stack.enter_context(bare.echo(lists, pair.service.last_value))
    pair.echo.round(pair.take(WARM_UP_EVENTS), IDLE_RATE_PER_S)
    return pair


def _list_id(message: KafkaMessage) -> str | None:
    event_id: str | None = orjson.loads(message.value() or b"null")["source"]["event_id"]
    return event_id


def _header_id(message: KafkaMessage) -> str | None:
    value = dict(cast("list[tuple[str, bytes]]", message.headers() or [])).get(ID_HEADER)
    return None if value is None else value.decode()


def _report_idle(bench: Bench, rounds: Rounds, list_bytes: int) -> None:
    ratios = _report_waits(bench, rounds, "", "")
    bench.requirements.append(Requirement("p50, service ÷ echo", ratios["p50"].median, IDLE_RATIO_MAX, at_most=True))
    for step in rounds[0][0].steps_ms:
        value = spread([one.steps_ms[step] for one, _ in rounds])
        bench.figure(f"service, {step}", f"{step}_ms", value, "ms per event")
    bench.figure("size of a list", "list_bytes", str(list_bytes), "bytes")


def _report_load(bench: Bench, load: int, rounds: Rounds) -> float:
    """Returns the service's p50 in ms."""
    ratios = _report_waits(bench, rounds, f"{load} %: ", f"load_{load}_")
    p50_ms, p99_ms = (_percentile(rounds, 0, percent).median for percent in (50, 99))
    said = {"p50_ratio": ratios["p50"].median, "p99_ratio": ratios["p99"].median, "p50_ms": p50_ms, "p99_ms": p99_ms}
    bench.headline("freshness", {str(load): said})
    for name, side in (("service", 0), ("echo", 1)):
        waits_ms = [wait for pair in rounds for wait in pair[side].waits_ms]
        points = np.percentile(waits_ms, DISTRIBUTION).round(3).tolist()
        bench.keep(f"load_{load}_{name}_distribution_ms", dict(zip(map(str, DISTRIBUTION), points, strict=True)))
    if load == JUDGED_LOAD:
        for label, limit in (("p50", P50_RATIO_MAX), ("p99", P99_RATIO_MAX)):
            what = f"{label} at {load} % load, service ÷ echo"
            bench.requirements.append(Requirement(what, ratios[label].median, limit, at_most=True))
    return p50_ms


def _report_waits(bench: Bench, rounds: Rounds, label: str, prefix: str) -> dict[str, Spread]:
    """Show the waits of both sides; returns the ratios by percentile."""
    for side, name in enumerate(("service", "echo")):
        for percent, place in PERCENTILES:
            value = _percentile(rounds, side, percent)
            bench.figure(f"{label}{name}, {place}", f"{prefix}{name}_{place}_ms", value, "ms")
    ratios = {}
    for percent, place in PERCENTILES:
        ratio = spread([one.percentile(percent) / other.percentile(percent) for one, other in rounds])
        bench.figure(f"{label}service ÷ echo, {place}", f"{prefix}{place}_ratio", ratio)
        ratios[place] = ratio
    return ratios


def _percentile(rounds: Sequence[tuple[Round, Round]], side: int, percent: float) -> Spread:
    return spread([pair[side].percentile(percent) for pair in rounds])


if __name__ == "__main__":
    sys.exit(main())
