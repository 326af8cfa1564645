"""`tastestream replay`: a data set into the topic, in time order."""

from dataclasses import asdict
from typing import Annotated

import typer

from consumers.app import check_cluster
from consumers.commands.context import Json, console, print_json, progress_bar, settings_of
from consumers.input_topics import rating_producer
from consumers.named_datasets import HELP, named_dataset
from consumers.settings import Settings
from consumers.settings_mapping import has_text_ids, rating_scale
from producers.replay import PROGRESS_EVERY, Pace, ReplayPlan, ReplayResult, replay
from producers.tables import DatasetError


def replay_command(
    context: typer.Context,
    dataset: Annotated[str, typer.Argument(help=HELP)],
    rate: Annotated[float | None, typer.Option("--rate", help="Ratings per second.")] = None,
    speedup: Annotated[
        float | None, typer.Option("--speedup", help="Seconds of the data's own time per second.")
    ] = None,
    events: Annotated[int | None, typer.Option("--events", min=1, help="Send only the first ratings.")] = None,
    load: Annotated[
        bool, typer.Option("--load", help="As history: user by user, with one list for each user, at the end.")
    ] = False,
    json: Json = False,
) -> None:
    """Send a data set's ratings in time order, each at its own time; as fast as it goes, or at a pace.

    With --load, the quickest way to bring history in, users get their lists at the end; start a load that was
    interrupted again, or users whose history came in have no list of it until they rate.
    """
    settings = settings_of(context)
    if load and (rate or speedup):
        raise typer.BadParameter("--load sends as fast as it goes: leave them out", param_hint="--rate / --speedup")
    try:
        pace = Pace(rate, speedup)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--rate / --speedup") from error
    found = named_dataset(dataset, rating_scale(settings))
    check_cluster(settings)
    # At a pace the bar moves with every rating; at full speed that would cost more than the sending.
    every = PROGRESS_EVERY if pace == Pace() else 1
    text_ids = has_text_ids(settings)
    result = _replayed(settings, ReplayPlan(found, pace, events, progress_every=every, text_ids=text_ids, is_load=load))
    per_s = result.events / result.seconds if result.seconds else 0.0
    if json:
        print_json({"dataset": found.name, **asdict(result), "events_per_s": round(per_s, 1)})
    else:
        console.print(
            f"{result.events:,} ratings and {result.profiles:,} profiles of {found.name} sent in "
            f"{result.seconds:.1f} s ({per_s:,.0f} ratings/s)",
            markup=False,
            highlight=False,
        )


def _replayed(settings: Settings, plan: ReplayPlan) -> ReplayResult:
    with progress_bar("sending ratings") as report, rating_producer(settings) as producer:
        try:
            return replay(plan, producer, report)
        except ValueError as error:
            raise DatasetError(f"this deployment does not take it: {error}", plan.dataset.name) from error
