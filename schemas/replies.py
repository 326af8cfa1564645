"""The reply to a request: an answer, or an error; for a batch one of them per question, in order.

A reply is keyed by the request's id. Where a request came with a correlation id, its reply carries it in the header
`kafka_correlationId`, as Spring's `ReplyingKafkaTemplate` has it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NotRequired

import orjson
from typing_extensions import TypedDict  # pydantic makes a JSON Schema of no other before Python 3.12

from schemas.messages import CloudEvent, Message, output_headers
from schemas.recommendations import ListItem, Tier
from schemas.request_errors import ErrorCode, RequestError

CORRELATION_HEADER = "kafka_correlationId"
REPLY_TOPIC_HEADER = "kafka_replyTopic"
REPLY_PARTITION_HEADER = "kafka_replyPartition"
"""A partition of the reply topic, as four bytes, the highest first."""
REQUEST_HEADER = "tastestream-request"
"""Which record a reply answers to, as topic:partition:offset."""

_TYPE = "tastestream.reply.v1"


class Candidate(TypedDict):
    """An item that an ambiguous name may mean."""

    item_id: int | str
    title: NotRequired[str]


class ErrorDetail(TypedDict):
    """What is wrong: a code for programs, a sentence for people.

    `candidates` are by the name that is ambiguous, `not_found` are the names of which no item is known.
    """

    code: ErrorCode
    message: str
    candidates: NotRequired[dict[str, list[Candidate]]]
    not_found: NotRequired[list[str]]


class Asker(TypedDict):
    """Whom a question was about: a user, known or not, or likes (no user id)."""

    known: bool
    num_ratings: int
    avg_rating: float | None
    user_id: NotRequired[str]


class ListAnswer(TypedDict):
    """The answer to `recommend`; items and tier as in the records of `recommendations`.

    `widened` is there where neighbours are filtered, and says how far the filter had to be widened to find enough;
    `unknown_items` are ids in likes that nobody knows, which were left out.
    """

    type: Literal["recommend"]
    asker: Asker
    tier: Tier
    items: list[ListItem]
    ranking: str
    widened: NotRequired[str]
    unknown_items: NotRequired[list[int | str]]


class SimilarUser(TypedDict):
    """A user near the one who asked: `overlap` counts the items that both have rated."""

    similarity: float
    overlap: int
    num_ratings: int
    avg_rating: float | None
    attributes: dict[str, bool | int | float | str]
    user_id: NotRequired[str]


class SimilarUsersAnswer(TypedDict):
    """The answer to `similar_users`, the nearest first."""

    type: Literal["similar_users"]
    asker: Asker
    users: list[SimilarUser]
    ranking: str
    widened: NotRequired[str]
    unknown_items: NotRequired[list[int | str]]


class KnownItem(TypedDict):
    """An item, and what the catalogue knows of it."""

    item_id: int | str
    title: NotRequired[str]
    genres: NotRequired[list[str]]


class SimilarItem(KnownItem):
    """An item like the one asked about; the similarity is a cosine, of what the answer is `by`."""

    similarity: float


class SimilarItemsAnswer(TypedDict):
    """The answer to `similar_items`, the most similar first; `item` is the one asked about."""

    type: Literal["similar_items"]
    item: KnownItem
    by: Literal["content", "ratings"]
    items: list[SimilarItem]


class ErrorAnswer(TypedDict):
    """Instead of an answer."""

    error: ErrorDetail


Answer = ListAnswer | SimilarUsersAnswer | SimilarItemsAnswer | ErrorAnswer


class _Envelope(TypedDict):
    schema: Literal[1]
    request_id: str
    generated_at: str


class ListReply(_Envelope, ListAnswer):
    """A reply that is a list."""


class SimilarUsersReply(_Envelope, SimilarUsersAnswer):
    """A reply that names users."""


class SimilarItemsReply(_Envelope, SimilarItemsAnswer):
    """A reply that names items like an item."""


class ErrorReply(_Envelope, ErrorAnswer):
    """A reply that says what is wrong with the request."""


class BatchReply(_Envelope):
    """The answers to a batch, in the order of its questions."""

    type: Literal["batch"]
    answers: list[Answer]


@dataclass(frozen=True, slots=True)
class Address:
    """Where one reply goes, under which id and correlation id; a partition of None: where the key belongs."""

    topic: str
    request_id: str
    partition: int | None = None
    correlation: bytes | None = None


Reply = ListReply | SimilarUsersReply | SimilarItemsReply | ErrorReply | BatchReply


def error_answer(error: RequestError) -> ErrorAnswer:
    """What a reply says of an error."""
    detail: Any = {"code": error.code, "message": str(error), **error.details}
    return {"error": detail}


def reply_value(request_id: str, answers: Sequence[Answer], at: str, *, is_batch: bool) -> bytes:
    """The bytes of a reply; `at` is RFC 3339."""
    envelope = {"schema": 1, "request_id": request_id}
    body = {"type": "batch", "answers": answers} if is_batch else answers[0]
    return orjson.dumps({**envelope, **body, "generated_at": at})


def reply_message(address: Address, value: bytes, origin: str, at: str, source: str) -> Message:
    """The record of a reply.

    Args:
        address: where it goes.
        value: the reply.
        origin: the CloudEvents source.
        at: now, RFC 3339.
        source: the request's record, as topic:partition:offset.
    """
    event = CloudEvent(id=source, type=_TYPE, source=origin, time=at)
    echoed = () if address.correlation is None else ((CORRELATION_HEADER, address.correlation),)
    headers = (*echoed, (REQUEST_HEADER, source.encode()), *output_headers(event))
    return Message(address.topic, address.request_id.encode(), value, headers, address.partition)


def decode_reply(value: bytes) -> dict[str, Any]:
    """A reply as a reader of the topic gets it.

    Raises:
        ValueError: the bytes are no JSON object.
    """
    document = orjson.loads(value)
    if not isinstance(document, dict):
        raise ValueError("a reply is a JSON object")
    return document
