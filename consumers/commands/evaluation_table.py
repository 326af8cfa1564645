"""How evaluations of the same ratings look on a terminal: a row for each system, a column for each measure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from consumers.evaluation import Evaluation
from recommender.evaluation import WARM_MIN_RATINGS
from recommender.measures import ClusteredMean, Report, paired_z

_NONE = "–"
_WIDTH_MAX = 1_000


@dataclass(frozen=True, slots=True)
class _Column:
    """What stands above it, and what of a report, beside the first one, stands in it."""

    name: str
    cell: Callable[[Report, Report], str]


def _rate(measure: Callable[[Report], ClusteredMean]) -> Callable[[Report, Report], str]:
    def cell(report: Report, _first: Report) -> str:
        found = measure(report)
        return _NONE if found.mean is None else f"{_short(found.mean)} ±{_short(found.standard_error)}"

    return cell


def _figure(measure: Callable[[Report], float | None], digits: int) -> Callable[[Report, Report], str]:
    def cell(report: Report, _first: Report) -> str:
        value = measure(report)
        return _NONE if value is None else f"{value:.{digits}f}".removeprefix("0")

    return cell


def _compared(report: Report, first: Report) -> str:
    z = None if report is first else paired_z(first, report)
    return "" if z is None else f"{z:+.1f}"


_HITS = (
    _Column("warm\nHR@10", _rate(lambda report: report.warm.hit)),
    _Column("liked\nHR@10", _rate(lambda report: report.liked.hit)),
    _Column("cold\nHR@10", _rate(lambda report: report.cold.hit)),
    _Column("ahead\nby z", _compared),
)
_REST = (
    _Column("warm\nnDCG", _figure(lambda report: report.warm.gain.mean, 4)),
    _Column("warm\nMRR", _figure(lambda report: report.warm.reciprocal.mean, 4)),
    _Column("\nMAE", _figure(lambda report: report.errors.absolute.mean, 3)),
    _Column("\nRMSE", _figure(lambda report: report.errors.rmse, 3)),
    _Column("cover-\nage", _figure(lambda report: report.variety.coverage, 3)),
    _Column("diver-\nsity", _figure(lambda report: report.variety.diversity.mean, 3)),
    _Column("novelty\nbits", _figure(lambda report: report.variety.novelty.mean, 2)),
)


def print_evaluations(evaluations: Sequence[Evaluation], console: Console) -> None:
    """The table, in two parts where the terminal is too narrow for one, and what it is about."""
    whole = _table(evaluations, (*_HITS, *_REST))
    unbounded = console.options.update(max_width=_WIDTH_MAX)
    if Measurement.get(console, unbounded, whole).maximum <= console.width:
        console.print(whole)
    else:
        console.print(_table(evaluations, _HITS), "", _table(evaluations, _REST), sep="\n")
    for line in _legend(evaluations):
        console.print(line, style="dim", markup=False, highlight=False)
    console.print()


def _table(evaluations: Sequence[Evaluation], columns: Sequence[_Column]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("system", no_wrap=True, vertical="bottom")
    for column in columns:
        table.add_column(column.name, justify="right", no_wrap=True)
    first = evaluations[0].report
    for evaluation in evaluations:
        report = evaluation.report
        table.add_row(evaluation.system, *(column.cell(report, first) for column in columns))
    return table


def _legend(evaluations: Sequence[Evaluation]) -> list[str]:
    first, report = evaluations[0], evaluations[0].report
    batches = f", in batches of {first.batch_events:,}" if first.batch_events > 1 else ""
    what = f"{report.events:,} ratings of {first.items:,} items by {first.users:,} users of {first.dataset}{batches}"
    warm = f"warm: {report.warm.events:,} by users with {WARM_MIN_RATINGS} ratings before"
    liked = f"liked: {report.liked.events:,} of these, 4 stars or more"
    cold = f"cold: {report.cold.events:,} by users with fewer"
    lines = [
        f"{what}, in {sum(evaluation.seconds for evaluation in evaluations):.0f} s",
        f"{warm}; {liked}; {cold}; ±: standard error, clustered by user",
    ]
    if first.profiles:
        lines.append(f"attributes of {first.profiles:,} users are known to filters (filters.near, filters.same)")
    if any(evaluation.system == "article" for evaluation in evaluations):
        mean, deviation = first.moments
        lines.append(f"article: ranking.global_mean {mean:.5f}, ranking.global_deviation {deviation:.5f}")
    if len(evaluations) > 1:
        lines.append(f"ahead by z: McNemar's, warm ratings that only {first.system} hit against those that it missed")
    return lines


def _short(value: float) -> str:
    return f"{value:.4f}".removeprefix("0")
