"""Ratings from any CSV file with a header that names user, item, rating and time in one of the usual ways.

Ids stay integers where a whole column is made of them, as written (no leading zeros), and are text otherwise. A time is
a number of seconds or milliseconds since 1970, or an ISO 8601 date or date and time (UTC where it says no offset).
"""

import re
import sys
from array import array
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.resources.abc import Traversable

import numpy as np

from producers.archives import Row
from producers.rating_rows import Column, fill, rating_column
from producers.tables import DatasetError, IdColumn, Ratings
from schemas.identity import ITEM_ID_MAX
from schemas.scale import Scale

HEADER_NAMES = {
    "user": ("userid", "user", "uid", "customerid", "customer", "reviewerid", "memberid"),
    "item": ("itemid", "item", "movieid", "productid", "bookid", "asin", "isbn", "iid", "movie", "product", "book"),
    "rating": ("rating", "score", "stars", "value", "ratings"),
    "time": ("timestamp", "ratedat", "time", "datetime", "unixtime", "createdat", "date", "ts"),
}
"""What a header may call each column, best first; case, spaces and punctuation do not count."""

_SECONDS_BELOW = 100_000_000_000
"""A number of seconds below it is before the year 5138, a number of milliseconds from it on after 1973."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INT64_MAX = 2**63 - 1
_INTEGER = re.compile(r"0|-?[1-9]\d{0,18}", re.ASCII)


def read_named_ratings(header: list[str], rows: Iterator[Row], file: Traversable, scale: Scale | None) -> Ratings:
    """Ratings from the rows below a header.

    Raises:
        DatasetError: a column that the header does not name, or a row that does not fit.
    """
    places = {role: _place(role, header, file) for role in HEADER_NAMES}
    columns = (
        Column("user id", "an id", places["user"], _id),
        Column("item id", "an id", places["item"], _id),
        rating_column(scale, places["rating"]),
        Column("time", "seconds or milliseconds since 1970, or ISO 8601", places["time"], _epoch_ms, array("q")),
    )
    fill(columns, rows, file, header)
    user, item, rating, time = (column.values for column in columns)
    rated_at_ms = np.array(time, dtype=np.int64)
    return Ratings(_narrow(user, -_INT64_MAX, _INT64_MAX), _narrow(item, 0, ITEM_ID_MAX), np.array(rating), rated_at_ms)


def _place(role: str, header: list[str], file: Traversable) -> int:
    names = [re.sub(r"[\W_]", "", name.casefold()) for name in header]
    for wanted in HEADER_NAMES[role]:
        if wanted in names:
            return names.index(wanted)
    known = ", ".join(HEADER_NAMES[role])
    raise DatasetError(f"the header names no {role} column: call it one of {known}", str(file), 1)


def _id(text: str) -> str:
    stripped = text.strip()
    if not stripped:
        raise ValueError
    return sys.intern(stripped)


def _epoch_ms(text: str) -> int:
    try:
        number = float(text)
    except ValueError:
        moment = datetime.fromisoformat(text.strip())
        since = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH
        epoch_ms = since // timedelta(milliseconds=1)
    else:
        epoch_ms = round(number * 1000) if abs(number) < _SECONDS_BELOW else round(number)
    if epoch_ms < 0:
        raise ValueError
    return epoch_ms


def _narrow(ids: list[str], lowest: int, highest: int) -> IdColumn:
    numbers = {text: int(text) for text in set(ids) if _INTEGER.fullmatch(text)}
    distinct = set(ids)
    if len(numbers) == len(distinct) and all(lowest <= number <= highest for number in numbers.values()):
        return np.fromiter((numbers[text] for text in ids), dtype=np.int64, count=len(ids))
    return np.array(ids, dtype=object)
