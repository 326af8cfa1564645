"""Dead letters: the original key, value and headers untouched, and in headers of ours why and where from.

The names are those of Kafka Connect, so that its tools read them. The dead-letter topic's size limit lies
`HEADROOM_BYTES` above the input's, so that a record at the input's limit still fits with the headers added here.
"""

from dataclasses import dataclass

from schemas.messages import CloudEvent, Headers, Message, output_headers
from schemas.reasons import MalformedRecordError
from schemas.times import format_time

HEADROOM_BYTES = 65_536
EXPLANATION_MAX_CHARS = 1_000
REASON_HEADER = "tastestream-reason"
ATTEMPTS_HEADER = "tastestream-attempts"

_CONNECT = "__connect.errors."
_TYPE = "tastestream.dead_letter.v1"


@dataclass(frozen=True, slots=True)
class RefusedRecord:
    """A record as it was read, with where from and which attempt this was (1 at first)."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()

    @property
    def attempt(self) -> int:
        """1, or one more than the last dead letter of this record said."""
        said = [value for name, value in self.headers if name == ATTEMPTS_HEADER and value]
        return int(said[-1]) + 1 if said and said[-1].isdigit() and len(said[-1]) < 10 else 1


def dead_letter(topic: str, record: RefusedRecord, error: MalformedRecordError, origin: str, at_ms: int) -> Message:
    """The record for the dead-letter topic; `origin` is the CloudEvents source, `at_ms` now in epoch ms."""
    kept = tuple((name, value) for name, value in record.headers if not _is_ours(name))
    place = f"{record.topic}:{record.partition}:{record.offset}"
    event = CloudEvent(id=place, type=_TYPE, source=origin, time=format_time(at_ms))
    taken = {name for name, _ in kept}
    added = (*_why(record, error), *output_headers(event, "application/octet-stream"))
    headers = kept + tuple((name, value) for name, value in added if name not in taken)
    return Message(topic, record.key, record.value, headers)


def _is_ours(name: str) -> bool:
    return name.startswith(_CONNECT) or name in {REASON_HEADER, ATTEMPTS_HEADER}


def _why(record: RefusedRecord, error: MalformedRecordError) -> Headers:
    return (
        (_CONNECT + "topic", record.topic.encode()),
        (_CONNECT + "partition", str(record.partition).encode()),
        (_CONNECT + "offset", str(record.offset).encode()),
        (_CONNECT + "exception.class.name", type(error).__name__.encode()),
        (_CONNECT + "exception.message", str(error)[:EXPLANATION_MAX_CHARS].encode(errors="replace")),
        (_CONNECT + "stage", b"VALUE_CONVERTER"),
        (REASON_HEADER, error.reason.encode()),
        (ATTEMPTS_HEADER, str(record.attempt).encode()),
    )
