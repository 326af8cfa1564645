"""`tastestream evaluate`: how good the lists are, on a data set, through the service's own path."""

from typing import Annotated

import typer
from rich.table import Table

from consumers.commands.context import Json, console, print_json, progress_bar, settings_of
from consumers.evaluation import Evaluation, EvaluationPlan, StoreKind, run_evaluation
from consumers.named_datasets import HELP, named_dataset
from recommender.evaluation import HitRate


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
    """A row per evaluation; rates with their standard error, clustered by user."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("rules", "HR@10 warm", "n", "HR@10 liked", "n", "HR@10 cold", "n", "nDCG@10 warm"):
        table.add_column(column, justify="left" if column == "rules" else "right")
    for evaluation in evaluations:
        report = evaluation.report
        cells = [cell for found in (report.warm, report.liked, report.cold) for cell in _cells(found)]
        table.add_row(evaluation.variant, *cells, f"{report.warm.ndcg:.4f}")
    return table


def _cells(found: HitRate) -> tuple[str, str]:
    return f"{found.rate:.4f} ±{found.standard_error:.4f}", f"{found.events:,}"
