"""`tastestream show`: everything known of one user, and the current list."""

import time
from typing import Annotated, Any

import typer

from consumers.app import check_cluster
from consumers.catalogue_reading import read_catalogue
from consumers.commands.context import Json, console, print_json, refuse, settings_of
from consumers.commands.presentation import history_table, length_text, list_table, newest_first
from consumers.published_lists import age_ms, current_list
from consumers.user_reading import UserReading, read_user
from recommender.catalogue import Catalogue
from recommender.profile import UserState, mean_rating
from schemas.recommendations import RecommendationList
from schemas.times import format_time


def show_command(
    context: typer.Context,
    user: Annotated[str, typer.Argument(help="User id.")],
    history: Annotated[int, typer.Option("--history", min=0, help="Entries of the history, the newest first.")] = 20,
    top: Annotated[int, typer.Option("--top", min=0, help="Items of the current list.")] = 10,
    json: Json = False,
) -> None:
    """A user's profile, history and current list: from the store, or from the topics while a worker holds it."""
    settings = settings_of(context)
    check_cluster(settings)
    reading = read_user(settings, user)
    if reading.state.user_id is None:
        refuse(_why_nothing(user, reading))
    value = current_list(settings, user)
    catalogue = read_catalogue(settings)
    if json:
        print_json(
            {**_document(reading.state, catalogue, history), "source": _source(reading), "list": _cut(value, top)}
        )
    else:
        _print_profile(reading, catalogue, history)
        _print_list(value, top)


def _why_nothing(user: str, reading: UserReading) -> str:
    if reading.state.count:
        return f"user {user!r} was forgotten, after {reading.state.count} events, say {reading.place}"
    return f"user {user!r} is not known to {reading.place}"


def _source(reading: UserReading) -> str:
    return "store" if reading.from_store else "topics"


def _document(state: UserState, catalogue: Catalogue, limit: int) -> dict[str, Any]:
    return {
        "user_id": state.user_id,
        "attributes": dict(state.attributes),
        "num_ratings": len(state.history.rated()),
        "avg_rating": mean_rating(state.history),
        "history": [
            {"item_id": item, "rating": rating, "rated_at": format_time(at_ms)}
            | ({"title": known.title} if (known := catalogue.get(item)) and known.title else {})
            for item, rating, at_ms in newest_first(state.history)[:limit]
        ],
        "seen": len(state.seen),
        "version": state.count,
        "offsets": dict(sorted(state.offsets.items())),
    }


def _cut(value: RecommendationList | None, top: int) -> RecommendationList | None:
    return None if value is None else {**value, "items": value["items"][:top]}


def _print_profile(reading: UserReading, catalogue: Catalogue, limit: int) -> None:
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
        console.print(history_table(state.history, catalogue, limit))


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
