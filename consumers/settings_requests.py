"""The settings of requests: how large one may be, what it is told, and where its reply may go."""

from typing import Annotated

from pydantic import Field

from consumers.settings_kafka import TopicName
from consumers.settings_section import SEPARATED_BY_COMMAS, Section
from schemas.questions import EXPLAIN_MAX, LIKES_MAX, N_MAX


class RequestSettings(Section):
    """What is answered, and how much of it at a time."""

    reply_topics: Annotated[tuple[TopicName, ...], SEPARATED_BY_COMMAS, Field(max_length=100)] = ()
    """Topics of apps that a request may name for its reply; in a variable separated by commas."""
    allow_user_ids: bool = False
    """Name the users in the answers of `similar_users`."""
    shown_attributes: Annotated[tuple[str, ...], SEPARATED_BY_COMMAS, Field(max_length=64)] = ("age", "gender")
    """Attributes of other users that those answers tell; in a variable separated by commas."""
    request_max_bytes: Annotated[int, Field(ge=256, le=10_485_760)] = 65_536
    """The largest value of a request."""
    reply_max_bytes: Annotated[int, Field(ge=1_024, le=104_857_600)] = 900_000
    """The largest value of a reply; what exceeds it is answered with an error."""
    questions_max: Annotated[int, Field(ge=1, le=1_000)] = 20
    """Questions of one request."""
    likes_max: Annotated[int, Field(ge=1, le=LIKES_MAX)] = 200
    """Likes of one question."""
    list_length_max: Annotated[int, Field(ge=1, le=N_MAX)] = 100
    """Items, or users, of one answer."""
    explain_items_max: Annotated[int, Field(ge=0, le=EXPLAIN_MAX)] = 20
    """Items that say why they are there, in all lists of one request together; each costs some ms."""
    batch_max_records: Annotated[int, Field(ge=1, le=10_000)] = 64
    """Requests that are read, and at most answered, at a time."""
    step_budget_ms: Annotated[int, Field(ge=1, le=60_000)] = 50
    """For so long requests are answered between two batches of ratings, at least one; the others wait their turn."""
