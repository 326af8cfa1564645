"""The output records: one fresh list per user, keyed by user id in a compacted topic; null where a user was forgotten.

Under the key `_popular`, which no user can have, stands the list for users nobody knows. A reader keeps the list with
the greatest (epoch, version).
"""

from typing import Literal, NotRequired

import orjson
from typing_extensions import TypedDict  # pydantic makes a JSON Schema of no other before Python 3.12

from schemas.messages import CloudEvent, Message, output_headers

FoundBy = Literal["collaborative", "content", "both"]
"""By what the neighbours were found who voted: by who rated what (also by factors), by content, or some by either."""
Source = Literal["ratings", "content", "factors"]
Tier = Literal["personal", "thin", "popular"]

_TYPE = "tastestream.recommendations.v1"
_FORGOTTEN_TYPE = "tastestream.forgotten.v1"
SOURCE_HEADER = "tastestream-source"
"""Which input record a tombstone answers to, as topic:partition:offset: it has no value to say it in."""


class WhyNeighbour(TypedDict):
    """What one neighbour gave to a score; `neighbour` is their place among the nearest, 1 being the nearest of all.

    `residual` is their rating minus the mean of theirs, on the catalogue's own scale; `position` says how near to what
    both have in common the item stands in their history (1: right there).
    """

    neighbour: int
    similarity: float
    residual: float
    position: float
    contribution: float


class WhyRating(TypedDict):
    """What one of the user's own ratings gave to a score, through so many neighbours who rated the same item."""

    item_id: int | str
    rating: float
    neighbours: int
    contribution: float
    title: NotRequired[str]


class OtherReasons(TypedDict):
    """What so many others gave together."""

    count: int
    contribution: float


class WithoutRating(TypedDict):
    """The place (from 1) the item would have, had the user not rated this one.

    Null: it would be neither in the list nor, where neighbours were found, in the first hundred.
    """

    item_id: int | str
    place: int | None
    title: NotRequired[str]


class WhyThere(TypedDict):
    """Why an item has its score, in two readings; each adds up to the score exactly, in decimals.

    Score = `neighbours` + `other_neighbours` + `trend` + `popularity` = `ratings` + `other_ratings` + `trend` +
    `popularity`. Contributions have a sign. What a neighbour gave is divided among the ratings they share with the
    user, in the proportion of the products whose sum is the similarity. `without`: the lists there would be without
    the ratings that speak for the item most.
    """

    neighbours: list[WhyNeighbour]
    other_neighbours: OtherReasons
    ratings: list[WhyRating]
    other_ratings: OtherReasons
    trend: float
    popularity: float
    without: list[WithoutRating]


class ListItem(TypedDict):
    """One recommended item; `score` falls along the list, `predicted_rating` is on the catalogue's own scale.

    `why` is there for as many of the first items as the deployment or the request asks for. `type` and `source` are
    there where neighbours are found by more than their ratings, and somebody of these voted: by what those were found.
    """

    item_id: int | str
    score: float
    predicted_rating: float
    support: int
    title: NotRequired[str]
    genres: NotRequired[list[str]]
    why: NotRequired[WhyThere]
    type: NotRequired[FoundBy]
    source: NotRequired[list[Source]]


class ListState(TypedDict):
    """The user's state behind a list; (epoch, version) rises strictly per user, and for `_popular` in epoch ms."""

    epoch: int
    version: int
    num_ratings: int
    avg_rating: float | None


class ListSource(TypedDict):
    """The input record that a list answers to; for `_popular` one that it was published with."""

    topic: str
    topic_id: str
    partition: int
    offset: int
    rated_at: str
    event_id: str | None


class RecommendationList(TypedDict):
    """The value of a record on `recommendations`.

    `widened` is there where neighbours are filtered, and says how far the filter had to be widened to find enough.
    """

    schema: Literal[1]
    user_id: str
    list_id: str
    tier: Tier
    items: list[ListItem]
    ranking: str
    state: ListState
    source: ListSource
    generated_at: str
    widened: NotRequired[str]


def list_message(topic: str, origin: str, value: RecommendationList) -> Message:
    """The record that carries a list; `origin` is the CloudEvents source."""
    event = CloudEvent(id=value["list_id"], type=_TYPE, source=origin, time=value["generated_at"])
    return Message(topic, value["user_id"].encode(), orjson.dumps(value), output_headers(event))


def forgotten_message(topic: str, origin: str, user_id: str, list_id: str, at: str, source: str) -> Message:
    """The tombstone of a forgotten user; `at` is RFC 3339, `source` the record it answers to (`SOURCE_HEADER`)."""
    event = CloudEvent(id=list_id, type=_FORGOTTEN_TYPE, source=origin, time=at)
    headers = (*output_headers(event), (SOURCE_HEADER, source.encode()))
    return Message(topic, user_id.encode(), None, headers)


def decode_list(value: bytes) -> RecommendationList:
    """A list as a reader of the topic gets it.

    Raises:
        orjson.JSONDecodeError: the bytes are not JSON.
    """
    document: RecommendationList = orjson.loads(value)
    return document
