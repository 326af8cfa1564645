"""`tastestream dump`: the whole store as JSON lines, for programs that check it."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import orjson
import typer

from consumers.commands.context import settings_of
from consumers.commands.presentation import entries
from consumers.existing_store import all_states, store_place, visited_store
from consumers.item_ids import INTEGER_IDS, ItemIds
from recommender.profile import UserState, mean_rating
from recommender.store import StoreError


def dump_command(
    context: typer.Context,
    out: Annotated[
        Path | None, typer.Option("--out", dir_okay=False, help="Write to this file instead of standard output.")
    ] = None,
) -> None:
    """Every user of the store, a JSON object per line, in point id order; no worker may hold an Edge store meanwhile.

    `items` holds triples of item, rating (null: retracted) and time (ms since 1970), in event-time order; `tag` is
    text. Of a forgotten user nothing is left but the number of events.
    """
    settings = settings_of(context)
    with visited_store(settings) as visited:
        if visited is None:
            raise StoreError(f"there is no store yet at {store_place(settings)}: `tastestream run` makes it")
        _write((dumped(state, visited.items) for state in all_states(visited.store)), out)


def dumped(state: UserState, items: ItemIds = INTEGER_IDS) -> dict[str, Any]:
    """A user's line."""
    if state.user_id is None:
        return {"forgotten": True, "count": state.count}
    dimensions, *columns = zip(*entries(state.history), strict=True) if len(state.history) else ((), (), ())
    return {
        "user_id": state.user_id,
        "num_ratings": len(state.history.rated()),
        "avg_rating": mean_rating(state.history),
        "count": state.count,
        "items": list(zip(items.named(dimensions), *columns, strict=True)),
        "seen": items.named(state.seen.tolist()),
        "attributes": dict(state.attributes),
        "offsets": dict(state.offsets),
        "tag": str(state.tag),
    }


def _write(lines: Iterable[dict[str, Any]], out: Path | None) -> None:
    if out is None:
        _write_lines(lines, sys.stdout.buffer)
        return
    try:
        with out.open("wb") as file:
            _write_lines(lines, file)
    except OSError as error:
        raise typer.BadParameter(f"{out} cannot be written: {error.strerror}", param_hint="--out") from error


def _write_lines(lines: Iterable[dict[str, Any]], file: BinaryIO) -> None:
    file.writelines(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines)
    file.flush()
