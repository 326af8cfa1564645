"""`tastestream evaluate`: how good the lists are, on a data set, through the service's own path."""

from collections.abc import Callable
from typing import Annotated

import typer
from rich.table import Table

from consumers.commands.context import Json, console, print_json, progress_bar, settings_of
from consumers.evaluation import Evaluation, EvaluationPlan, StoreKind, run_evaluation
from consumers.named_datasets import HELP, named_dataset
from recommender.evaluation import HitRate, Report

_MEASURES: dict[str, Callable[[Report], HitRate]] = {
    "HR@10 warm": lambda report: report.warm,
    "HR@10 liked": lambda report: report.liked,
    "HR@10 cold": lambda report: report.cold,
}


def evaluate_command(
    context: typer.Context,
    dataset: Annotated[str, typer.Argument(help=HELP)],
    events: Annotated[int | None, typer.Option("--events", min=1, help="Take only the first ratings.")] = None,
    position: Annotated[
        bool, typer.Option("--position/--no-position", help="Weigh votes by where they stand in a history.")
    ] = True,
    store: Annotated[
        StoreKind, typer.Option("--store", help="The engine, in a temporary folder; or the exact store, slow.")
    ] = "edge",
    json: Json = False,
) -> None:
    """Hit rates of the first ten, prequentially: each rating is asked for before it is learnt, in time order.

    Warm: users with 5 ratings or more; liked: of those, ratings of 4 stars or more; cold: users with 1 to 4 ratings.
    """
    plan = EvaluationPlan(named_dataset(dataset), settings_of(context), events, position, store)
    with progress_bar("evaluating") as report:
        evaluation = run_evaluation(plan, report)
    if json:
        print_json(evaluation.document())
        return
    console.print(evaluation_table([evaluation]))
    console.print(
        f"{evaluation.report.events:,} ratings of {evaluation.items:,} items by {evaluation.users:,} users of "
        f"{evaluation.dataset}, in {evaluation.seconds:.0f} s",
        markup=False,
        highlight=False,
    )


def evaluation_table(evaluations: list[Evaluation]) -> Table:
    """A column per evaluation of the same ratings; rates with their standard error, clustered by user."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("measure")
    for column in ("n", *(evaluation.variant for evaluation in evaluations)):
        table.add_column(column, justify="right", no_wrap=True)
    for name, measure in _MEASURES.items():
        found = [measure(evaluation.report) for evaluation in evaluations]
        rates = [f"{hits.rate:.4f} ±{hits.standard_error:.4f}" for hits in found]
        table.add_row(name, f"{found[0].events:,}", *rates)
    gains = [f"{evaluation.report.warm.ndcg:.4f}" + " " * len(" ±0.0000") for evaluation in evaluations]
    table.add_row("nDCG@10 warm", f"{evaluations[0].report.warm.events:,}", *gains)
    return table
