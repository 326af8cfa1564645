"""A message of confluent_kafka as a record of ours."""

from typing import cast

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Message

from consumers.records import Record


def place_of(message: Message) -> tuple[str, int]:
    """The topic and partition of a message, or of an error that is about one."""
    return cast("str", message.topic()), cast("int", message.partition())


def offset_of(message: Message) -> int:
    """The offset of a message, or of an error that has one."""
    return cast("int", message.offset())


def record_of(message: Message, source: str, committed: int) -> Record:
    """A message without an error; `committed`: below that offset it is a replay."""
    topic, partition = place_of(message)
    offset, (kind, timestamp) = offset_of(message), message.timestamp()
    return Record(
        topic=topic,
        partition=partition,
        offset=offset,
        source=source,
        key=message.key(),
        value=message.value(),
        headers=tuple(cast("list[tuple[str, bytes | None]]", message.headers() or [])),
        timestamp_ms=None if kind == TIMESTAMP_NOT_AVAILABLE else timestamp,
        replayed=offset < committed,
    )
