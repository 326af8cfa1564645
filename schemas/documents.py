"""JSON bytes to validated models, and what is wrong with them as a `MalformedRecordError`: shared by every input."""

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from schemas.reasons import MalformedRecordError, Reason

_NOT_FINITE = re.compile("-?(NaN|Infinity)")

Model = TypeVar("Model", bound=BaseModel)


def json_object(value: bytes) -> dict[str, Any]:
    """The JSON object that a value, which is not empty, holds.

    Raises:
        MalformedRecordError: it holds none.
    """
    if value[0] == 0:
        raise MalformedRecordError(
            "schema_registry_framing",
            "the value begins with a schema registry's magic byte 0: send plain JSON without the registry's framing",
        )
    try:
        document = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        if _NOT_FINITE.match(error.doc, error.pos) or "infinity" in error.msg:
            raise MalformedRecordError(
                "not_finite", f"NaN, Infinity and numbers beyond 1.8e308 are not taken: {str(error)[:200]}"
            ) from None
        raise MalformedRecordError(
            "not_json", f"the value is no JSON in UTF-8 that can be read: {str(error)[:200]}"
        ) from None
    if not isinstance(document, dict):
        raise MalformedRecordError("not_an_object", "the JSON value is not an object")
    return document


def validated(model: type[Model], document: Mapping[str, Any], reasons: Mapping[str, Reason]) -> Model:
    """The document as the model has it; `reasons` says what a wrong field is called, by its name.

    Raises:
        MalformedRecordError: the document does not fit.
    """
    try:
        return model.model_validate(document, by_alias=True, by_name=False)
    except ValidationError as error:
        refusal = _refusal(error, reasons)
    # Raised out here, so that it has no context: pydantic's error keeps our validators' tracebacks, and with them every
    # caller's frame, where the garbage collector does not look.
    raise refusal


def _refusal(error: ValidationError, reasons: Mapping[str, Reason]) -> MalformedRecordError:
    details: ErrorDetails = error.errors(include_url=False, include_input=False)[0]
    name = str(details["loc"][0]) if details["loc"] else "value"
    if details["type"] == "missing":
        return MalformedRecordError("missing_field", f"the field {name!r} is missing")
    message = details["msg"].removeprefix("Value error, ")
    return MalformedRecordError(reasons.get(name, "wrong_type"), f"{name}: {message}")
