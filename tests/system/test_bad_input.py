"""Whatever bytes come in: one dead letter each, untouched and with its reason, and everything else goes on."""

import hashlib
import json
import random
import uuid
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple, cast

import pytest
from confluent_kafka import KafkaError, Message, Producer
from deployment import Deployment
from sample_ratings import ratings
from service_process import WAIT_S
from topic_truth import assert_exactly_once, committed_records, header_values, updates

from consumers.topics import INPUT_MAX_MESSAGE_BYTES
from schemas.encode import event_message
from schemas.events import Event
from schemas.reasons import Reason

GOOD_EVENTS = 400
PARTITIONS = 4
FRAME_MAX_BYTES = 256
"""More than the brokers count beside key and value of a record that is alone in its batch."""
HEADERS: list[tuple[str, str | bytes | None]] = [
    ("trace", b"\x00\xff"),
    ("ce_id", b"theirs"),
    ("none", None),
    ("trace", b""),
]


class Sent(NamedTuple):
    """A record as it was sent, and why it cannot be used."""

    reason: Reason
    value: bytes | None
    key: bytes | None = b"bad"
    timestamp_ms: int = 0


def rated(**changed: Any) -> bytes:
    """A good rating of the user `bad`, but for what is changed; `...` leaves a field out."""
    fields = {"user_id": "bad", "item_id": 318, "rating": 4.5, "rated_at": "2020-01-01T00:00:00Z"} | changed
    return json.dumps({name: value for name, value in fields.items() if value is not ...}).encode()


def raw(reason: Reason, *values: bytes | None) -> list[Sent]:
    """Records with these values."""
    return [Sent(reason, value) for value in values]


def wrong(reason: Reason, field: str, *values: Any) -> list[Sent]:
    """Ratings in which this one field is wrong."""
    return [Sent(reason, rated(**{field: value})) for value in values]


def wrong_profiles(reason: Reason, *attributes: Any) -> list[Sent]:
    """Profile events with these attributes."""
    documents = [{"type": "profile", "user_id": "bad", "attributes": value} for value in attributes]
    return [Sent(reason, json.dumps(document).encode()) for document in documents]


BAD: list[Sent] = [
    *raw("empty_value", None, b""),
    *raw("schema_registry_framing", b"\x00\x00\x00\x00\x01" + rated(), b"\x00"),
    *raw("not_json", b"{", b"rated", b"\xff\xfe", rated() + b"x", b"\xef\xbb\xbf" + rated()),
    *raw("not_json", b"[" * 100_000, b'{"a":' * 100_000),
    *raw("not_an_object", b"[]", b"42", b"null", b'"rated"'),
    *raw("not_finite", rated().replace(b"4.5", b"1e999")),
    *raw("missing_field", b'{"type": "profile", "user_id": "bad"}', b"{}"),
    *wrong("not_finite", "rating", float("nan"), float("inf"), -float("inf")),
    *(Sent("missing_field", rated(**{field: ...})) for field in ("user_id", "item_id", "rating")),
    *wrong("wrong_type", "rating", "4.5", True, None, [4.5], {"stars": 4.5}),
    *wrong("wrong_type", "event_id", 7),
    *wrong("rating_out_of_scale", "rating", 5.5, 0, -4.5, 1e308),
    *wrong("unknown_type", "type", "loved", "", 7, None),
    *wrong("reserved_type", "type", "shown", "clicked", "viewed", "bought"),
    *wrong("unsupported_schema", "schema", 2, "1", True),
    *wrong("bad_user_id", "user_id", "", "u" * 257, "a\nb", None, 1.5, True, [], "_popular", 10**30, -(10**30)),
    *wrong("bad_item_id", "item_id", -1, 2**32, 10**30, 1.5, True, None, "", {}),
    *wrong("string_item_id", "item_id", "tt0111161"),
    *wrong("time_too_early", "rated_at", 1_577_836_800, 0, -1, "1989-12-31T23:59:59Z"),
    *wrong("time_in_future", "rated_at", "2999-01-01T00:00:00Z", 32_503_680_000_000),
    *wrong("bad_time", "rated_at", "yesterday", "2024-02-30T00:00:00Z", 1.5, True, 10**30),
    Sent("bad_time", rated(rated_at=...), timestamp_ms=1_000),
    *wrong_profiles("bad_attributes", [], None, {"a b": 1}, {"a": [1]}, {"a": 10**19}, {f"a{i}": i for i in range(65)}),
    *wrong_profiles("not_finite", {"a": float("nan")}),
    *(Sent("null_key", value, None) for value in (rated(), b'{"type": "forget", "user_id": "bad"}')),
    *(Sent("key_mismatch", rated(), key) for key in (b"other", b"", b"\xff\x00", b"b" * 300)),
]


def noise(size: int) -> bytes:
    """Bytes that cannot be compressed, always the same."""
    return random.Random(size).randbytes(size)  # noqa: S311 - no secret


class RawSender:
    """Sends bytes as they are, and knows what the brokers took, by partition and offset."""

    def __init__(self, servers: str, topic: str, **properties: str) -> None:
        self.taken: dict[tuple[int, int], Sent] = {}
        self._topic = topic
        # The client would refuse what is too large by itself; here the brokers are to say it.
        own = {"partitioner": "murmur2_random", "message.max.bytes": "1000000000", "compression.type": "none"}
        self._producer = Producer({"bootstrap.servers": servers, **own, **properties})

    def send_good(self, event: Event) -> None:
        """Send a valid event as any app would."""
        message = event_message(self._topic, event)
        self._producer.produce(self._topic, message.value, message.key)

    def send(self, record: Sent, partition: int) -> bool:
        """Whether the brokers took the record."""
        answers: list[tuple[KafkaError | None, Message]] = []
        self._producer.produce(
            self._topic,
            record.value,
            record.key,
            partition,
            lambda error, message: answers.append((error, message)),
            timestamp=record.timestamp_ms,
            headers=HEADERS,
        )
        assert self._producer.flush(WAIT_S) == 0
        ((error, message),) = answers
        if error is not None:
            assert error.code() == KafkaError.MSG_SIZE_TOO_LARGE
            return False
        self.taken[cast("int", message.partition()), cast("int", message.offset())] = record
        return True

    def send_up_to_the_limit(self) -> None:
        """Send ever larger values, until one byte more is refused."""
        value = b"x" + noise(INPUT_MAX_MESSAGE_BYTES)
        low, high = INPUT_MAX_MESSAGE_BYTES - FRAME_MAX_BYTES, INPUT_MAX_MESSAGE_BYTES
        while low + 1 < high:
            middle = (low + high) // 2
            is_taken = self.send(Sent("not_json", value[:middle]), 0)
            low, high = (middle, high) if is_taken else (low, middle)


class Aftermath(NamedTuple):
    """What was sent, what came back, and the deployment after its workers have ended."""

    deployment: Deployment
    sent: dict[tuple[int, int], Sent]
    dead_letters: list[Message]


def send_everything(deployment: Deployment) -> dict[tuple[int, int], Sent]:
    """Good and bad events in turns; returns the bad ones by partition and offset."""
    sender = RawSender(deployment.servers, deployment.topic)
    packed = RawSender(deployment.servers, deployment.topic, **{"compression.type": "gzip"})
    good = ratings(GOOD_EVENTS)
    for number, record in enumerate(BAD):
        for event in islice(good, GOOD_EVENTS // len(BAD)):
            sender.send_good(event)
        assert sender.send(record, number % PARTITIONS)
    sender.send_up_to_the_limit()
    for value in (b"x" * 3 * INPUT_MAX_MESSAGE_BYTES, b"x" + noise(900_000).hex().encode()):
        # Larger than the limit until it is packed, and the brokers' limit is one of packed batches.
        assert packed.send(Sent("not_json", value), 1)
    for event in good:
        sender.send_good(event)
    assert sender.send(BAD[0], 2)
    return sender.taken | packed.taken


@pytest.fixture(scope="module")
def aftermath(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    """Everything was sent, and a worker took it that was killed once on its way."""
    folder = tmp_path_factory.mktemp("bad-input")
    small = {"limits__batch_max_records": "10", "topics__partitions": str(PARTITIONS)}
    with Deployment(broker, f"bad-input-{uuid.uuid4().hex[:8]}", folder, **small) as deployment:
        sent = send_everything(deployment.make_topics())
        worker = deployment.worker().start()
        deployment.await_lag((GOOD_EVENTS + len(sent)) // 2, worker)
        worker.kill()
        deployment.await_lag(0, worker.start())
        assert worker.stop() == 0
        yield Aftermath(deployment, sent, committed_records(deployment, deployment.settings.dead_letter_topic))


def digest(key: bytes | None, value: bytes | None) -> str:
    return hashlib.sha256(repr((key, value)).encode()).hexdigest()


def header_rows(message: Message) -> list[tuple[str, str | bytes | None]]:
    return cast("list[tuple[str, str | bytes | None]]", message.headers() or [])


def place(message: Message) -> tuple[int, int]:
    """Partition and offset of the record that a dead letter is of."""
    found = header_values(message)
    return int(found["__connect.errors.partition"]), int(found["__connect.errors.offset"])


def test_every_bad_record_has_one_dead_letter_with_its_bytes(aftermath: Aftermath) -> None:
    """As many dead letters as bad records, over a kill -9: key and value as sent, the largest record's too."""
    found = Counter((place(message), digest(message.key(), message.value())) for message in aftermath.dead_letters)
    sent = {(where, digest(record.key, record.value)) for where, record in aftermath.sent.items()}
    assert found == Counter(dict.fromkeys(sent, 1))


def test_dead_letters_keep_the_original_headers(aftermath: Aftermath) -> None:
    """The sender's headers come first, as they were, and none of ours takes the name of one of theirs."""
    for message in aftermath.dead_letters:
        found = header_rows(message)
        assert found[: len(HEADERS)] == HEADERS
        ours = [name for name, _ in found[len(HEADERS) :]]
        assert len(ours) == len(set(ours))
        assert not set(ours) & {name for name, _ in HEADERS}


def test_dead_letters_say_why(aftermath: Aftermath) -> None:
    """The reason is the one expected, and beside it stand a sentence and where the record came from."""
    for message in aftermath.dead_letters:
        found, record = header_values(message), aftermath.sent[place(message)]
        assert found["tastestream-reason"].decode() == record.reason, record
        assert found["__connect.errors.topic"].decode() == aftermath.deployment.topic
        assert len(found["__connect.errors.exception.message"]) > len(record.reason)


def test_everything_else_goes_on(aftermath: Aftermath) -> None:
    """All offsets are committed, every good event counts once, and nobody else is in the store."""
    assert_exactly_once(aftermath.deployment)
    good = Counter(event.user_id for event in ratings(GOOD_EVENTS))
    assert {user: len(rows) for user, rows in updates(aftermath.deployment).items()} == good
