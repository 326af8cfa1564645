"""Evaluations as a picture: how often the list held what the user rated next, over the time of the data set.

matplotlib, from the optional extra `plot`, is imported only here and only when a picture is asked for.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from consumers.evaluation import Evaluation
from recommender.measures import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WINDOW_EVENTS = 5_000
WINDOW_SHARE = 0.1
"""A stream so short that the window would hide its course gets a window of this part of it."""
FORMATS = (".svg", ".png", ".pdf")
_POINTS_MAX = 2_000
_WIDTH_IN, _PANEL_HEIGHT_IN = 10.0, 5.0


class PlotError(ValueError):
    """A picture that cannot be drawn: of no known format, into no folder, or matplotlib is missing."""


def check_plot(path: Path) -> None:
    """See before the work that a picture can be drawn after it.

    Raises:
        PlotError: it cannot.
    """
    if path.suffix.lower() not in FORMATS:
        raise PlotError(f"{path}: a picture ends in {', '.join(FORMATS)}")
    if not path.resolve().parent.is_dir():
        raise PlotError(f"{path}: there is no folder {path.resolve().parent}: make it")
    _figure(1)


def write_plot(path: Path, datasets: Sequence[Sequence[Evaluation]]) -> None:
    """Write a picture with a panel for each data set and in it a line for each system.

    Raises:
        PlotError: matplotlib is not installed, or the file cannot be written.
    """
    figure = _figure(len(datasets))
    for axes, evaluations in zip(figure.axes, datasets, strict=True):
        _draw(axes, evaluations)
    try:
        figure.savefig(path)
    except OSError as error:
        raise PlotError(f"{path}: the picture cannot be written ({error})") from error


def sliding_rate(report: Report, window: int) -> tuple[NDArray[np.datetime64], NDArray[np.float64]]:
    """When each window of warm events ended, and the share of hits in it; of many windows some thousands."""
    sums = np.concatenate(([0], np.cumsum(np.array(report.warm_hits, np.int64))))
    windows = len(sums) - window
    ends = window + np.unique(np.linspace(0, windows - 1, min(windows, _POINTS_MAX)).astype(np.int64))
    times = np.array(report.warm_at_ms, np.int64)[ends - 1].astype("datetime64[ms]")
    return times, (sums[ends] - sums[ends - window]) / window


def _figure(panels: int) -> "Figure":
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - optional extra
    except ImportError as error:
        raise PlotError("a picture needs matplotlib: install the extra `plot` (tastestream[plot])") from error
    figure = Figure(figsize=(_WIDTH_IN, panels * _PANEL_HEIGHT_IN), layout="constrained")
    figure.subplots(panels)
    return figure


def _draw(axes: "Axes", evaluations: Sequence[Evaluation]) -> None:
    first = evaluations[0]
    window = max(1, min(WINDOW_EVENTS, int(first.report.warm.events * WINDOW_SHARE)))
    for evaluation in evaluations:
        if evaluation.report.warm.events:
            times, rates = sliding_rate(evaluation.report, window)
            axes.plot(times, rates, label=evaluation.system, linewidth=1.2)
    axes.set_title(f"{first.dataset}: {first.report.events:,} ratings by {first.users:,} users")
    axes.set_xlabel("time of the rating")
    axes.set_ylabel(f"warm HR@10 of the last {window:,} ratings")
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(loc="best", fontsize="small")
