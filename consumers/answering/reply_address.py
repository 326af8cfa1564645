"""Where a reply goes, and by which names its request is known: key and headers as Spring's convention has them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from consumers.records import Record
from schemas.identity import check_text
from schemas.replies import CORRELATION_HEADER, REPLY_PARTITION_HEADER, REPLY_TOPIC_HEADER, Address
from schemas.request_errors import RequestError

REQUEST_ID_MAX_BYTES = 256
CORRELATION_MAX_BYTES = 1_024
_PARTITION_BYTES = 4


@dataclass(frozen=True, slots=True)
class Destination:
    """A topic that replies may go to: its partitions, and the largest value it takes."""

    partitions: int
    reply_max_bytes: int


@dataclass(frozen=True, slots=True)
class Addresses:
    """Reads addresses: `default` is the topic of replies, `others` are topics that a request may name instead."""

    default: str
    destinations: Mapping[str, Destination]
    others: frozenset[str] = field(default_factory=frozenset)

    def of(self, record: Record) -> tuple[Address, RequestError | None]:
        """The address of a request's reply; where it asks for one that it cannot have, the default, and the error."""
        named = dict(record.headers)
        correlation = named.get(CORRELATION_HEADER)
        if correlation is not None and len(correlation) > CORRELATION_MAX_BYTES:
            correlation = None
        try:
            request_id, error = _request_id(record), None
        except RequestError as refused:
            request_id, error = place_of(record), refused.with_traceback(None)
        default = Address(self.default, request_id, None, correlation)
        if error is not None:
            return default, error
        try:
            return self._named(named, request_id, correlation), None
        except RequestError as refused:
            return default, refused.with_traceback(None)

    def reply_max_bytes(self, address: Address) -> int:
        """The largest value that may go there."""
        return self.destinations[address.topic].reply_max_bytes

    def _named(self, named: Mapping[str, bytes | None], request_id: str, correlation: bytes | None) -> Address:
        raw = named.get(REPLY_TOPIC_HEADER)
        topic = self.default if raw is None else raw.decode(errors="replace")
        if topic != self.default and topic not in self.others:
            raise RequestError(
                "bad_reply_topic", f"replies may not go to {topic[:249]!r}: requests.reply_topics does not name it"
            )
        if topic not in self.destinations:
            raise RequestError("bad_reply_topic", f"the reply topic {topic!r} did not exist when the worker started")
        return Address(topic, request_id, self._partition(topic, named.get(REPLY_PARTITION_HEADER)), correlation)

    def _partition(self, topic: str, raw: bytes | None) -> int | None:
        if raw is None:
            return None
        partition, count = int.from_bytes(raw, "big", signed=True), self.destinations[topic].partitions
        if len(raw) != _PARTITION_BYTES or not 0 <= partition < count:
            raise RequestError(
                "bad_reply_topic",
                f"{REPLY_PARTITION_HEADER} is four bytes, the highest first, that name a partition of {topic} "
                f"(0 to {count - 1})",
            )
        return partition


def place_of(record: Record) -> str:
    """Where a request stands, as topic:partition:offset."""
    return f"{record.topic}:{record.partition}:{record.offset}"


def _request_id(record: Record) -> str:
    """The record's key; without one, where the record stands, which its sender was told."""
    if record.key is None:
        return place_of(record)
    try:
        text = record.key.decode()
        check_text("a request id", text, REQUEST_ID_MAX_BYTES)
    except ValueError as error:
        raise RequestError("bad_request_id", f"the record's key is no request id: {error}") from None
    return text
