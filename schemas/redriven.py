"""Dead letters read back: what they say of their original, the record that is sent again, and the marker that says so.

A marker stands in the dead-letter topic, in the partition of the dead letters it names and after them. Kafka deletes a
partition from its beginning, so no marker is deleted before the dead letters it names. A marker is known by its header
and by the lack of an origin: every dead letter says where its original came from, so none can pass for a marker.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile

import orjson

from schemas.dead_letters import (
    ATTEMPTS_HEADER,
    EXPLANATION_HEADER,
    OFFSET_HEADER,
    OMITTED_HEADER,
    PARTITION_HEADER,
    REASON_HEADER,
    REDRIVEN_FROM_HEADER,
    REDRIVEN_HEADER,
    TIMESTAMP_HEADER,
    TOPIC_HEADER,
    VALUE_BYTES_HEADER,
    attempts_said,
    is_ours,
)
from schemas.messages import LOAD_HEADER, CloudEvent, Headers, Message, output_headers
from schemas.times import format_time

_TYPE = "tastestream.dead_letters_redriven.v1"
_NUMBER_MAX_DIGITS = 19


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the original of a dead letter stands, or stood."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}:{self.partition}:{self.offset}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the headers of a dead letter say.

    `origin` and `timestamp_ms` (epoch ms) are None and `reason` is empty where they say nothing of it. `omitted` names
    what of key, value and headers was left out; `value_bytes` is the length of a value that was.
    """

    reason: str
    explanation: str
    origin: Origin | None
    attempts: int
    timestamp_ms: int | None
    omitted: tuple[str, ...]
    value_bytes: int | None


def refusal_of(headers: Headers) -> Refusal:
    """What a dead letter says; nothing in its headers makes this fail."""
    said = {name: value for name, value in headers if value is not None and is_ours(name)}
    omitted = _text(said, OMITTED_HEADER)
    return Refusal(
        reason=_text(said, REASON_HEADER),
        explanation=_text(said, EXPLANATION_HEADER),
        origin=_origin(said),
        attempts=max(1, attempts_said(headers)),
        timestamp_ms=_number(said, TIMESTAMP_HEADER),
        omitted=tuple(omitted.split(",")) if omitted else (),
        value_bytes=_number(said, VALUE_BYTES_HEADER),
    )


def original_headers(headers: Headers) -> Headers:
    """The headers of the original: those before the first of ours."""
    return tuple(takewhile(lambda header: header[0] != TOPIC_HEADER, headers))


def sent_again(origin: Origin, key: bytes | None, value: bytes | None, headers: Headers, letter: Origin) -> Message:
    """The original for the partition it came from; the app's partitioner, whichever it is, chose that for its user.

    Args:
        origin: where the original came from.
        key: its key.
        value: its value.
        headers: those of the dead letter.
        letter: where the dead letter stands.
    """
    refusal = refusal_of(headers)
    # Whatever it was part of, nothing need come behind it any more.
    original = tuple(header for header in original_headers(headers) if header != LOAD_HEADER)
    ours = ((ATTEMPTS_HEADER, str(refusal.attempts).encode()), (REDRIVEN_FROM_HEADER, str(letter).encode()))
    return Message(
        origin.topic,
        key,
        value,
        original + ours,
        partition=origin.partition,
        timestamp_ms=refusal.timestamp_ms,
    )


def redriven_marker(topic: str, partition: int, offsets: Iterable[int], origin: str, at_ms: int) -> Message:
    """The record that says which dead letters of this partition were sent again.

    Args:
        topic: the dead-letter topic.
        partition: the partition of the dead letters, and of the marker.
        offsets: theirs; at least one.
        origin: the CloudEvents source.
        at_ms: now, in epoch ms.
    """
    named = sorted(offsets)
    event = CloudEvent(f"{topic}:{partition}:{named[0]}+{len(named)}", _TYPE, origin, format_time(at_ms))
    headers = ((REDRIVEN_HEADER, b"1"), *output_headers(event))
    return Message(topic, None, orjson.dumps({"schema": 1, "redriven": named}), headers, partition)


def redriven_offsets(headers: Headers, value: bytes | None) -> frozenset[int] | None:
    """The offsets that a marker names, in its own partition; None where the record is a dead letter.

    Raises:
        ValueError: a marker that cannot be read; nothing may be sent again then.
    """
    names = {name for name, _ in headers}
    if REDRIVEN_HEADER not in names or TOPIC_HEADER in names:
        return None
    try:
        return frozenset(int(offset) for offset in orjson.loads(value or b"")["redriven"])
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"a marker of redriven dead letters cannot be read: {error}") from error


def _origin(said: dict[str, bytes]) -> Origin | None:
    topic, partition, offset = _text(said, TOPIC_HEADER), _number(said, PARTITION_HEADER), _number(said, OFFSET_HEADER)
    return None if not topic or partition is None or offset is None else Origin(topic, partition, offset)


def _text(said: dict[str, bytes], name: str) -> str:
    return said.get(name, b"").decode(errors="replace")


def _number(said: dict[str, bytes], name: str) -> int | None:
    value = said.get(name, b"")
    return int(value) if value.isdigit() and len(value) <= _NUMBER_MAX_DIGITS else None
