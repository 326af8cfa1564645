"""Appends events to a topic at a steady pace, and takes the time until each can be read where it comes out.

It knows nothing of the service: it recognises an event by the id that comes out. Where several events of one user came
together, one record answers to the last of them, and with that to those before it. One thread sends, so that what comes
out does not hold up what goes in.
"""

import itertools
import random
import secrets
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
from confluent_kafka import Message as KafkaMessage
from confluent_kafka import Producer

from producers.datasets import bundled_dataset
from schemas.encode import event_message
from schemas.events import Rated
from tests.bench.ground import PATIENCE_S, Deployment

LOOK_S = 0.005
ID_HEADER = "event-id"
SEED = 3


@dataclass(slots=True)
class Round:
    """Milliseconds from append to readable for each event, the seconds that all took, and the worker's ms by step."""

    waits_ms: list[float]
    seconds: float
    steps_ms: dict[str, float] = field(default_factory=dict)

    def percentile(self, percent: float) -> float:
        """Of the waits, in milliseconds."""
        return float(np.percentile(self.waits_ms, percent))


@dataclass(slots=True)
class _Underway:
    """What was sent and has not come out yet, and what has."""

    sent_at_s: dict[str, float] = field(default_factory=dict)
    waiting: defaultdict[bytes, deque[str]] = field(default_factory=lambda: defaultdict(deque))
    seen_at_s: dict[str, float] = field(default_factory=dict)

    def sent(self, user: bytes, event_id: str, now_s: float) -> None:
        """An event goes off now."""
        self.waiting[user].append(event_id)
        self.sent_at_s[event_id] = now_s

    def seen(self, user: bytes, event_id: str, now_s: float) -> None:
        """An event came out, and with it those of the same user that were sent before it."""
        if event_id not in self.sent_at_s or event_id in self.seen_at_s:
            return
        while event_id not in self.seen_at_s:
            self.seen_at_s[self.waiting[user].popleft()] = now_s

    def waits_ms(self) -> list[float]:
        """In the order in which they were sent."""
        return [1000 * (self.seen_at_s[event_id] - sent) for event_id, sent in self.sent_at_s.items()]


class Probe:
    """Sends through a deployment's topics; `id_of` tells the event id of a record that comes out, None: it has none."""

    def __init__(self, place: Deployment, stack: ExitStack, id_of: Callable[[KafkaMessage], str | None]) -> None:
        settings = place.settings
        servers = settings.kafka.bootstrap_servers
        self._topic = settings.input_topics[0]
        self._id_of = id_of
        self._producer = Producer({"bootstrap.servers": servers, "partitioner": "murmur2_random", "linger.ms": 0})
        stack.callback(self._producer.close)
        self._seen = stack.enter_context(place.reader()).from_now_on(LOOK_S)
        self.last_value = b""

    def round(self, ratings: Sequence[Rated], rate_per_s: float | None) -> Round:
        """Send ratings at a rate (None: as fast as it goes), and wait until each has come out.

        Raises:
            TimeoutError: some did not.
        """
        underway = _Underway()
        begun = time.perf_counter()
        sender = threading.Thread(target=self._send, args=(ratings, rate_per_s, underway), daemon=True)
        sender.start()
        heard_at_s = begun
        while len(underway.seen_at_s) < len(ratings):
            if self._look(underway):
                heard_at_s = time.perf_counter()
            elif time.perf_counter() > heard_at_s + PATIENCE_S:
                missing = len(ratings) - len(underway.seen_at_s)
                raise TimeoutError(f"{missing} events of {self._topic} did not come out in {PATIENCE_S:g} s")
        sender.join()
        return Round(underway.waits_ms(), max(underway.seen_at_s.values()) - begun)

    def _send(self, ratings: Sequence[Rated], rate_per_s: float | None, underway: _Underway) -> None:
        messages = [(event_message(self._topic, rating), rating.event_id or "") for rating in ratings]
        begun = time.perf_counter()
        for number, (message, event_id) in enumerate(messages):
            if rate_per_s is not None:
                time.sleep(max(0.0, begun + number / rate_per_s - time.perf_counter()))
            headers: dict[str, str | bytes | None] = {ID_HEADER: event_id}
            underway.sent(message.key or b"", event_id, time.perf_counter())
            self._producer.produce(self._topic, key=message.key, value=message.value, headers=headers)
            self._producer.poll(0)

    def _look(self, underway: _Underway) -> bool:
        message = next(self._seen)
        if message is None:
            return False
        now_s = time.perf_counter()
        self.last_value = message.value() or b""
        if (event_id := self._id_of(message)) is not None:
            underway.seen(message.key() or b"", event_id, now_s)
        return True


def rating_users() -> list[int]:
    """The demonstration's users."""
    return sorted(set(bundled_dataset().ratings.user.tolist()))


def new_ratings() -> Iterator[Rated]:
    """Endless ratings of the demonstration's users, who take turns, so that events of one user seldom share a list.

    They rate what they rated before: in a long run histories would grow several times over otherwise, and what is
    measured last would be another deployment than what was measured first.
    """
    chance = random.Random(SEED)  # noqa: S311  # repeatable, no secret
    rated: defaultdict[int, list[int]] = defaultdict(list)
    for user, item, _, _ in bundled_dataset().ratings.rows():
        rated[int(user)].append(int(item))
    users = sorted(rated)
    chance.shuffle(users)
    run = secrets.token_hex(4)
    for number, user in enumerate(itertools.cycle(users)):
        rating, event_id = chance.randint(1, 10) / 2, f"{run}-{number}"
        yield Rated(user_id=str(user), item_id=chance.choice(rated[user]), rating=rating, event_id=event_id)
