"""How many requests one worker answers, and how soon, each from a fresh query: at several rates, and from a backlog.

The worker has taken the whole demonstration in before. Requests ask for the list of one user after the other, in an
order by chance, and are appended at instants by chance (a Poisson process) whether or not answers come. A wait begins
when its request was due, so that a sender that was held up hides nothing, and ends when a read_committed reader has the
reply. Sender and reader share the machine with worker and broker.

Beside it a bare echo is asked at the lowest rate (`echo.py`): what reading, one transaction after the other and reading
again take where an answer costs nothing. Brokers are slow until they have done the same some thousand times, so both
are asked for a while before anything is measured.
"""

import itertools
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import NamedTuple

import numpy as np
import orjson
from confluent_kafka import Producer

from consumers.demo.stage import Worker
from consumers.topic_reader import TopicReader
from tests.bench.frame import Bench, Requirement, spread
from tests.bench.ground import PATIENCE_S, Deployment, await_answer, demo_events, deployment, kafka, load, step_seconds

PER_S_MIN, P90_MS_MAX = 1_000.0, 7.0
RATES, QUICK_RATES = (100, 250, 500, 1_000), (100, 1_000)
TARGET_RATE = 1_000
ROUND_S, QUICK_ROUND_S = 10.0, 4.0
BACKLOG, QUICK_BACKLOG = 10_000, 2_000
QUICK_EVENTS = 20_000
WARM_UP_RATE, WARM_UP_S = 200, 15.0
LOOK_S = 0.001
SEED = 5
STEPS = ("answer", "reply")
PERCENTS = (50, 90, 99)


class Round(NamedTuple):
    """Milliseconds from due to readable by request, replies per second, and the worker's ms per request by step."""

    waits_ms: list[float]
    per_s: float
    steps_ms: dict[str, float]


class Client:
    """Asks, and watches the replies."""

    def __init__(self, place: Deployment, worker: Worker, users: list[str], stack: ExitStack) -> None:
        settings = place.settings
        self._topic, replies = settings.request_topics
        self._worker = worker
        self._producer = Producer({"bootstrap.servers": settings.kafka.bootstrap_servers, "linger.ms": 0})
        stack.callback(self._producer.close)
        reader = stack.enter_context(TopicReader(settings.kafka.client_config(), [replies], PATIENCE_S))
        self._replies = reader.from_now_on(LOOK_S)
        self._rng = np.random.default_rng(SEED)
        self._ids = itertools.count()
        self.last_value = b""
        self._users = self._in_turn(users)

    def at_rate(self, per_s: float, seconds: float) -> Round:
        """Ask so often for so long, and wait until all is answered."""
        return self._round(np.cumsum(self._rng.exponential(1 / per_s, int(per_s * seconds))).tolist())

    def at_once(self, count: int) -> Round:
        """Ask so many at once, and wait until all is answered."""
        return self._round([0.0] * count)

    def _round(self, due_s: list[float]) -> Round:
        before, begun = step_seconds(self._worker), time.perf_counter()
        asked: dict[bytes, float] = {}
        seen: dict[bytes, float] = {}
        for due in due_s:
            while time.perf_counter() < begun + due:
                self._look(seen)
            asked[self._ask()] = begun + due
        give_up_at = time.perf_counter() + PATIENCE_S
        while len(seen) < len(asked):
            self._look(seen)
            if time.perf_counter() > give_up_at:
                raise TimeoutError(f"{len(asked) - len(seen)} requests were not answered:\n{self._worker.log_tail()}")
        after, times = step_seconds(self._worker), sorted(seen.values())
        steps = {step: 1000 * (after[step] - before[step]) / len(asked) for step in STEPS}
        waits_ms = [1000 * (seen[key] - due) for key, due in asked.items()]
        return Round(waits_ms, len(times) / (times[-1] - begun), steps)

    def _ask(self) -> bytes:
        key = str(next(self._ids)).encode()
        self._producer.produce(self._topic, key=key, value=orjson.dumps({"user_id": next(self._users)}))
        self._producer.poll(0)
        return key

    def _look(self, seen: dict[bytes, float]) -> None:
        message = next(self._replies)
        if message is not None:
            seen[message.key() or b""] = time.perf_counter()
            self.last_value = message.value() or b""

    def _in_turn(self, users: list[str]) -> Iterator[str]:
        while True:
            yield from self._rng.permutation(users).tolist()


def main() -> int:
    """Load the demonstration, and ask."""
    bench = Bench.from_command_line("read_path", "Requests answered per second, and how soon.")
    events = demo_events(QUICK_EVENTS if bench.quick else None)
    with ExitStack() as stack:
        servers = stack.enter_context(kafka(bench.say))
        place = stack.enter_context(deployment(servers))
        worker = stack.enter_context(place.worker())
        bench.say("loading the demonstration's ratings")
        load(place, worker, events)
        await_answer(place, worker, (events[0].key or b"").decode(), "first", PATIENCE_S)
        users = sorted({(event.key or b"").decode() for event in events})
        client = Client(place, worker, users, stack)
        bench.say("warming up")
        client.at_rate(WARM_UP_RATE, WARM_UP_S)
        bare = stack.enter_context(deployment(servers))
        requests, replies = bare.settings.request_topics
        stack.enter_context(bare.echo((requests, replies), client.last_value))
        echo = Client(bare, worker, users, stack)
        echo.at_rate(WARM_UP_RATE, WARM_UP_S)
        _measure(bench, client, echo)
    return bench.finish()


def _measure(bench: Bench, client: Client, echo: Client) -> None:
    rates, backlog = (QUICK_RATES, QUICK_BACKLOG) if bench.quick else (RATES, BACKLOG)
    rounds: dict[int, list[Round]] = {rate: [] for rate in rates}
    backlogs, echoes = list[Round](), list[Round]()
    seconds = QUICK_ROUND_S if bench.quick else ROUND_S
    for number in range(bench.repeats(full=3, quick=1)):
        bench.say(f"repeat {number + 1}: {rates[0]} requests/s through the echo")
        echoes.append(echo.at_rate(rates[0], seconds))
        for rate, found in rounds.items():
            bench.say(f"repeat {number + 1}: {rate} requests/s")
            found.append(client.at_rate(rate, seconds))
        bench.say(f"repeat {number + 1}: {backlog} requests at once")
        backlogs.append(client.at_once(backlog))
    _report_echo(bench, rates[0], rounds[rates[0]], echoes)
    _report(bench, rounds, backlogs)


def _report_echo(bench: Bench, rate: int, rounds: list[Round], echoes: list[Round]) -> None:
    for percent in PERCENTS:
        bare_ms = [float(np.percentile(one.waits_ms, percent)) for one in echoes]
        ratios = [float(np.percentile(one.waits_ms, percent)) / ms for one, ms in zip(rounds, bare_ms, strict=True)]
        bench.figure(f"echo at {rate} requests/s, p{percent}", f"echo_{rate}_p{percent}_ms", spread(bare_ms), "ms")
        bench.figure(f"service ÷ echo, p{percent}", f"echo_{rate}_p{percent}_ratio", spread(ratios))


def _report(bench: Bench, rounds: dict[int, list[Round]], backlogs: list[Round]) -> None:
    per_s = spread([one.per_s for one in backlogs])
    bench.figure("from a backlog", "per_s", per_s, "requests/s")
    for step in STEPS:
        each_ms = spread([one.steps_ms[step] for one in backlogs])
        bench.figure(f"from a backlog, {step}", f"backlog_{step}_ms", each_ms, "ms per request")
    for rate, found in rounds.items():
        for percent in PERCENTS:
            waits_ms = spread([float(np.percentile(one.waits_ms, percent)) for one in found])
            bench.figure(f"{rate} requests/s, p{percent}", f"at_{rate}_p{percent}_ms", waits_ms, "ms")
            if (rate, percent) == (TARGET_RATE, 90):
                what = f"p90 at {rate} requests/s, in ms"
                bench.requirements.append(Requirement(what, waits_ms.median, P90_MS_MAX, at_most=True))
                bench.headline("requests", {"per_s": per_s.median, "p90_ms": waits_ms.median})
    bench.requirements.append(Requirement("requests/s", per_s.median, PER_S_MIN))


if __name__ == "__main__":
    sys.exit(main())
