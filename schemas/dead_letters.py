"""Dead letters: the original key, value and headers untouched, and in headers of ours why and where from.

- The names are those of Kafka Connect, so that its tools read them. Ours come last and begin with the topic: what
  stands before it is the original's, whatever it is called.
- The dead-letter topic's size limit lies at least `HEADROOM_BYTES` above the input's. A record that came in packed may
  still be larger than it; then its dead letter says what it leaves out, and the original stays where it came from.
"""

from dataclasses import dataclass

from schemas.messages import CloudEvent, Headers, Message, output_headers
from schemas.reasons import MalformedRecordError
from schemas.times import format_time

HEADROOM_BYTES = 65_536
EXPLANATION_MAX_CHARS = 1_000
KEY_KEPT_MAX_BYTES = 4_096
"""A key up to this length is kept where the rest is left out."""
REASON_HEADER = "tastestream-reason"
ATTEMPTS_HEADER = "tastestream-attempts"
TIMESTAMP_HEADER = "tastestream-timestamp-ms"
"""The Kafka timestamp of the original, in epoch ms; absent where it had none."""
OMITTED_HEADER = "tastestream-omitted"
"""What of key, value and headers did not fit and was left out, separated by commas; absent where nothing was."""
VALUE_BYTES_HEADER = "tastestream-value-bytes"
"""The length of a value that was left out."""
REDRIVEN_FROM_HEADER = "tastestream-redriven-from"
"""On a record that was sent again: topic, partition and offset of the dead letter it comes from."""
REDRIVEN_HEADER = "tastestream-redriven"
"""On a marker in the dead-letter topic: its value names the dead letters that were sent again."""

CONNECT_PREFIX = "__connect.errors."
TOPIC_HEADER = CONNECT_PREFIX + "topic"
PARTITION_HEADER = CONNECT_PREFIX + "partition"
OFFSET_HEADER = CONNECT_PREFIX + "offset"
EXPLANATION_HEADER = CONNECT_PREFIX + "exception.message"

_OURS = frozenset(
    {
        REASON_HEADER,
        ATTEMPTS_HEADER,
        TIMESTAMP_HEADER,
        OMITTED_HEADER,
        VALUE_BYTES_HEADER,
        REDRIVEN_FROM_HEADER,
        REDRIVEN_HEADER,
    }
)
_TYPE = "tastestream.dead_letter.v1"
# What the brokers count beside key, value and headers of a record that is alone in its batch: 61 bytes for the batch,
# at most 36 for the record, and at most 10 for each header.
_FRAME_BYTES, _HEADER_FRAME_BYTES = 128, 10


@dataclass(frozen=True, slots=True)
class RefusedRecord:
    """A record as it was read, with where from and which attempt this was (1 at first)."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp_ms: int | None = None

    @property
    def attempt(self) -> int:
        """1, or one more than the last dead letter of this record said."""
        return attempts_said(self.headers) + 1


def attempts_said(headers: Headers) -> int:
    """How many attempts the headers tell of; 0 where they tell nothing that can be true."""
    said = [value for name, value in headers if name == ATTEMPTS_HEADER and value]
    return int(said[-1]) if said and said[-1].isdigit() and len(said[-1]) < 10 else 0


def dead_letter(  # what came, why not, and the four facts of the place it goes to
    topic: str,
    record: RefusedRecord,
    error: MalformedRecordError,
    origin: str,
    at_ms: int,
    max_bytes: int | None = None,
) -> Message:
    """The record for the dead-letter topic.

    Args:
        topic: the dead-letter topic.
        record: what came.
        error: why it cannot be used.
        origin: the CloudEvents source.
        at_ms: now, in epoch ms.
        max_bytes: the topic's limit; what exceeds it unpacked goes without the original's bytes, and says so.
    """
    place = f"{record.topic}:{record.partition}:{record.offset}"
    event = CloudEvent(id=place, type=_TYPE, source=origin, time=format_time(at_ms))
    added = (*_why(record, error), *output_headers(event, "application/octet-stream"))
    kept = tuple((name, value) for name, value in record.headers if not is_ours(name))
    taken = {name for name, _ in kept}
    headers = kept + tuple((name, value) for name, value in added if name not in taken)
    whole = Message(topic, record.key, record.value, headers)
    if max_bytes is None or size_bytes(whole) <= max_bytes:
        return whole
    return _without_the_original(whole, len(kept), added)


def size_bytes(message: Message) -> int:
    """At most so much is a record in a batch of its own, unpacked."""
    headers = sum(len(name.encode()) + len(value or b"") + _HEADER_FRAME_BYTES for name, value in message.headers)
    return len(message.key or b"") + len(message.value or b"") + headers + _FRAME_BYTES


def is_ours(name: str) -> bool:
    """Whether a header is written by the dead-letter handling alone, so that the newest refusal replaces it."""
    return name.startswith(CONNECT_PREFIX) or name in _OURS


def _without_the_original(whole: Message, kept_headers: int, added: Headers) -> Message:
    key = whole.key if len(whole.key or b"") <= KEY_KEPT_MAX_BYTES else None
    gone = {"key": key != whole.key, "value": whole.value is not None, "headers": kept_headers > 0}
    omitted = ",".join(name for name, is_gone in gone.items() if is_gone).encode()
    said = ((OMITTED_HEADER, omitted), (VALUE_BYTES_HEADER, str(len(whole.value or b"")).encode()))
    return Message(whole.topic, key, None, added + said)


def _why(record: RefusedRecord, error: MalformedRecordError) -> Headers:
    return (
        (TOPIC_HEADER, record.topic.encode()),
        (PARTITION_HEADER, str(record.partition).encode()),
        (OFFSET_HEADER, str(record.offset).encode()),
        (CONNECT_PREFIX + "exception.class.name", type(error).__name__.encode()),
        (EXPLANATION_HEADER, str(error)[:EXPLANATION_MAX_CHARS].encode(errors="replace")),
        (CONNECT_PREFIX + "stage", b"VALUE_CONVERTER"),
        (REASON_HEADER, error.reason.encode()),
        (ATTEMPTS_HEADER, str(record.attempt).encode()),
        *(() if record.timestamp_ms is None else ((TIMESTAMP_HEADER, str(record.timestamp_ms).encode()),)),
    )
