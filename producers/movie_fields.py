"""What the formats of MovieLens share beside the ratings: records that know their place, and how fields are written."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.resources.abc import Traversable

from producers.archives import column_count_error, read_rows
from producers.tables import CatalogueItem, DatasetError, Id, User

Items = dict[Id, CatalogueItem]
Users = dict[Id, User]

_NO_GENRES = frozenset({"", "(no genres listed)", "unknown"})
_YEAR = re.compile(r"\((\d{4})(?:[-–]\s?(?:\d{4})?)?\)$", re.ASCII)
_SHOWN_MAX_CHARS = 40


@dataclass(frozen=True, slots=True)
class Record:
    """The fields of one line, and where it stands."""

    fields: list[str]
    file: Traversable
    line: int

    def integer(self, place: int, name: str) -> int:
        """The field at `place` as an integer.

        Raises:
            DatasetError: it is none.
        """
        try:
            return int(self.fields[place])
        except ValueError:
            found = self.fields[place][:_SHOWN_MAX_CHARS]
            raise DatasetError(f"the {name} {found!r} is not an integer", str(self.file), self.line) from None

    def check_count(self, count: int, expected: str) -> None:
        """That there are `count` fields, of the names in `expected`.

        Raises:
            DatasetError: there are more or fewer.
        """
        if len(self.fields) != count:
            raise column_count_error(len(self.fields), expected, self.file, self.line)


def read_records(file: Traversable, separator: str) -> Iterator[Record]:
    """The records of a file, UTF-8 or Latin-1; none where there is no such file.

    Raises:
        DatasetError: as `read_rows`.
    """
    if file.is_file():
        for line, fields in read_rows(file, separator, _encoding(file)):
            yield Record(fields, file, line)


def read_table(file: Traversable, columns: tuple[str, ...]) -> Iterator[Record]:
    """The records of a CSV file with a header, cut down to the named columns in this order; none without the file.

    Raises:
        DatasetError: as `read_rows`; a column that the header does not name; a record too short or too long.
    """
    records = read_records(file, ",")
    header = next(records, None)
    if header is None:
        return
    missing = [name for name in columns if name not in header.fields]
    if missing:
        raise DatasetError(f"the header names no column {missing[0]!r}: it needs {','.join(columns)}", str(file), 1)
    places = [header.fields.index(name) for name in columns]
    for record in records:
        record.check_count(len(header.fields), ",".join(header.fields))
        yield Record([record.fields[place] for place in places], file, record.line)


def title_year(title: str) -> int | None:
    """The year in the parentheses that end a title, the first one of a span."""
    found = _YEAR.search(title)
    return int(found[1]) if found else None


def genre_names(listed: Iterable[str]) -> tuple[str, ...]:
    """The genres listed, without what stands for none."""
    return tuple(name for name in listed if name not in _NO_GENRES)


def _encoding(file: Traversable) -> str:
    # MovieLens wrote Latin-1 until 2009; whatever is valid UTF-8 is not Latin-1 with accents in it.
    try:
        file.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8-sig"
