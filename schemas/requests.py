"""Requests: questions that change nothing, keyed by request id; one question, or a batch of them.

`decode_request` either returns a request or raises `RequestError`; no other exception leaves it, whatever the bytes.
"""

from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from schemas.questions import QUESTION_MODELS, Question, Recommend, SimilarItems
from schemas.request_errors import ERROR_CODES, ErrorCode, RequestError

BATCH = "batch"


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """How large a request may be: bytes of its value, its questions, and the likes and answers of one question.

    `explain_max`: items that say why they are there, in all lists of a request together.
    """

    request_max_bytes: int = 65_536
    questions_max: int = 20
    likes_max: int = 200
    n_max: int = 100
    explain_max: int = 20


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
        request = Request((_question(document, limits),))
    else:
        request = Request(tuple(_batch(document, limits)), is_batch=True)
    _check_explained(request, limits)
    return request


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
    likes = () if isinstance(question, SimilarItems) else question.likes or ()
    if len(likes) > limits.likes_max:
        raise RequestError("limit_exceeded", f"{len(likes)} likes, more than {limits.likes_max}")
    if question.n > limits.n_max:
        raise RequestError("limit_exceeded", f"n is {question.n}, more than {limits.n_max}")


def _check_explained(request: Request, limits: RequestLimits) -> None:
    # Of the request as a whole: each explained item costs several searches, and ratings wait meanwhile.
    explained = sum(question.explain for question in request.questions if isinstance(question, Recommend))
    if explained > limits.explain_max:
        raise RequestError("limit_exceeded", f"{explained} items to explain, more than {limits.explain_max}")


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
