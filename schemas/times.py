"""Instants on the wire: RFC 3339 text or epoch milliseconds; inside, always integer milliseconds since 1970 (UTC)."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

EARLIEST_MS = 631_152_000_000
"""1990-01-01: seconds sent as milliseconds land in 1970, and are caught by it."""
FUTURE_TOLERANCE_MS = 86_400_000
"""How far a rating may lie ahead of the broker's timestamp: one day."""
LATEST_MS = 253_402_300_799_999
"""The end of 9999, the last instant that RFC 3339 can write."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_FIRST_MS = -62_135_596_800_000
_HOUR = "([01][0-9]|2[0-3])"
_PATTERN = rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[Tt ]{_HOUR}(:[0-5][0-9]){{2}}(\.[0-9]+)?([Zz]|[+-]{_HOUR}:[0-5][0-9])"
_RFC3339 = re.compile(_PATTERN)


def parse_time(text: str) -> int:
    """Milliseconds since the epoch of an RFC 3339 text; finer digits are cut.

    Raises:
        ValueError: not RFC 3339, no such instant (a leap second is none here), or outside the years 1 to 9999 in UTC.
    """
    if not _RFC3339.fullmatch(text):
        raise ValueError("a time is RFC 3339 with its offset and no leap second, as in 2026-11-22T12:00:00Z")
    return _within_calendar((datetime.fromisoformat(text.upper()) - _EPOCH) // _MILLISECOND)


def format_time(epoch_ms: int) -> str:
    """RFC 3339 in UTC with milliseconds, as every time that we write.

    Raises:
        OverflowError: outside the years 1 to 9999.
    """
    moment = _EPOCH + timedelta(milliseconds=epoch_ms)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _within_calendar(epoch_ms: int) -> int:
    if not _FIRST_MS <= epoch_ms <= LATEST_MS:
        raise ValueError("a time lies between the years 1 and 9999: were finer units sent as milliseconds?")
    return epoch_ms


def _epoch_ms(value: Any) -> int:
    if isinstance(value, str):
        return parse_time(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("a time is RFC 3339 text or an integer of epoch milliseconds")
    return _within_calendar(value)


_SCHEMA = {
    "description": "RFC 3339 with its offset, or epoch milliseconds; 1990 at the earliest.",
    "anyOf": [
        {"type": "string", "format": "date-time", "pattern": f"^{_PATTERN}$"},
        {"type": "integer", "minimum": EARLIEST_MS, "maximum": LATEST_MS},
    ],
}

EpochMs = Annotated[int, BeforeValidator(_epoch_ms), WithJsonSchema(_SCHEMA)]
