"""`tastestream dead-letters`: what could not be used, why, and sending it again once it can."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated

import typer
from confluent_kafka import Message

from consumers.app import check_cluster
from consumers.commands.context import Json, console, print_json, progress_bar, refuse, settings_of
from consumers.commands.dead_letter_tables import (
    counts_table,
    letter_document,
    letter_lines,
    letters_table,
    original_document,
    redrive_document,
    redrive_lines,
)
from consumers.redrive_letters import (
    Letters,
    Place,
    Selection,
    dead_letter_records,
    letter_of,
    parse_place,
    place_of,
    place_text,
    read_letters,
)
from consumers.redrive_run import planned_redrive, run_redrive
from consumers.settings import Settings
from schemas.reasons import REASONS
from schemas.times import parse_time

LINES_SHOWN = 20
MAX_ATTEMPTS = 3

app = typer.Typer(
    help="Records that could not be used: what they are, why, and sending them again.", no_args_is_help=True
)

Reasons = Annotated[list[str] | None, typer.Option("--reason", help="Only of this reason; may be repeated.")]
Since = Annotated[str | None, typer.Option("--since", help="Only written at or after this time (RFC 3339).")]
Until = Annotated[str | None, typer.Option("--until", help="Only written before this time (RFC 3339).")]


@app.command("list")
def list_command(
    context: typer.Context,
    reason: Reasons = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=0, help=f"Only the newest; by default {LINES_SHOWN}, and all with --json."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print each as one line of JSON, for programs.")] = False,
) -> None:
    """Dead letters, the newest first, and how many there are of each reason and topic.

    The first column, PARTITION:OFFSET in the dead-letter topic, names a dead letter for `show` and `redrive`.
    """
    selection = _selection(reason, since, until)
    settings = settings_of(context)
    check_cluster(settings)
    letters = read_letters(dead_letter_records(settings), selection)
    newest = sorted(letters.selected, key=lambda letter: (letter.at_ms, letter.place), reverse=True)
    if json:
        for letter in newest[:limit]:
            print_json(letter_document(letter, redriven=letter.place in letters.redriven))
    elif not newest:
        console.print(f"no dead letters in {settings.dead_letter_topic}", markup=False, highlight=False)
    else:
        console.print(counts_table(letters.selected, letters.redriven), "")
        console.print(letters_table(newest[: LINES_SHOWN if limit is None else limit], letters.redriven))


@app.command("show")
def show_command(
    context: typer.Context,
    letter: Annotated[str, typer.Argument(metavar="PARTITION:OFFSET", help="Which, as `list` names it.")],
    raw: Annotated[bool, typer.Option("--raw", help="Write the original's value, and nothing else.")] = False,
    json: Json = False,
) -> None:
    """Everything about one dead letter: why, where from, headers, and the original bytes."""
    place = _place(letter)
    settings = settings_of(context)
    check_cluster(settings)
    message, letters = _found(settings, place)
    if message is None or not letters.selected:
        refuse(f"there is no dead letter {letter} in {settings.dead_letter_topic}: `tastestream dead-letters list`")
    found, redriven = letter_of(message), place in letters.redriven
    if raw and "value" in found.refusal.omitted:
        refuse(f"the value was too large for a dead letter: it stands at {found.refusal.origin}")
    if raw:
        sys.stdout.buffer.write(message.value() or b"")
        sys.stdout.buffer.flush()
    elif json:
        print_json(letter_document(found, redriven=redriven) | {"original": original_document(found, message)})
    else:
        lines = letter_lines(found, message, redriven=redriven)
        console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


@app.command("redrive")
def redrive_command(  # noqa: PLR0913, PLR0917  # a command's options are its parameters
    context: typer.Context,
    letters: Annotated[
        list[str] | None, typer.Argument(metavar="[PARTITION:OFFSET]...", help="Which; all where none is named.")
    ] = None,
    reason: Reasons = None,
    since: Since = None,
    until: Until = None,
    max_attempts: Annotated[
        int, typer.Option("--max-attempts", min=1, max=1_000, help="Leave alone what was tried so often.")
    ] = MAX_ATTEMPTS,
    execute: Annotated[bool, typer.Option("--execute", help="Send; without it nothing is sent.")] = False,
    json: Json = False,
) -> None:
    """Send dead letters back to the input topic, each once: key, value, headers, time and partition as they were.

    Without --execute it only says what it would do. What it sent is recorded in the same transaction, so that it may be
    interrupted and repeated. A record that fails again is a new dead letter with one attempt more. To the service it is
    an event like any other: one of a user who was forgotten meanwhile brings the user back.
    """
    selection = _selection(reason, since, until, letters or [])
    settings = settings_of(context)
    done = planned_redrive(settings, selection, max_attempts)
    if missing := sorted(selection.places - done.verdicts.keys()):
        refuse(f"there is no dead letter {place_text(missing[0])} of this kind in {settings.dead_letter_topic}")
    if execute:
        with progress_bar("sending dead letters") as report:
            done = run_redrive(settings, selection, max_attempts, report)
    if json:
        print_json(redrive_document(done, executed=execute))
    else:
        lines = redrive_lines(done, settings.dead_letter_topic, executed=execute)
        console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


def _found(settings: Settings, place: Place) -> tuple[Message | None, Letters]:
    """The record at a place, and whether it is a dead letter and was sent again, which the records after it tell."""
    found: list[Message] = []

    def watched(messages: Iterable[Message]) -> Iterator[Message]:
        for message in messages:
            if place_of(message) == place:
                found.append(message)
            yield message

    letters = read_letters(watched(dead_letter_records(settings)), Selection(places=frozenset({place})))
    return (found[0] if found else None), letters


def _selection(
    reasons: Sequence[str] | None, since: str | None, until: str | None, places: Sequence[str] = ()
) -> Selection:
    if unknown := sorted(set(reasons or ()) - set(REASONS)):
        known = ", ".join(REASONS)
        raise typer.BadParameter(f"there is no reason {unknown[0]!r}; there are: {known}", param_hint="--reason")
    return Selection(
        frozenset(reasons or ()),
        _time(since, "--since"),
        _time(until, "--until"),
        frozenset(_place(text) for text in places),
    )


def _time(text: str | None, option: str) -> int | None:
    try:
        return None if text is None else parse_time(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def _place(text: str) -> Place:
    try:
        return parse_place(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="PARTITION:OFFSET") from error
