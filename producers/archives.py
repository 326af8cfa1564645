"""The files of a data set: a folder or a zip, with or without a folder around them, read row by row.

Every row comes with the number of its line, so that whoever cannot use it can say where it stands. Blank lines are
no rows.
"""

import csv
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources.abc import Traversable
from pathlib import Path

from producers.tables import DatasetError

Row = tuple[int, list[str]]
"""The number of a line (from 1) and its fields."""

_UNREADABLE = (csv.Error, UnicodeDecodeError, zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError)
# RuntimeError is what zipfile raises for an encrypted member.


@contextmanager
def open_folder(path: Path) -> Iterator[Traversable]:
    """The folder that holds the files, in a folder or zip at `path`.

    Raises:
        DatasetError: nothing there, or neither a folder nor a zip.
    """
    if path.is_dir():
        yield _inner(path)
    elif not path.exists():
        raise DatasetError("no such file or folder: give a data set's folder, its zip or a CSV file", str(path))
    elif not zipfile.is_zipfile(path):
        raise DatasetError("neither a folder, a zip nor a .csv file: give one of these", str(path))
    else:
        with zipfile.ZipFile(path) as archive:
            yield _inner(zipfile.Path(archive))


def _inner(folder: Traversable) -> Traversable:
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith((".", "__MACOSX"))]
    return _inner(entries[0]) if len(entries) == 1 and entries[0].is_dir() else folder


def read_rows(file: Traversable, separator: str, encoding: str = "utf-8-sig") -> Iterator[Row]:
    """The rows of a text file; where the separator is a comma, fields may be quoted as in CSV.

    Raises:
        DatasetError: no such file, damaged, or not in this encoding.
    """
    try:
        with file.open("rb") as raw, io.TextIOWrapper(raw, encoding, newline="") as text:
            yield from _csv_rows(text) if separator == "," else _split_rows(text, separator)
    except _UNREADABLE as error:
        raise DatasetError(f"cannot be read ({error}): fetch the data set again", str(file)) from error


def column_count_error(found: int, expected: str, file: Traversable, line: int) -> DatasetError:
    """A row of another number of columns than its file has."""
    return DatasetError(f"{found} columns where {expected} are due: mend or remove the line", str(file), line)


def _csv_rows(text: io.TextIOWrapper) -> Iterator[Row]:
    reader = csv.reader(text)
    for row in reader:
        if row:
            yield reader.line_num, row


def _split_rows(text: io.TextIOWrapper, separator: str) -> Iterator[Row]:
    for line, content in enumerate(text, 1):
        stripped = content.rstrip("\r\n")
        if stripped:
            yield line, stripped.split(separator)
