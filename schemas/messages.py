"""A record to be produced, and the headers that every output of ours carries."""

from dataclasses import dataclass

Headers = tuple[tuple[str, bytes | None], ...]

SCHEMA_VERSION = "1"
JSON_CONTENT_TYPE = "application/json"
LOAD_HEADER = ("ts-load", b"1")
"""On a record of `ratings`: history, with more of this user's behind it. It is folded, and no list answers to it."""


@dataclass(frozen=True, slots=True)
class Message:
    """One record for the sink. A partition of None lets the partitioner place the key; a time of None is now."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    partition: int | None = None
    timestamp_ms: int | None = None


@dataclass(frozen=True, slots=True)
class CloudEvent:
    """The CloudEvents 1.0 attributes of one output, sent as headers (Kafka binding, binary mode)."""

    id: str
    type: str
    source: str
    time: str


def output_headers(event: CloudEvent, content_type: str = JSON_CONTENT_TYPE) -> Headers:
    """Content type, schema version and CloudEvents headers, in this order."""
    return (
        ("content-type", content_type.encode()),
        ("ts-schema", SCHEMA_VERSION.encode()),
        ("ce_specversion", b"1.0"),
        ("ce_id", event.id.encode()),
        ("ce_type", event.type.encode()),
        ("ce_source", event.source.encode()),
        ("ce_time", event.time.encode()),
    )
