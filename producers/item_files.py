"""What items are, from files: MovieLens in its forms, a CSV file with a header, or JSON lines as the wire has them.

| what is there | read as |
|---|---|
| a folder or zip with movies.csv, movies.dat or u.item | MovieLens, with links.csv and tags.csv where they are |
| one CSV file | its header names item id, title, genres, tags, year, imdb, tmdb; only the id must be there |
| one file of JSON lines (.jsonl, .ndjson) | an item per line, as on the wire |

Of a CSV file, genres and tags are separated by `|`; what its header names beside those is left out.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from producers.archives import column_count_error, read_rows
from producers.datasets import bundled_items, load_items
from producers.rating_csv import HEADER_NAMES
from producers.tables import CatalogueItem, DatasetError
from schemas.documents import json_object, validated
from schemas.identity import CONTROL, CatalogueKind
from schemas.items import LABEL_MAX_CHARS, LABELS_MAX, Item
from schemas.reasons import MalformedRecordError

_COLUMNS = {
    "item_id": HEADER_NAMES["item"],
    "title": ("title", "name"),
    "genres": ("genres", "genre", "categories", "category"),
    "tags": ("tags", "tag"),
    "year": ("year",),
    "imdb": ("imdb", "imdbid"),
    "tmdb": ("tmdb", "tmdbid"),
}
"""What a header may call each column; case, spaces and punctuation do not count."""
_LISTS, _LINKS = ("genres", "tags"), ("imdb", "tmdb")
_CONTROL = re.compile(CONTROL)
_JSON_LINES = {".jsonl", ".ndjson"}


def read_bundled_items(kind: CatalogueKind = "integer") -> Iterator[Item]:
    """The movies of the data set that ships here."""
    return item_records(bundled_items().values(), kind, "ml-latest-small")


def read_items(path: Path, kind: CatalogueKind = "integer") -> Iterator[Item]:
    """The items at `path`, with ids of the catalogue's kind.

    Raises:
        DatasetError: nothing there, no form known here, or a line that cannot be used.
    """
    if path.is_file() and path.suffix.lower() in _JSON_LINES:
        return _json_items(path)
    if path.is_file() and path.suffix.lower() == ".csv":
        return _csv_items(path, kind)
    return item_records(load_items(path).values(), kind, str(path))


def item_records(items: Iterable[CatalogueItem], kind: CatalogueKind, name: str) -> Iterator[Item]:
    """The items of a data set of this name as the wire has them.

    Raises:
        DatasetError: one cannot be such a record.
    """
    for item in items:
        links = {"imdb": item.imdb_id, "tmdb": None if item.tmdb_id is None else str(item.tmdb_id)}
        fields = {
            "title": item.title,
            "genres": item.genres,
            "tags": item.tags,
            "year": item.year,
            "links": {where: identity for where, identity in links.items() if identity},
        }
        yield _item(_id(str(item.item_id), kind), fields, name)


def _json_items(path: Path) -> Iterator[Item]:
    for line, (text,) in read_rows(path, "\n"):
        try:
            yield validated(Item, json_object(text.encode()), {})
        except MalformedRecordError as error:
            raise DatasetError(str(error), str(path), line) from error


def _csv_items(path: Path, kind: CatalogueKind) -> Iterator[Item]:
    rows = read_rows(path, ",")
    _, header = next(rows, (1, []))
    places = _places(header, path)
    for line, row in rows:
        if len(row) != len(header):
            raise column_count_error(len(row), ",".join(header), path, line)
        found = {name: row[place].strip() for name, place in places.items()}
        yield _item(_id(found.pop("item_id"), kind), _fields(found), str(path), line)


def _places(header: list[str], file: Traversable) -> dict[str, int]:
    names = [re.sub(r"[\W_]", "", name.casefold()) for name in header]
    places = {
        column: names.index(name) for column, known in _COLUMNS.items() for name in reversed(known) if name in names
    }
    if "item_id" not in places:
        known = ", ".join(_COLUMNS["item_id"])
        raise DatasetError(f"the header names no item column: call it one of {known}", str(file), 1)
    return places


def _fields(found: Mapping[str, str]) -> dict[str, Any]:
    return {
        "title": found.get("title"),
        **{name: found.get(name, "").split("|") for name in _LISTS},
        "year": int(found["year"]) if found.get("year", "").isdecimal() else found.get("year") or None,
        "links": {name: found[name] for name in _LINKS if found.get(name)},
    }


def _item(item_id: int | str, fields: Mapping[str, Any], file: str, line: int | None = None) -> Item:
    cleaned = {
        **fields,
        "item_id": item_id,
        "title": _clean(fields["title"] or "") or None,
        **{name: _labels(fields[name]) for name in _LISTS},
    }
    try:
        return validated(Item, cleaned, {})
    except MalformedRecordError as error:
        raise DatasetError(f"item {item_id}: {error}", file, line) from error


def _id(text: str, kind: CatalogueKind) -> int | str:
    return int(text) if kind == "integer" and text.isdecimal() else text


def _labels(names: Iterable[str]) -> list[str]:
    """The names that can be labels: people tag with whole sentences, too."""
    cleaned = dict.fromkeys(map(_clean, names))
    return [name for name in cleaned if 0 < len(name) <= LABEL_MAX_CHARS][:LABELS_MAX]


def _clean(text: str) -> str:
    return " ".join(_CONTROL.sub(" ", text).split())
