"""`tastestream show`: everything known of one user, and the current list."""

import time
from typing import Annotated, Any

import typer

from consumers.app import check_cluster
from consumers.catalogue_reading import NamedCatalogue, read_catalogue
from consumers.commands.context import Json, console, print_json, refuse, settings_of
from consumers.commands.presentation import history_table, length_text, list_table, newest_first, reasons_table
from consumers.explained_lists import NotExplainedError, Reasons, published_reasons, stored_reasons
from consumers.published_lists import age_ms, current_list
from consumers.settings import Settings
from consumers.user_reading import UserReading, read_user
from recommender.profile import mean_rating
from schemas.recommendations import RecommendationList
from schemas.times import format_time


def show_command(
    context: typer.Context,
    user: Annotated[str, typer.Argument(help="User id.")],
    history: Annotated[int, typer.Option("--history", min=0, help="Entries of the history, the newest first.")] = 20,
    top: Annotated[int, typer.Option("--top", min=0, help="Items of the current list.")] = 10,
    why: Annotated[bool, typer.Option("--why", help="Say why the list's items are there.")] = False,
    json: Json = False,
) -> None:
    """A user's profile, history and current list: from the store, or from the topics while a worker holds it.

    The reasons are those that the list carries; where it carries none, the user is ranked for anew, from the store.
    """
    settings = settings_of(context)
    check_cluster(settings)
    reading = read_user(settings, user)
    if reading.state.user_id is None:
        refuse(_why_nothing(user, reading))
    value = current_list(settings, user)
    catalogue = read_catalogue(settings)
    reasons = _reasons(settings, user, value, top) if why else None
    if json:
        known = _document(reading, catalogue, history)
        document = {**known, "source": _source(reading), "list": _cut(value, top)}
        print_json(document if reasons is None else {**document, "why": reasons.document()})
    else:
        _print_profile(reading, catalogue, history)
        _print_list(value, top)
        if reasons is not None:
            _print_reasons(reasons)


def _reasons(settings: Settings, user: str, value: RecommendationList | None, top: int) -> Reasons:
    if value is not None and (found := published_reasons(value, top)) is not None:
        return found
    try:
        return stored_reasons(settings, user, top)
    except NotExplainedError as error:
        refuse(str(error))


def _why_nothing(user: str, reading: UserReading) -> str:
    if reading.state.count:
        return f"user {user!r} was forgotten, after {reading.state.count} events, say {reading.place}"
    return f"user {user!r} is not known to {reading.place}"


def _source(reading: UserReading) -> str:
    return "store" if reading.from_store else "topics"


def _document(reading: UserReading, catalogue: NamedCatalogue, limit: int) -> dict[str, Any]:
    state = reading.state
    return {
        "user_id": state.user_id,
        "attributes": dict(state.attributes),
        "num_ratings": len(state.history.rated()),
        "avg_rating": mean_rating(state.history),
        "history": [
            {"item_id": (item := reading.items[dimension]), "rating": rating, "rated_at": format_time(at_ms)}
            | ({"title": known.title} if (known := catalogue.get(item)) and known.title else {})
            for dimension, rating, at_ms in newest_first(state.history)[:limit]
        ],
        "seen": len(state.seen),
        "version": state.count,
        "offsets": dict(sorted(state.offsets.items())),
    }


def _cut(value: RecommendationList | None, top: int) -> RecommendationList | None:
    return None if value is None else {**value, "items": value["items"][:top]}


def _print_profile(reading: UserReading, catalogue: NamedCatalogue, limit: int) -> None:
    state, mean = reading.state, mean_rating(reading.state.history)
    attributes = ", ".join(f"{name} {value}" for name, value in state.attributes.items()) or "none"
    offsets = ", ".join(f"{source} at {offset}" for source, offset in sorted(state.offsets.items()))
    mean_text = "none" if mean is None else f"{mean:.4f}"
    lines = [
        f"user {state.user_id}, from {reading.place}",
        f"attributes: {attributes}",
        f"ratings: {len(state.history.rated())}, mean {mean_text}; seen beyond the history: {len(state.seen)}",
        f"version: {state.count} events, the last of {offsets}",
    ]
    console.print("\n".join(lines), markup=False, highlight=False)
    if limit and len(state.history):
        console.print("\nhistory, newest first", style="bold")
        console.print(history_table(reading, catalogue, limit))


def _print_list(value: RecommendationList | None, top: int) -> None:
    if value is None:
        console.print("\nno list was published yet", style="bold")
        return
    age = length_text(age_ms(value, time.time_ns() // 1_000_000))
    console.print(
        f"\ncurrent list: {value['tier']}, {value['ranking']}, version {value['state']['version']}, made {age} ago",
        style="bold",
        markup=False,
        highlight=False,
    )
    console.print(list_table(value, top))


def _print_reasons(reasons: Reasons) -> None:
    made = "as the list says" if reasons.published else "ranked anew from the store, without a worker's tuned trend"
    console.print(f"\nwhy, {made}", style="bold")
    console.print(reasons_table(reasons.items))
