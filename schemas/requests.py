"""Requests: questions that change nothing, keyed by request id.

Unknown fields are errors, because a misspelt condition that is ignored gives a wrong answer.

`decode_request` either returns a request or raises `RequestError`; no other exception leaves it, whatever the bytes.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from schemas.identity import ItemId, UserId
from schemas.request_conditions import ItemConditions, NeighbourConditions, QueryRules, VoteWindow
from schemas.request_errors import ERROR_CODES, ErrorCode, RequestError

TITLE_MAX_CHARS = 500
LINK_MAX_CHARS = 64
LIKES_MAX = 1_000
"""Likes of one question, whatever a deployment allows."""
N_MAX = 500
"""Items or users of one answer, whatever a deployment allows."""
BATCH = "batch"

_NAMES_OF_AN_ITEM = ("item_id", "title", "imdb", "tmdb")


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """How large a request may be: bytes of its value, its questions, and the likes and answers of one question."""

    request_max_bytes: int = 65_536
    questions_max: int = 20
    likes_max: int = 200
    n_max: int = 100


def _schema_version(given: Any) -> Any:
    if given is True or not isinstance(given, int) or given != 1:
        raise PydanticCustomError("unsupported_schema", "this version reads schema 1, which a missing one means too")
    return given


def _like(given: Any) -> Any:
    # True equals 1, and a literal would take it for that.
    if isinstance(given, bool):
        raise ValueError("a like is 1 or -1")
    return given


def _require_one(part: BaseModel, names: tuple[str, ...], what: str) -> None:
    given = [name for name in names if getattr(part, name) is not None]
    if len(given) != 1:
        code: ErrorCode = "contradiction" if given else "missing_field"
        many = f"not by {' and '.join(given)} at once" if given else "and none is given"
        raise PydanticCustomError(code, "{why}", {"why": f"{what} by one of {', '.join(names)}, {many}"})


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False, frozen=True, extra="forbid", populate_by_name=True)


class Like(_Part):
    """An item that somebody without a profile likes or not: one name of it, and one judgement.

    `like` is 1 or -1; `rating` is on the catalogue's scale. A title is looked up in the catalogue, and so is an id of
    IMDb or TMDB.
    """

    item_id: ItemId | None = None
    title: Annotated[str, Field(min_length=1, max_length=TITLE_MAX_CHARS)] | None = None
    imdb: Annotated[str, Field(min_length=1, max_length=LINK_MAX_CHARS)] | None = None
    tmdb: Annotated[str, Field(min_length=1, max_length=LINK_MAX_CHARS)] | None = None
    rating: float | None = None
    like: Annotated[Literal[1, -1] | None, BeforeValidator(_like)] = None

    @model_validator(mode="after")
    def _require_one_name_and_one_judgement(self) -> Self:
        _require_one(self, _NAMES_OF_AN_ITEM, "a like names its item")
        _require_one(self, ("rating", "like"), "a like is told")
        return self

    @property
    def name(self) -> tuple[str, int | str]:
        """How the item is named: the field, and what it says."""
        return next((field, value) for field in _NAMES_OF_AN_ITEM if (value := getattr(self, field)) is not None)


class _Question(_Part):
    """About a known user or about likes; `n` is how many items or users are wanted."""

    user_id: UserId | None = None
    likes: Annotated[tuple[Like, ...], Field(max_length=LIKES_MAX, strict=False)] | None = None
    n: Annotated[int, Field(ge=1, le=N_MAX)] = 10
    neighbours: NeighbourConditions = NeighbourConditions()
    rules: QueryRules = QueryRules()
    schema_version: Annotated[Literal[1], BeforeValidator(_schema_version)] = Field(default=1, alias="schema")

    @model_validator(mode="after")
    def _require_somebody(self) -> Self:
        _require_one(self, ("user_id", "likes"), "whom a question is about is told")
        if self.likes is not None and not self.likes:
            raise PydanticCustomError("empty_likes", "likes is empty: name at least one item")
        return self


class Recommend(_Question):
    """Which items?"""

    type: Literal["recommend"] = "recommend"
    votes: VoteWindow = VoteWindow()
    items: ItemConditions = ItemConditions()


class SimilarUsers(_Question):
    """Which users are nearest?"""

    type: Literal["similar_users"]


Question = Recommend | SimilarUsers

QUESTION_MODELS: dict[str, type[Recommend | SimilarUsers]] = {
    "recommend": Recommend,
    "similar_users": SimilarUsers,
}


class QuestionBatch(_Part):
    """Several questions in one request; each has an answer or an error of its own."""

    type: Literal["batch"]
    questions: Annotated[tuple[Question, ...], Field(min_length=1, strict=False)]
    schema_version: Annotated[Literal[1], BeforeValidator(_schema_version)] = Field(default=1, alias="schema")


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked, in order; a question that cannot be read is its error."""

    questions: tuple[Question | RequestError, ...]
    is_batch: bool = False


def decode_request(value: bytes | None, limits: RequestLimits) -> Request:
    """A request from JSON bytes.

    Raises:
        RequestError: anything that is wrong with the request as a whole, with its code.
    """
    document = _parsed(value, limits)
    if document.get("type") != BATCH:
        return Request((_question(document, limits),))
    return Request(tuple(_batch(document, limits)), is_batch=True)


def _parsed(value: bytes | None, limits: RequestLimits) -> dict[str, Any]:
    if not value:
        raise RequestError("empty_value", "the record has no value: send one JSON object")
    if len(value) > limits.request_max_bytes:
        raise RequestError(
            "request_too_large", f"the value has {len(value)} bytes, more than {limits.request_max_bytes}"
        )
    try:
        document = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise RequestError("not_json", f"the value is no JSON in UTF-8 that can be read: {str(error)[:200]}") from None
    if not isinstance(document, dict):
        raise RequestError("not_an_object", "the JSON value is not an object")
    return document


def _batch(document: dict[str, Any], limits: RequestLimits) -> list[Question | RequestError]:
    questions = document.get("questions")
    if unknown := document.keys() - {"type", "questions", "schema"}:
        raise RequestError("unknown_field", f"unknown field {min(unknown)[:64]!r} of a batch")
    if not isinstance(questions, list) or not questions:
        raise RequestError("missing_field", "a batch has questions, a list of at least one")
    if len(questions) > limits.questions_max:
        raise RequestError("limit_exceeded", f"{len(questions)} questions, more than {limits.questions_max}")
    if (version := document.get("schema", 1)) is True or version != 1:
        raise RequestError("unsupported_schema", "this version reads schema 1, which a missing one means too")
    return [_question_or_error(question, limits) for question in questions]


def _question_or_error(document: Any, limits: RequestLimits) -> Question | RequestError:
    if not isinstance(document, dict):
        return RequestError("not_an_object", "a question is an object")
    try:
        return _question(document, limits)
    except RequestError as error:
        # Without its traceback, which holds this very frame, and in it the request.
        return error.with_traceback(None)


def _question(document: dict[str, Any], limits: RequestLimits) -> Question:
    kind, known = document.get("type", "recommend"), ", ".join(QUESTION_MODELS)
    if not isinstance(kind, str) or kind not in QUESTION_MODELS:
        raise RequestError("unknown_type", f"unknown type {str(kind)[:64]!r}: this version answers {known}")
    try:
        question = QUESTION_MODELS[kind].model_validate(document, by_alias=True, by_name=False)
    except ValidationError as error:
        refusal = _refusal(error)
    else:
        _check_limits(question, limits)
        return question
    # Raised out here, so that it has no context: pydantic's error keeps our validators' tracebacks.
    raise refusal


def _check_limits(question: Question, limits: RequestLimits) -> None:
    if question.likes is not None and len(question.likes) > limits.likes_max:
        raise RequestError("limit_exceeded", f"{len(question.likes)} likes, more than {limits.likes_max}")
    if question.n > limits.n_max:
        raise RequestError("limit_exceeded", f"n is {question.n}, more than {limits.n_max}")


_CODE_OF_FIELD: dict[str, ErrorCode] = {
    "user_id": "bad_user_id",
    "item_id": "bad_item_id",
    "include": "bad_item_id",
    "exclude": "bad_item_id",
    "active_since": "bad_time",
    "since": "bad_time",
}
_CODE_OF_TYPE: dict[str, ErrorCode] = {
    "missing": "missing_field",
    "extra_forbidden": "unknown_field",
    "too_long": "limit_exceeded",
    "string_too_long": "limit_exceeded",
    "less_than_equal": "limit_exceeded",
}


def _refusal(error: ValidationError) -> RequestError:
    details: ErrorDetails = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part)[:64] for part in details["loc"])
    message = details["msg"].removeprefix("Value error, ")
    return RequestError(_code(details), f"{place}: {message}" if place else message)


def _code(details: ErrorDetails) -> ErrorCode:
    kind = details["type"]
    if kind in ERROR_CODES:
        return kind
    names = [part for part in details["loc"] if isinstance(part, str)]
    if kind == "value_error":
        return next((_CODE_OF_FIELD[name] for name in reversed(names) if name in _CODE_OF_FIELD), "wrong_type")
    return _CODE_OF_TYPE.get(kind, "wrong_type")
