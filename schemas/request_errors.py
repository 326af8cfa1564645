"""Why a request has no answer: the closed list of codes, and the one exception that carries them."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

ErrorCode = Literal[
    "request_too_large",
    "empty_value",
    "not_json",
    "not_an_object",
    "missing_field",
    "wrong_type",
    "unknown_field",
    "unknown_type",
    "unsupported_schema",
    "contradiction",
    "limit_exceeded",
    "bad_request_id",
    "bad_user_id",
    "bad_item_id",
    "bad_time",
    "rating_out_of_scale",
    "empty_likes",
    "unknown_items",
    "not_found",
    "ambiguous",
    "bad_filter",
    "unknown_attribute",
    "unknown_label",
    "no_traits",
    "no_ratings",
    "not_hybrid",
    "bad_reply_topic",
    "reply_too_large",
    "internal",
]
"""Every value that `error.code` of a reply can take."""

ERROR_CODES: tuple[ErrorCode, ...] = get_args(ErrorCode)


class RequestError(ValueError):
    """A request that cannot be answered as it stands.

    `code` is for programs, the message for the person who sends it; `details` are further fields of the reply's error.
    """

    def __init__(self, code: ErrorCode, message: str, **details: Sequence[Any] | Mapping[str, Any]) -> None:
        super().__init__(message)
        self.code: ErrorCode = code
        self.details: Mapping[str, Any] = details
