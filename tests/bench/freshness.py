"""How long from appending a rating until its list can be read, beside a bare echo through the same Kafka.

Both are fed at the same pace by a producer, and read by a read_committed reader, that know nothing of the service: they
recognise an event by its id alone. The service has taken the whole demonstration in before. The two take turns, so that
both see the same machine, and a round's ratio is that round's own.
"""

import itertools
import random
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import orjson
from confluent_kafka import Message as KafkaMessage
from confluent_kafka import Producer

from consumers.demo.audience import Audience
from consumers.demo.stage import Worker
from producers.broker_process import bound_to_parent
from producers.datasets import bundled_dataset
from schemas.encode import event_message
from schemas.events import Rated
from schemas.messages import Message
from tests.bench.frame import ROOT, Bench, Requirement, spread
from tests.bench.ground import PATIENCE_S, Deployment, await_lists, demo_events, deployment, kafka, step_seconds

RATIO_MAX = 4.0
RATE_PER_S = 20.0
WARM_UP_EVENTS = 60
LOOK_S = 0.005
STOP_TIMEOUT_S = 10.0
QUICK_EVENTS = 20_000
ID_HEADER = "event-id"
SEED = 3


@dataclass(slots=True)
class Round:
    """Milliseconds from append to readable for each event, and the worker's milliseconds per event by step."""

    waits_ms: list[float]
    steps_ms: dict[str, float] = field(default_factory=dict)

    def percentile(self, percent: float) -> float:
        """Of the waits, in milliseconds."""
        return float(np.percentile(self.waits_ms, percent))


class Probe:
    """Appends events at a steady pace, and watches what comes out for their ids."""

    def __init__(self, place: Deployment, stack: ExitStack, id_of: Callable[[KafkaMessage], str | None]) -> None:
        settings = place.settings
        servers = settings.kafka.bootstrap_servers
        self._topic = settings.input_topics[0]
        self._id_of = id_of
        self._producer = Producer({"bootstrap.servers": servers, "partitioner": "murmur2_random", "linger.ms": 0})
        stack.callback(self._producer.close)
        self._seen = stack.enter_context(place.reader()).from_now_on(LOOK_S)
        self.last_value = b""

    def round(self, ratings: Sequence[Rated]) -> Round:
        """Send ratings at `RATE_PER_S`, and wait until each has come out."""
        sent_at_s: dict[str, float] = {}
        seen_at_s: dict[str, float] = {}
        begun = time.perf_counter()
        for number, rating in enumerate(ratings):
            while time.perf_counter() < begun + number / RATE_PER_S:
                self._look(seen_at_s)
            message = event_message(self._topic, rating)
            event_id = rating.event_id or ""
            sent_at_s[event_id] = time.perf_counter()
            headers: dict[str, str | bytes | None] = {ID_HEADER: event_id}
            self._producer.produce(self._topic, key=message.key, value=message.value, headers=headers)
            self._producer.poll(0)
        give_up_at = time.perf_counter() + PATIENCE_S
        while sent_at_s.keys() - seen_at_s.keys():
            self._look(seen_at_s)
            if time.perf_counter() > give_up_at:
                missing = len(sent_at_s.keys() - seen_at_s.keys())
                raise TimeoutError(f"{missing} events of {self._topic} did not come out in {PATIENCE_S:g} s")
        return Round([1000 * (seen_at_s[event_id] - sent) for event_id, sent in sent_at_s.items()])

    def _look(self, seen_at_s: dict[str, float]) -> None:
        message = next(self._seen)
        if message is None:
            return
        now_s = time.perf_counter()
        self.last_value = message.value() or b""
        if (event_id := self._id_of(message)) is not None:
            seen_at_s[event_id] = now_s


def main() -> int:
    """Measure both in turns, and compare."""
    bench = Bench.from_command_line("freshness", "From append to readable list, beside a bare echo.")
    with ExitStack() as stack:
        servers = stack.enter_context(kafka(bench.say))
        place, bare = (stack.enter_context(deployment(servers)) for _ in range(2))
        worker = stack.enter_context(place.worker())
        bench.say("loading the demonstration's ratings")
        _load(place, worker, demo_events(QUICK_EVENTS if bench.quick else None))
        ratings = _ratings()
        service, echo = Probe(place, stack, _list_id), Probe(bare, stack, _header_id)
        service.round(_take(ratings, WARM_UP_EVENTS))
        stack.enter_context(_echo_process(bare, service.last_value))
        echo.round(_take(ratings, WARM_UP_EVENTS))
        rounds = []
        events = bench.repeats(full=300, quick=100)
        for number in range(bench.repeats(full=7, quick=3)):
            bench.say(f"round {number + 1}: {events} ratings at {RATE_PER_S:g}/s through each")
            before = step_seconds(worker)
            through = service.round(_take(ratings, events))
            after = step_seconds(worker)
            through.steps_ms = {step: 1000 * (after[step] - before[step]) / events for step in after}
            rounds.append((through, echo.round(_take(ratings, events))))
    _report(bench, rounds, len(service.last_value))
    return bench.finish()


def _load(place: Deployment, worker: Worker, events: list[Message]) -> None:
    with place.reader() as reader:
        audience = Audience(reader)
        place.send(events)
        await_lists(audience, worker, len(events))


def _ratings() -> Iterator[Rated]:
    """Endless ratings: users take turns, so that no two events of one user share a list."""
    table = bundled_dataset().ratings
    chance = random.Random(SEED)  # noqa: S311  # repeatable, no secret
    users, items = sorted(set(table.user.tolist())), table.item.tolist()
    chance.shuffle(users)
    run = secrets.token_hex(4)
    for number, user in enumerate(itertools.cycle(users)):
        rating, event_id = chance.randint(1, 10) / 2, f"{run}-{number}"
        yield Rated(user_id=str(user), item_id=chance.choice(items), rating=rating, event_id=event_id)


def _take(ratings: Iterator[Rated], count: int) -> list[Rated]:
    return list(itertools.islice(ratings, count))


def _list_id(message: KafkaMessage) -> str | None:
    event_id: str | None = orjson.loads(message.value() or b"null")["source"]["event_id"]
    return event_id


def _header_id(message: KafkaMessage) -> str | None:
    value = dict(cast("list[tuple[str, bytes]]", message.headers() or [])).get(ID_HEADER)
    return None if value is None else value.decode()


@contextmanager
def _echo_process(place: Deployment, value: bytes) -> Iterator[None]:
    settings = place.settings
    file = place.folder / "list.json"
    file.write_bytes(value)
    topics = [settings.input_topics[0], settings.recommendations_topic]
    arguments = [settings.kafka.bootstrap_servers, settings.group, *topics, str(file)]
    command = [*bound_to_parent(), sys.executable, "-m", "tests.bench.echo", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _report(bench: Bench, rounds: Sequence[tuple[Round, Round]], list_bytes: int) -> None:
    services, echoes = zip(*rounds, strict=True)
    for name, each in (("service", services), ("echo", echoes)):
        for percent, label in ((50, "p50"), (99, "p99"), (100, "max")):
            value = spread([one.percentile(percent) for one in each])
            bench.figure(f"{name}, {label}", f"{name}_{label}_ms", value, "ms")
    for percent, label in ((50, "p50"), (99, "p99"), (100, "max")):
        ratios = spread([one.percentile(percent) / other.percentile(percent) for one, other in rounds])
        bench.figure(f"service ÷ echo, {label}", f"{label}_ratio", ratios)
        if percent == 50:
            bench.requirements.append(Requirement("p50, service ÷ echo", ratios.median, RATIO_MAX, at_most=True))
    for step in services[0].steps_ms:
        value = spread([one.steps_ms[step] for one in services])
        bench.figure(f"service, {step}", f"{step}_ms", value, "ms per event")
    bench.figure("size of a list", "list_bytes", str(list_bytes), "bytes")


if __name__ == "__main__":
    sys.exit(main())
