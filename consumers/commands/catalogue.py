"""`tastestream catalogue`: what items are, into their topic, out of it, and as it has them."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Table
from rich.text import Text

from consumers.catalogue_reading import NamedCatalogue, item_producer, read_catalogue
from consumers.commands.context import Json, console, print_json, progress_bar, refuse, settings_of
from consumers.item_ids import ItemId
from consumers.named_datasets import BUNDLED
from consumers.settings import Settings
from producers.item_files import read_bundled_items, read_items
from producers.items import ItemProducer
from producers.tables import DatasetError
from recommender.catalogue import CatalogueItem
from recommender.item_filters import ItemFilter
from schemas.items import Item

_PROGRESS_EVERY = 500

app = typer.Typer(help="What items are: titles, genres, tags, years, links.", no_args_is_help=True)


@app.command("load")
def load_command(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            help="`bundled` (MovieLens ml-latest-small); a MovieLens folder or zip; a CSV file with item_id, title, "
            "genres, tags (each separated by |), year, imdb, tmdb; or JSON lines as on the wire."
        ),
    ],
    json: Json = False,
) -> None:
    """Send what a data set or a file says of items; each item replaces what was known of it."""
    settings, begun, sent = settings_of(context), time.monotonic(), 0
    with item_producer(settings) as producer, progress_bar("sending items") as report:
        for item in _items(settings, source):
            _put(producer, item, source)
            sent += 1
            if sent % _PROGRESS_EVERY == 0:
                report(sent, None)
    seconds = round(time.monotonic() - begun, 2)
    if json:
        print_json({"source": source, "topic": producer.topic, "items": sent, "seconds": seconds})
    else:
        _say(f"{sent:,} items of {source} sent to {producer.topic} in {seconds:g} s")


@app.command("list")
def list_command(  # a command's options are its parameters
    context: typer.Context,
    genre: Annotated[list[str] | None, typer.Option("--genre", help="Any of these genres.")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="Any of these tags.")] = None,
    year_from: Annotated[int | None, typer.Option("--year-from", help="Not older.")] = None,
    year_to: Annotated[int | None, typer.Option("--year-to", help="Not newer.")] = None,
    top: Annotated[int, typer.Option("--top", min=0, help="So many, by item id.")] = 20,
    json: Json = False,
) -> None:
    """Items of the catalogue, and how many were removed."""
    try:
        asked = ItemFilter(tuple(genre or ()), tuple(tag or ()), year_from, year_to)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--year-from / --year-to") from error
    catalogue = read_catalogue(settings_of(context))
    known = catalogue.known
    if unknown := asked.unknown(known):
        refuse("; ".join(unknown))
    items = np.array(sorted(known.items), np.uint32)
    found = catalogue.sorted_ids(items[asked.allowed(known, items)].tolist())
    if json:
        documents = [_document(item_id, item) for item_id, item in catalogue.described(found[:top])]
        print_json({"items": documents, "found": len(found), "removed": catalogue.removed()})
        return
    console.print(_table(catalogue.described(found[:top])))
    _say(f"\n{len(found):,} of {len(known.items):,} items; {len(known.removed):,} were removed")


@app.command("show")
def show_command(
    context: typer.Context,
    item: Annotated[str | None, typer.Argument(help="Item id, or a title: with or without its year.")] = None,
    link: Annotated[str | None, typer.Option("--link", help="Id elsewhere, such as imdb:tt0111161.")] = None,
    json: Json = False,
) -> None:
    """All that the catalogue has of an item; of several, where a title is not one item's alone."""
    if (item is None) == (link is None):
        raise typer.BadParameter("name an item or a link, one of them", param_hint="ITEM / --link")
    catalogue = read_catalogue(settings_of(context))
    found = _linked(catalogue, link) if link is not None else _named(catalogue, item or "")
    if not found:
        refuse(_why_nothing(catalogue, link or item or ""))
    described = catalogue.described(found)
    if json:
        print_json([_document(item_id, known) for item_id, known in described])
        return
    for item_id, known in described:
        _say("\n".join(_lines(item_id, known)))


@app.command("remove")
def remove_command(
    context: typer.Context,
    item: Annotated[list[str], typer.Argument(help="Item ids.")],
    json: Json = False,
) -> None:
    """Take items out of the catalogue: no list shows them any more, their ratings go on counting."""
    settings = settings_of(context)
    ids = [_id(settings, text) for text in item]
    with item_producer(settings) as producer:
        for item_id in ids:
            try:
                producer.remove(item_id)
            except ValueError as error:
                raise typer.BadParameter(str(error), param_hint="ITEM") from error
    if json:
        print_json({"topic": producer.topic, "removed": ids})
    else:
        _say(f"the removal of {len(ids)} items was sent to {producer.topic}")


def _items(settings: Settings, source: str) -> Iterable[Item]:
    kind = settings.catalogue.item_ids
    return read_bundled_items(kind) if source == BUNDLED else read_items(Path(source), kind)


def _put(producer: ItemProducer, item: Item, source: str) -> None:
    try:
        producer.put(item)
    except ValueError as error:
        raise DatasetError(f"item {item.item_id}: this deployment does not take it: {error}", source) from error


def _id(settings: Settings, text: str) -> int | str:
    return int(text) if settings.catalogue.item_ids == "integer" and text.isdecimal() else text


def _named(catalogue: NamedCatalogue, name: str) -> list[ItemId]:
    item_id = catalogue.id_of(name)
    if catalogue.get(item_id) is not None:
        return [item_id]
    return catalogue.sorted_ids(catalogue.known.titled(name))


def _linked(catalogue: NamedCatalogue, link: str) -> list[ItemId]:
    kind, colon, identity = link.partition(":")
    if not colon:
        raise typer.BadParameter(f"{link!r} is no KIND:ID, such as imdb:tt0111161", param_hint="--link")
    return catalogue.sorted_ids(catalogue.known.linked(kind, identity))


def _why_nothing(catalogue: NamedCatalogue, name: str) -> str:
    if catalogue.id_of(name) in catalogue.removed():
        return f"item {name} was removed from the catalogue"
    return f"the catalogue of {len(catalogue.known.items):,} items has no {name!r}"


def _document(item_id: ItemId, known: CatalogueItem) -> dict[str, Any]:
    return {
        "item_id": item_id,
        "title": known.title,
        "genres": known.genres,
        "tags": known.tags,
        "year": known.year,
        "links": dict(known.links),
    }


def _lines(item_id: ItemId, known: CatalogueItem) -> list[str]:
    rows = {
        "genres": ", ".join(known.genres),
        "tags": ", ".join(known.tags),
        "year": known.year,
        "links": ", ".join(f"{kind} {identity}" for kind, identity in known.links.items()),
    }
    return [
        f"item {item_id}: {known.title or 'no title'}",
        *(f"  {name}: {value or 'none'}" for name, value in rows.items()),
    ]


def _table(items: Iterable[tuple[ItemId, CatalogueItem]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("item", "title", "year", "genres"):
        table.add_column(column)
    for item_id, known in items:
        table.add_row(Text(str(item_id)), Text(known.title or ""), str(known.year or ""), Text(" ".join(known.genres)))
    return table


def _say(text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
