"""`tastestream rate`: one rating into the topic, and with `--wait` the list that answers to it."""

import uuid
from typing import Annotated, Any

import typer

from consumers.app import check_cluster
from consumers.commands.context import Json, console, print_json, refuse, settings_of
from consumers.commands.presentation import list_table
from consumers.input_topics import rating_producer
from consumers.published_lists import AwaitedList, list_reader
from consumers.settings import Settings
from schemas.recommendations import RecommendationList

WAIT_TIMEOUT_S = 30.0
SHOWN_ITEMS = 10

Fields = dict[str, Any]


def rate_command(  # noqa: PLR0913, PLR0917  # a command's options are its parameters
    context: typer.Context,
    user: Annotated[str, typer.Argument(help="User id.")],
    item: Annotated[str, typer.Argument(help="Item id; an integer, unless the catalogue has strings.")],
    rating: Annotated[
        float, typer.Argument(help="Rating, on the catalogue's scale (catalogue.scale_min to scale_max).")
    ],
    at: Annotated[str | None, typer.Option("--at", help="When: RFC 3339, or ms since 1970. By default now.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the refreshed list, and print it.")] = False,
    timeout_s: Annotated[
        float, typer.Option("--timeout-s", min=0.1, max=3_600, help="How long to wait, in seconds.")
    ] = WAIT_TIMEOUT_S,
    json: Json = False,
) -> None:
    """Send one rating; the worker refreshes the user's list."""
    settings = settings_of(context)
    fields = _fields(settings, {"user": user, "item": item, "rating": rating, "rated_at": at})
    check_cluster(settings)
    topic = settings.input_topics[0]
    value = None
    if wait:
        value = _sent_and_answered(settings, fields, timeout_s)
    else:
        _send(settings, fields)
    if json:
        print_json({**fields, "topic": topic, **({"list": value} if wait else {})})
    else:
        console.print(f"sent to {topic}", markup=False, highlight=False)
        if value is not None:
            console.print(list_table(value, SHOWN_ITEMS))


def _fields(settings: Settings, given: Fields) -> Fields:
    item, at = given["item"], given["rated_at"]
    if settings.catalogue.item_ids == "integer":
        if not item.isdecimal():
            raise typer.BadParameter(
                f"{item!r} is no item id: this catalogue's are integers (catalogue.item_ids)", param_hint="ITEM"
            )
        given |= {"item": int(item)}
    if at is not None and at.isdecimal():
        given |= {"rated_at": int(at)}
    return given


def _send(settings: Settings, fields: Fields, event_id: str | None = None) -> None:
    with rating_producer(settings) as producer:
        try:
            producer.rate(**fields, event_id=event_id)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error


def _sent_and_answered(settings: Settings, fields: Fields, timeout_s: float) -> RecommendationList:
    event_id = uuid.uuid4().hex
    with list_reader(settings, settings.input_topics[0]) as reader:
        messages = reader.from_now_on()
        _send(settings, fields, event_id)
        value = AwaitedList(fields["user"], event_id).within(messages, timeout_s)
    if value is None:
        refuse(f"the rating was sent, but no list answered to it within {timeout_s:g} s: does `tastestream run` run?")
    return value
