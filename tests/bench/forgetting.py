"""How long from the wish to be forgotten until its tombstone can be read, while others go on rating.

The service has taken the whole demonstration in before. A forgotten user is gone from the store when the tombstone is
readable, because it is committed after the store's write was made durable; that is looked at afterwards, in the store.
"""

import random
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import numpy as np
from confluent_kafka import Message, Producer

from consumers.demo.stage import Worker
from consumers.existing_store import all_states
from consumers.forgetting import answer_of
from consumers.store_opening import open_store
from producers.datasets import bundled_dataset
from recommender.profile import UserState
from schemas.encode import event_message
from schemas.events import Event, Forgotten, Rated
from tests.bench.frame import Bench, Requirement
from tests.bench.ground import PATIENCE_S, Deployment, demo_events, deployment, kafka, load

EVENTS_PER_S = 20.0
RATINGS_PER_FORGET = 3
FORGETS, QUICK_FORGETS = 200, 50
QUICK_EVENTS = 20_000
LOOK_S = 0.005
SEED = 4


class Stopwatch:
    """Sends events at a steady pace, and notes when each user's tombstone becomes readable."""

    def __init__(self, place: Deployment, stack: ExitStack) -> None:
        self._topic = place.settings.input_topics[0]
        servers = place.settings.kafka.bootstrap_servers
        self._producer = Producer({"bootstrap.servers": servers, "partitioner": "murmur2_random", "linger.ms": 0})
        stack.callback(self._producer.close)
        self._seen = stack.enter_context(place.reader()).from_now_on(LOOK_S)
        self._sent_at_s: dict[str, float] = {}
        self.waits_ms: dict[str, float] = {}

    def run(self, events: Sequence[Event]) -> None:
        """Send them all, and wait until everybody who asked for it is forgotten.

        Raises:
            TimeoutError: somebody was not.
        """
        begun = time.perf_counter()
        for number, event in enumerate(events):
            while time.perf_counter() < begun + number / EVENTS_PER_S:
                self._look()
            message = event_message(self._topic, event)
            if isinstance(event, Forgotten):
                self._sent_at_s[event.user_id] = time.perf_counter()
            self._producer.produce(self._topic, key=message.key, value=message.value)
            self._producer.poll(0)
        give_up_at = time.perf_counter() + PATIENCE_S
        while missing := self._sent_at_s.keys() - self.waits_ms.keys():
            self._look()
            if time.perf_counter() > give_up_at:
                raise TimeoutError(f"{len(missing)} users were not forgotten in {PATIENCE_S:g} s")

    def _look(self) -> None:
        message = next(self._seen)
        if message is not None and (user_id := _forgotten(message)) in self._sent_at_s:
            self.waits_ms.setdefault(user_id, 1_000 * (time.perf_counter() - self._sent_at_s[user_id]))


def main() -> int:
    """Load, forget, and look whether they are gone."""
    bench = Bench.from_command_line("forgetting", "From the wish to be forgotten to the readable tombstone.")
    with ExitStack() as stack:
        place = stack.enter_context(deployment(stack.enter_context(kafka(bench.say))))
        worker = stack.enter_context(place.worker())
        bench.say("loading the demonstration's ratings")
        users = _load(place, worker, QUICK_EVENTS if bench.quick else None)
        forgotten, events = _events(users, bench.repeats(full=FORGETS, quick=QUICK_FORGETS))
        bench.say(f"{len(forgotten)} users are forgotten at {EVENTS_PER_S / (1 + RATINGS_PER_FORGET):g}/s")
        stopwatch = Stopwatch(place, stack)
        stopwatch.run(events)
        if code := worker.stop():
            raise RuntimeError(f"the worker ended with exit code {code}:\n{worker.log_tail()}")
        _report(bench, stopwatch, forgotten, _states(place))
    return bench.finish()


def _load(place: Deployment, worker: Worker, limit: int | None) -> list[str]:
    """Returns the users who are known then."""
    events = demo_events(limit)
    load(place, worker, events)
    return sorted({(event.key or b"").decode() for event in events})


def _events(users: list[str], forgets: int) -> tuple[set[str], list[Event]]:
    """Who is forgotten, and all events: each wish between ratings of those who stay."""
    chance = random.Random(SEED)  # noqa: S311  # repeatable, no secret
    chance.shuffle(users)
    leaving, staying = users[:forgets], users[forgets:]
    ratings = _ratings(chance, staying, bundled_dataset().ratings.item.tolist())
    events: list[Event] = []
    for user in leaving:
        events += [next(ratings) for _ in range(RATINGS_PER_FORGET)]
        events.append(Forgotten(type="forget", user_id=user))
    return set(leaving), events


def _ratings(chance: random.Random, users: Sequence[str], items: Sequence[int]) -> Iterator[Rated]:
    while True:
        yield Rated(user_id=chance.choice(users), item_id=chance.choice(items), rating=chance.randint(1, 10) / 2)


def _forgotten(message: Message) -> str:
    answer = answer_of(message)
    return (message.key() or b"").decode() if answer is not None and answer.kind == "tombstone" else ""


def _states(place: Deployment) -> list[UserState]:
    store = open_store(place.settings)
    try:
        return list(all_states(store))
    finally:
        store.close()


def _report(bench: Bench, stopwatch: Stopwatch, forgotten: set[str], states: Sequence[UserState]) -> None:
    waits = list(stopwatch.waits_ms.values())
    for percent, label in ((50, "p50"), (99, "p99"), (100, "max")):
        bench.figure(f"from wish to gone, {label}", f"gone_{label}_ms", float(np.percentile(waits, percent)), "ms")
    bench.figure("users forgotten", "forgets", f"{len(waits):,}")
    known = {state.user_id for state in states} - {None}
    bench.figure("users who stay", "users", f"{len(known):,}")
    bench.requirements.append(Requirement("forgotten users in the store", len(known & forgotten), 0, at_most=True))
    nameless = sum(state.user_id is None and not len(state.history) for state in states)
    bench.requirements.append(Requirement("empty points that keep them away", nameless, len(waits)))


if __name__ == "__main__":
    sys.exit(main())
