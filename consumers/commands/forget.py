"""`tastestream forget`: one user's wish to be forgotten into the topic, and with `--wait` the receipt for it.

On a terminal it shows what is known of the user and asks; a program (no terminal, `--json`) or `--yes` is not asked.
"""

import sys
from typing import Annotated

import typer

from consumers.app import check_cluster
from consumers.cluster import ClusterError, Topic
from consumers.commands.context import Json, console, errors, print_json, refuse, settings_of
from consumers.forget_receipt import Known, Receipt, known_of, receipt_document, receipt_lines
from consumers.forgetting import Forgetting, forget_and_wait, send_forget
from consumers.remains import Remains, remains_of
from consumers.settings import Settings

WAIT_TIMEOUT_S = 30.0


def forget_command(
    context: typer.Context,
    user: Annotated[str, typer.Argument(help="User id; one that nobody knows may be forgotten, too.")],
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it is done, and print a receipt.")] = False,
    timeout_s: Annotated[
        float, typer.Option("--timeout-s", min=0.1, max=3_600, help="How long to wait, in seconds.")
    ] = WAIT_TIMEOUT_S,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask on a terminal.")] = False,
    json: Json = False,
) -> None:
    """Forget a user: state, vector, attributes and list go; the receipt says what went, and what cannot be removed.

    On a terminal it asks first, unless told --yes or --json. What the user does afterwards starts afresh.
    """
    settings = settings_of(context)
    topics = check_cluster(settings)
    asks = sys.stdin.isatty() and not (yes or json)
    known = None
    if wait or asks:
        with errors.status("reading what is known of the user"):
            known = known_of(settings, user)
    if asks and known is not None:
        typer.confirm(f"Forget user {user!r}, of whom {known.place} has {known.summary()}?", abort=True, err=True)
    if wait and known is not None:
        _forget_with_receipt(settings, topics, known, timeout_s, json=json)
        return
    _checked_send(settings, user)
    if json:
        print_json({"user_id": user, "topic": settings.input_topics[0]})
    else:
        console.print(f"sent to {settings.input_topics[0]}", markup=False, highlight=False)


def _checked_send(settings: Settings, user_id: str) -> None:
    try:
        send_forget(settings, user_id)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="USER") from error


def _forget_with_receipt(
    settings: Settings, topics: dict[str, Topic], known: Known, timeout_s: float, *, json: bool
) -> None:
    try:
        done = forget_and_wait(settings, known.user_id, timeout_s)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="USER") from error
    if (problem := _problem(known.user_id, done, timeout_s)) is not None:
        refuse(problem)
    receipt = Receipt(known, done, _remains(settings, known.user_id, done), topics)
    if json:
        print_json(receipt_document(receipt, settings))
    else:
        for line in receipt_lines(receipt, settings):
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def _remains(settings: Settings, user_id: str, done: Forgetting) -> Remains:
    try:
        with errors.status("looking for what cannot be removed"):
            return remains_of(settings, user_id)
    except ClusterError as error:
        raise ClusterError(
            f"user {user_id!r} was forgotten (the event: {done.event}), but what cannot be removed could not be "
            f"looked for: {error}"
        ) from error


def _problem(user_id: str, done: Forgetting, timeout_s: float) -> str | None:
    if done.answer is None:
        where = f"stands in {done.event}" if done.event is not None else "was sent"
        return (
            f"the event that forgets {user_id!r} {where} and takes effect when a worker reads it, but nothing answered "
            f"to it within {timeout_s:g} s: does `tastestream run` run?"
        )
    if done.answer.kind == "dead letter":
        return (
            f"the worker refused the event that forgets {user_id!r} ({done.answer.reason}), nothing was removed: see "
            f"the dead letter in {done.answer.place}"
        )
    return None
