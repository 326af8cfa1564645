"""`tastestream cards`: a user's current list as a page to look at, to send or to print."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr

from consumers.app import check_cluster
from consumers.cards import posters as omdb
from consumers.cards.card import Card, cards_of
from consumers.cards.page import Illustrated, page
from consumers.cards.poster_cache import PosterCache
from consumers.cards.posters import KEY_VARIABLE, PosterLimits, Posters
from consumers.catalogue_reading import read_catalogue
from consumers.commands.context import console, errors, progress_bar, refuse, settings_of
from consumers.published_lists import current_list
from consumers.settings_sections import CardSettings


def cards_command(
    context: typer.Context,
    user: Annotated[str, typer.Argument(help="User id, or _popular.")],
    out: Annotated[Path, typer.Option("--out", dir_okay=False, help="The HTML file to write.")],
    only_with_poster: Annotated[
        bool, typer.Option("--only-with-poster", help="Leave out items without a poster, instead of drawing a tile.")
    ] = False,
) -> None:
    """A user's current list as one HTML page of cards, which needs no network and no script.

    Posters come from the OMDb API where the variable OMDB_API_KEY holds a key for it; else, tiles are drawn.
    """
    settings = settings_of(context)
    posters = _posters(settings.cards)
    if only_with_poster and posters is None:
        raise typer.BadParameter(f"posters need a key of OMDb: set {KEY_VARIABLE}", param_hint="--only-with-poster")
    if not out.resolve().parent.is_dir():
        raise typer.BadParameter(f"there is no folder {out.resolve().parent}: make it", param_hint="--out")
    check_cluster(settings)
    value = current_list(settings, user)
    if value is None:
        refuse(f"user {user!r} has no list: none was published yet, or the user was forgotten")
    illustrated = _illustrated(cards_of(value, read_catalogue(settings)), posters)
    shown = [one for one in illustrated if one.poster is not None or not only_with_poster]
    _write(out, page(value, shown, settings.catalogue.scale_max))
    console.print(f"{out}: {_cards(len(shown))}", markup=False, highlight=False, soft_wrap=True)
    if posters is not None:
        _tell_troubles(posters)


def _posters(settings: CardSettings) -> Posters | None:
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not key:
        return None
    cache = PosterCache(settings.poster_cache, settings.poster_cache_max_bytes, settings.poster_cache_max_age_s)
    limits = PosterLimits(settings.requests_max, settings.request_timeout_s, settings.poster_max_bytes)
    return Posters(SecretStr(key), cache, limits, omdb.OMDB_URL)


def _illustrated(cards: Sequence[Card], posters: Posters | None) -> list[Illustrated]:
    if posters is None:
        return [Illustrated(card, None) for card in cards]
    found = []
    with progress_bar("posters") as report:
        for done, card in enumerate(cards, 1):
            found.append(Illustrated(card, posters.poster(card.imdb_id) if card.imdb_id else None))
            report(done, len(cards))
    return found


def _write(out: Path, document: str) -> None:
    try:
        out.write_text(document, encoding="utf-8")
    except OSError as error:
        raise typer.BadParameter(f"{out} cannot be written: {error.strerror}", param_hint="--out") from error


def _cards(count: int) -> str:
    return "1 card" if count == 1 else f"{count:,} cards"


def _tell_troubles(posters: Posters) -> None:
    failed = posters.troubles
    told = [f"{count}: {why}" for why, count in failed.most_common()]
    text = f"posters that could not be had: {failed.total()} ({'; '.join(told)})" if told else ""
    if posters.cache_fails:
        folder = posters.cache.folder
        text = "; ".join(filter(None, (text, f"posters are not kept: {folder} cannot be written (cards.poster_cache)")))
    if text:
        errors.print(f"tastestream: {text}", style="yellow", markup=False, highlight=False, soft_wrap=True)
