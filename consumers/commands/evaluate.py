"""`tastestream evaluate`: how good the lists are, through the service's own path, beside what others do."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from consumers.commands.context import Json, console, print_json, progress_bar, settings_of
from consumers.commands.evaluation_table import print_evaluations
from consumers.commands.option_group import with_options
from consumers.evaluation import BASELINES, RANKINGS, Evaluation, EvaluationPlan, run_evaluation
from consumers.evaluation_document import document
from consumers.evaluation_plot import FORMATS, PlotError, check_plot, write_plot
from consumers.named_datasets import HELP, named_dataset
from consumers.service_system import StoreKind
from schemas.scale import Scale

_Names = list[str] | None


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """What may be typed after `tastestream evaluate`."""

    datasets: Annotated[list[str], typer.Argument(metavar="DATASET", help=f"{HELP} Several: one after the other.")]
    preset: Annotated[
        _Names, typer.Option("--preset", help=f"{', '.join(RANKINGS)}; repeatable. Default: `ranking.preset`.")
    ] = None
    baseline: Annotated[
        _Names,
        typer.Option("--baseline", help=f"{', '.join(BASELINES)}; repeatable. Default: all, where no preset is named."),
    ] = None
    events: Annotated[int | None, typer.Option("--events", min=1, help="Take only the first ratings.")] = None
    batch: Annotated[
        int, typer.Option("--batch", min=1, help="So many ratings are learnt at a time, after the lists for all.")
    ] = 1
    scale: Annotated[
        tuple[float, float] | None,
        typer.Option("--scale", metavar="MIN MAX", help="Lowest and highest rating of the files. Default: as found."),
    ] = None
    store: Annotated[
        StoreKind, typer.Option("--store", help="The engine, in a temporary folder; or the exact store, slow.")
    ] = "edge"
    plot: Annotated[
        Path | None, typer.Option("--plot", help=f"Draw warm HR@10 over time into this file ({', '.join(FORMATS)}).")
    ] = None
    json: Json = False

    def systems(self, configured: str) -> list[str]:
        """What to evaluate, each once: presets, or else the configured one; then baselines."""
        _check_known("preset", self.preset, RANKINGS)
        _check_known("baseline", self.baseline, BASELINES)
        beside = list(BASELINES) if self.preset is None and self.baseline is None else self.baseline
        return list(dict.fromkeys([*(self.preset or [configured]), *(beside or [])]))

    def told_scale(self) -> Scale | None:
        """The scale that was typed."""
        try:
            return Scale(*self.scale) if self.scale else None
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--scale") from error

    def check_plot(self) -> None:
        """See that the picture can be drawn, before minutes of work."""
        try:
            if self.plot is not None:
                check_plot(self.plot)
        except PlotError as error:
            raise typer.BadParameter(str(error), param_hint="--plot") from error


def _evaluate(context: typer.Context, options: EvaluateOptions) -> None:
    """Measures of the first ten, prequentially: each rating is asked for before it is learnt, in time order.

    Warm: users with 5 ratings or more; liked: of those, ratings of 4 stars or more; cold: users with 1 to 4 ratings.
    The first system is compared with each other one, rating by rating. JSON is one line for each data set.
    """
    settings = settings_of(context)
    systems, scale = options.systems(settings.ranking.preset), options.told_scale()
    options.check_plot()
    found = []
    for data in [named_dataset(name, scale) for name in options.datasets]:
        plans = [EvaluationPlan(data, settings, options.events, name, options.store, options.batch) for name in systems]
        found.append(evaluated(plans))
        if options.json:
            print_json(document(found[-1]))
        else:
            print_evaluations(found[-1], console)
    if options.plot is not None:
        write_plot(options.plot, found)


evaluate_command = with_options(_evaluate, EvaluateOptions)


def evaluated(plans: list[EvaluationPlan]) -> list[Evaluation]:
    """Run plans for the same ratings, one after the other, under one bar."""
    ran: list[Evaluation] = []
    with progress_bar(plans[0].dataset.name) as report:
        for plan in plans:

            def on_batch(done: int, total: int, plan: EvaluationPlan = plan) -> None:
                report(len(ran) * total + done, len(plans) * total, plan.system)

            ran.append(run_evaluation(plan, on_batch))
    return ran


def _check_known(kind: str, names: _Names, known: Iterable[str]) -> None:
    for name in names or []:
        if name not in known:
            raise typer.BadParameter(f"{name!r} is none of {', '.join(known)}", param_hint=f"--{kind}")
