"""`tastestream evaluate`: how good the lists are, through the service's own path, beside what others do."""

from collections.abc import Callable
from typing import Annotated

import typer
from rich.table import Table

from consumers.commands.context import Json, console, print_json, progress_bar, settings_of
from consumers.evaluation import BASELINES, VARIANTS, Evaluation, EvaluationPlan, StoreKind, document, run_evaluation
from consumers.named_datasets import HELP, named_dataset
from recommender.evaluation import HitRate, Report

_NO_ERROR = " " * len(" ±0.0000")
_RATES: dict[str, Callable[[Report], HitRate]] = {
    "HR@10 warm": lambda report: report.warm,
    "HR@10 liked": lambda report: report.liked,
    "HR@10 cold": lambda report: report.cold,
}
_FIGURES: dict[str, Callable[[Report], float | None]] = {
    "nDCG@10 warm": lambda report: report.warm.ndcg,
    "MRR@10 warm": lambda report: report.warm.mrr,
    "MAE": lambda report: report.errors.mae,
    "RMSE": lambda report: report.errors.rmse,
    "coverage": lambda report: report.variety.coverage,
    "diversity": lambda report: report.variety.diversity,
    "novelty (bits)": lambda report: report.variety.novelty,
}


def _known(kind: str, names: list[str], known: dict[str, object]) -> list[str]:
    for name in names:
        if name not in known:
            raise typer.BadParameter(f"{name!r} is none of {', '.join(known)}", param_hint=f"--{kind}")
    return names


def evaluate_command(
    context: typer.Context,
    dataset: Annotated[str, typer.Argument(help=HELP)],
    events: Annotated[int | None, typer.Option("--events", min=1, help="Take only the first ratings.")] = None,
    variant: Annotated[
        list[str] | None, typer.Option("--variant", help=f"{', '.join(VARIANTS)}; repeatable. Default: default.")
    ] = None,
    baseline: Annotated[
        list[str] | None, typer.Option("--baseline", help=f"Beside it: {', '.join(BASELINES)}; repeatable.")
    ] = None,
    store: Annotated[
        StoreKind, typer.Option("--store", help="The engine, in a temporary folder; or the exact store, slow.")
    ] = "edge",
    json: Json = False,
) -> None:
    """Measures of the first ten, prequentially: each rating is asked for before it is learnt, in time order.

    Warm: users with 5 ratings or more; liked: of those, ratings of 4 stars or more; cold: users with 1 to 4 ratings.
    Rates have their standard error, clustered by user.
    """
    variants = _known("variant", variant or ["default"], dict(VARIANTS))
    names = [*variants, *_known("baseline", baseline or [], dict(BASELINES))]
    data, settings = named_dataset(dataset), settings_of(context)
    evaluations = []
    for name in names:
        with progress_bar(name) as report:
            evaluations.append(run_evaluation(EvaluationPlan(data, settings, events, name, store), report))
    if json:
        print_json(document(evaluations))
        return
    console.print(evaluation_table(evaluations))
    first = evaluations[0]
    console.print(
        f"{first.report.events:,} ratings of {first.items:,} items by {first.users:,} users of "
        f"{first.dataset}, in {sum(evaluation.seconds for evaluation in evaluations):.0f} s",
        markup=False,
        highlight=False,
    )


def evaluation_table(evaluations: list[Evaluation]) -> Table:
    """A column per evaluation of the same ratings; rates with their standard error, clustered by user."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("measure")
    for column in ("n", *(evaluation.variant for evaluation in evaluations)):
        table.add_column(column, justify="right", no_wrap=True)
    reports = [evaluation.report for evaluation in evaluations]
    for name, measure in _RATES.items():
        found = [measure(report) for report in reports]
        table.add_row(name, f"{found[0].events:,}", *(f"{hits.rate:.4f} ±{hits.standard_error:.4f}" for hits in found))
    for name, figure in _FIGURES.items():
        table.add_row(name, "", *(_cell(figure(report)) for report in reports))
    return table


def _cell(value: float | None) -> str:
    return ("–" if value is None else f"{value:.4f}") + _NO_ERROR
