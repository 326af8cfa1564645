"""The output records of live evaluation: one worker's newest figures, keyed by worker and preset in a compacted topic.

A figure is null where nothing says it yet. Rates and shares are from 0 to 1, novelty is in bits, times are in ms.
"""

from typing import (
    Literal,
    NotRequired,  # pydantic makes a JSON Schema of no other before Python 3.12
)

import orjson
from typing_extensions import TypedDict

from schemas.messages import CloudEvent, Message, output_headers

_TYPE = "tastestream.metrics.v1"


class HitFigures(TypedDict):
    """Of `n` ratings: the share whose item stood in the first ten of the user's list, and how far up (one relevant)."""

    hr10: float | None
    ndcg10: float | None
    mrr10: float | None
    n: int


class TimeFigures(TypedDict):
    """Of all lists in the window, in ms."""

    p50: float
    p99: float


class LiveMetrics(TypedDict):
    """The value of a record on `metrics`.

    Windows hold the last `window_events` first ratings of items (`ratings` of them, `judged_share` of which met a list)
    and as many lists (`lists`). `mae` and `rmse` are of the `n_predicted` items that stood anywhere in the user's list.

    A shadow, whose lists are judged and never published, says in `against` which preset makes the published ones, and
    in `paired_z` McNemar's z over the `paired_ratings` that both judged: above 0 the shadow hits more; null: neither.
    """

    schema: Literal[1]
    group: str
    instance: str
    preset: str
    ranking: str
    window_events: int
    ratings: int
    judged_share: float | None
    all: HitFigures
    warm: HitFigures
    liked: HitFigures
    cold: HitFigures
    mae: float | None
    rmse: float | None
    n_predicted: int
    lists: int
    coverage: float | None
    diversity: float | None
    novelty: float | None
    search_ms: TimeFigures | None
    refresh_ms: TimeFigures | None
    users: int
    items: int
    user_coverage: float | None
    item_coverage: float | None
    vector_size: float | None
    against: NotRequired[str]
    paired_z: NotRequired[float | None]
    paired_ratings: NotRequired[int]
    generated_at: str


def metrics_key(value: LiveMetrics) -> str:
    """Whose figures they are: a worker and a preset have one newest record."""
    return f"{value['group']}/{value['instance']}/{value['preset']}"


def metrics_message(topic: str, origin: str, value: LiveMetrics) -> Message:
    """The record that carries figures; `origin` is the CloudEvents source."""
    key, at = metrics_key(value), value["generated_at"]
    event = CloudEvent(id=f"{key}@{at}", type=_TYPE, source=origin, time=at)
    return Message(topic, key.encode(), orjson.dumps(value), output_headers(event))


def decode_metrics(value: bytes) -> LiveMetrics:
    """Figures as a reader of the topic gets them.

    Raises:
        orjson.JSONDecodeError: the bytes are not JSON.
    """
    document: LiveMetrics = orjson.loads(value)
    return document
