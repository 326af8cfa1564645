"""A steady stream of events for a few hundred users, with its own record of what the brokers acknowledged.

Users rate and rate again, take ratings back, describe themselves, ask to be forgotten; some events come late, some
twice with the same bytes, some are malformed. What is sent is drawn from the seed; when it arrives is the machine's.
"""

import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

import orjson
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from deployment import Deployment

USERS = 300
ITEMS = 150
TICK_S = 0.02
LOOK_INTERVAL_S = 0.25
ANSWER_TIMEOUT_S = 2.0
FLUSH_TIMEOUT_S = 60.0
LATE_MAX_MS = 30 * 86_400_000
MALFORMED_SHARE, TWICE_SHARE, LATE_SHARE, BURST_SHARE = 0.004, 0.02, 0.1, 0.004
BURST_EVENTS = 150
MALFORMED = (
    b"",
    b"{",
    b"[1]",
    b"\xff\xfe",
    b'{"user_id":"u1"}',
    b'{"user_id":"u1","item_id":1,"rating":99}',
    b'{"user_id":"somebody else","item_id":1,"rating":4}',
    b'{"user_id":"u1","item_id":true,"rating":4}',
)

Record = tuple[bytes, bytes, bool]
"""Key, value, and whether it is malformed."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Events per second, how many may wait to be committed before the stream holds back, and of how many users."""

    events_per_s: float = 200.0
    backlog_max: int = 3_000
    users: int = USERS


def digest(key: bytes | None, value: bytes | None) -> int:
    """What stands for a record's bytes."""
    return int.from_bytes(blake2b((key or b"") + b"|" + (value or b""), digest_size=8).digest(), "big")


class RatingStream:
    """Sends from a thread of its own between `start` and `stop`.

    Attributes:
        acknowledged: what the brokers have, as the digest by partition and offset.
        malformed: partition and offset of every record that is to become a dead letter.
    """

    def __init__(self, deployment: Deployment, seed: int, pace: Pace) -> None:
        self.acknowledged: defaultdict[int, dict[int, int]] = defaultdict(dict)
        self.malformed: set[tuple[int, int]] = set()
        self.failed: list[str] = []
        self.sent = 0
        self._topic, self._pace = deployment.topic, pace
        self._dice = random.Random(f"stream {seed}")  # noqa: S311 - no secret
        self._last: Record | None = None
        client = {"bootstrap.servers": deployment.servers, "log_level": 0}
        self._producer = Producer(
            {**client, "enable.idempotence": True, "partitioner": "murmur2_random", "linger.ms": 2}
        )
        self._group = Consumer({**client, "group.id": deployment.settings.group})
        self._partitions = [TopicPartition(self._topic, n) for n in range(deployment.settings.topics.partitions)]
        self._committed, self._looked_at = 0, 0.0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stream", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """Send no more; returns when the brokers have everything, or after `FLUSH_TIMEOUT_S`."""
        if self._stopped.is_set():
            return
        self._stopped.set()
        self._thread.join()
        if waiting := self._producer.flush(FLUSH_TIMEOUT_S):
            self.failed.append(f"{waiting} records were never acknowledged")
        self._producer.close()
        self._group.close()

    def _run(self) -> None:
        due, before = 0.0, time.monotonic()
        while not self._stopped.wait(TICK_S):
            now = time.monotonic()
            due += min(now - before, 5 * TICK_S) * self._pace.events_per_s
            before = now
            if self._dice.random() < BURST_SHARE:
                due += BURST_EVENTS
            if self._backlog(now) > self._pace.backlog_max:
                due = 0.0
            for _ in range(int(due)):
                self._send()
            due -= int(due)
            self._producer.poll(0)

    def _backlog(self, now: float) -> int:
        if now - self._looked_at > LOOK_INTERVAL_S:
            self._looked_at = now
            try:
                found = self._group.committed(self._partitions, ANSWER_TIMEOUT_S)
                self._committed = sum(max(0, tp.offset) for tp in found)
            except KafkaException:
                pass  # The brokers are away, and so is the answer.
        return self.sent - self._committed

    def _send(self) -> None:
        twice = self._last is not None and self._dice.random() < TWICE_SHARE
        record = self._last if twice and self._last is not None else self._drawn()
        key, value, is_malformed = self._last = record
        try:
            self._producer.produce(self._topic, key=key, value=value, on_delivery=self._delivered(is_malformed))
            self.sent += 1
        except BufferError:
            self._producer.poll(TICK_S)

    def _delivered(self, is_malformed: bool) -> Callable[[KafkaError | None, Message], None]:
        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self.failed.append(error.str())
                return
            partition, offset = int(message.partition() or 0), int(message.offset() or 0)
            self.acknowledged[partition][offset] = digest(message.key(), message.value())
            if is_malformed:
                self.malformed.add((partition, offset))

        return delivered

    def _drawn(self) -> Record:
        dice = self._dice
        # Some users are far busier than others.
        user_id = f"u{int(self._pace.users * dice.random() ** 2)}"
        if dice.random() < MALFORMED_SHARE:
            return user_id.encode(), dice.choice(MALFORMED), True
        return user_id.encode(), orjson.dumps({"user_id": user_id, **self._event()}), False

    def _event(self) -> dict[str, object]:
        dice, drawn = self._dice, self._dice.random()
        if drawn < 0.002:
            return {"type": "forget"}
        if drawn < 0.02:
            return {"type": "profile", "attributes": {"age": dice.choice([None, 20, 30.5]), "city": dice.choice("abc")}}
        now_ms = time.time_ns() // 1_000_000
        at_ms = now_ms - dice.randrange(LATE_MAX_MS) if dice.random() < LATE_SHARE else now_ms
        named = {"item_id": dice.randrange(ITEMS), "rated_at": at_ms}
        if drawn < 0.06:
            return {"type": "retracted", **named}
        return {**named, "rating": dice.randint(1, 10) / 2}
