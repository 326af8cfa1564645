"""Why a record cannot be used: the closed list of reasons, and the one exception that carries them.

A `MalformedRecordError` is always the sender's fault and always ends in a dead letter; anything else that is raised
while handling a record is ours and stops the worker before its commit.
"""

from typing import Literal, get_args

Reason = Literal[
    "empty_value",
    "schema_registry_framing",
    "not_json",
    "not_finite",
    "not_an_object",
    "missing_field",
    "wrong_type",
    "unknown_field",
    "unknown_type",
    "reserved_type",
    "unsupported_schema",
    "null_key",
    "key_mismatch",
    "bad_user_id",
    "user_id_collision",
    "bad_item_id",
    "string_item_id",
    "rating_out_of_scale",
    "bad_time",
    "time_too_early",
    "time_in_future",
    "bad_attributes",
]
"""Every value that the header `tastestream-reason` can take."""

REASONS: tuple[Reason, ...] = get_args(Reason)


class MalformedRecordError(ValueError):
    """A record that no retry can mend; `reason` is for programs, the message for the person who sends it."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason
