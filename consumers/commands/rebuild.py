"""`tastestream rebuild`: a new store from the topics while the old one serves; and the way back."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from typing import Annotated, Any

import typer

from consumers.commands.context import Json, console, errors, print_json, progress_bar, settings_of
from consumers.commands.run import GapOption, accepted_gaps
from consumers.exit_codes import ExitCode
from consumers.logs import configure_logs
from consumers.rebuild import Outcome, Rebuild, Wishes, drop_others
from consumers.rebuild_comparison import Comparison
from consumers.rollback import roll_back
from consumers.settings import Settings
from consumers.store_opening import generations
from consumers.stores.generations import Generations
from recommender.store import StoreError

DIFFERENCES_SHOWN = 3


def rebuild_command(  # noqa: PLR0913, PLR0917  # a command's options are its parameters
    context: typer.Context,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Go back to the store that the last rebuild replaced.")
    ] = False,
    drop_old: Annotated[
        bool, typer.Option("--drop-old", help="Delete the replaced store, and unfinished ones.")
    ] = False,
    status: Annotated[bool, typer.Option("--status", help="Say which stores there are; change nothing.")] = False,
    switch: Annotated[
        bool, typer.Option("--switch/--no-switch", help="Switch at the end, or leave it to the next call.")
    ] = True,
    accept_differences: Annotated[
        bool, typer.Option("--accept-differences", help="Switch even where the new store differs from the old one.")
    ] = False,
    accept_gap: GapOption = None,
    json: Json = False,
) -> None:
    """Make a new store from the topics with the settings as they are now, compare it with the old one, switch to it.

    Workers go on with the old store meanwhile, and end at the switch (exit code 12), so that a restart opens the new
    one. The old one is kept. Interrupted, it goes on when it is called again. Exit 1 where the stores differ.
    """
    settings, gaps = settings_of(context), accepted_gaps(accept_gap or [])
    if sum((rollback, drop_old, status)) > 1:
        raise typer.BadParameter("choose one", param_hint="--rollback, --drop-old, --status")
    configure_logs(settings.log)
    with closing(generations(settings)) as place:
        if status:
            _print_status(place, json=json)
            return
        place.claim()
        if rollback:
            roll_back(settings, place, gaps)
            _print_status(place, json=json)
        elif drop_old:
            _drop_old(place)
            _print_status(place, json=json)
        else:
            _rebuild(settings, place, Wishes(gaps, accept_differences, switch), json=json)


def _drop_old(place: Generations) -> None:
    if (previous := place.lineage().previous) is not None:
        place.drop(previous)
    drop_others(place)


def _rebuild(settings: Settings, place: Generations, wishes: Wishes, *, json: bool) -> None:
    outcome = Rebuild(settings, place, wishes, progress_bar).run()
    if json:
        print_json(_document(outcome, place))
    else:
        console.print("\n".join(_lines(outcome, place)), markup=False, highlight=False, soft_wrap=True)
    for line in _mismatches(outcome.comparison):
        errors.print(line, style="red", markup=False, highlight=False, soft_wrap=True)
    if outcome.comparison.mismatched and not outcome.switched:
        raise typer.Exit(ExitCode.CHECK_FAILED)


def _print_status(place: Generations, *, json: bool) -> None:
    lineage = place.lineage()
    current, kept, others = lineage.current, lineage.previous, list(place.others())
    if not place.exists(current.name):
        raise StoreError(f"there is no store yet at {place.place(current.name)}: `tastestream run` makes it")
    if json:
        print_json({"current": asdict(current), "kept": kept, "unfinished": others})
        return
    lines = [f"current     {place.place(current.name)}, epoch {current.epoch}"]
    lines += [f"kept        {place.place(kept)} (--rollback goes back to it)"] if kept else []
    lines += [f"unfinished  {place.place(name)} (an equal rebuild goes on with it)" for name in others]
    console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


def _document(outcome: Outcome, place: Generations) -> dict[str, Any]:
    return {
        "store": place.place(outcome.generation.name),
        "epoch": outcome.generation.epoch,
        "replaces": place.place(outcome.serving.name),
        "switched": outcome.switched,
        "events": outcome.events,
        "users": outcome.comparison.users,
        "mismatches": outcome.comparison.mismatched,
        "compared": {name: value for name, value in asdict(outcome.comparison).items() if name != "mismatches"},
    }


def _lines(outcome: Outcome, place: Generations) -> Iterator[str]:
    comparison, serving = outcome.comparison, place.place(outcome.serving.name)
    yield f"new store   {place.place(outcome.generation.name)}, epoch {outcome.generation.epoch}"
    yield f"made of     {outcome.events:,} events in this run"
    yield f"compared    {_compared(comparison)}"
    if outcome.switched:
        yield f"switched    workers on {serving} end now with exit code 12: start them again"
        yield "            the old store is kept: --rollback goes back to it, --drop-old deletes it, and until then"
        yield "            it holds what it held, also of users who are forgotten from now on"
    elif comparison.mismatched:
        yield "not switched: users differ; --accept-differences switches all the same, --drop-old deletes it"
    else:
        yield "not switched: run it again without --no-switch"


def _compared(comparison: Comparison) -> str:
    counts = (
        (comparison.under_way, "with newer events"),
        (comparison.other_limits, "with other limits of the history"),
        (comparison.shortened, "without the events that are gone"),
    )
    also = [f"{count:,} {what}" for count, what in counts if count]
    return ", ".join(
        [f"{comparison.compared:,} users with the {comparison.against}, {comparison.mismatched:,} differ", *also]
    )


def _mismatches(comparison: Comparison) -> Iterator[str]:
    for user, differences in comparison.mismatches.items():
        shown = "; ".join(f"{d.what}: {d.expected} became {d.found}" for d in differences[:DIFFERENCES_SHOWN])
        yield f"user {user}: {shown}"
