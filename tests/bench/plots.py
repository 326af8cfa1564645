"""Draws what `build/bench.json` holds, as SVG beside it: cost against users, and how the waits for a list spread.

    python tests/bench/plots.py

Run at the end of `make bench`. A picture whose figures are missing is not drawn; that is told, and the exit
code is 1.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.bench.frame import DETAILS, RESULTS, console, results

SIZE_IN = (9.0, 5.0)
LINES = {"service": "-", "echo": ":"}
SHARES = (50, 90, 99, 99.9)


class MissingError(Exception):
    """The figures of a picture are not there."""


def main() -> int:
    """Draw every picture; the exit code is 1 where one could not be drawn."""
    document, missed = results(), 0
    for name, draw in (("growth", draw_growth), ("freshness", draw_freshness)):
        path = RESULTS.with_name(f"bench-{name}.svg")
        try:
            _drawn(draw, document).savefig(path)
        except MissingError as missing:
            console.print(f"{path.name} is not drawn: {missing}", style="bold red", highlight=False)
            path.unlink(missing_ok=True)
            missed += 1
        else:
            console.print(f"{_shown(path)}", highlight=False)
    return 1 if missed else 0


def draw_growth(figure: Figure, document: Mapping[str, Any]) -> None:
    """Microseconds per refresh and bytes of the engine per user, each against users.

    Raises:
        MissingError: there are no such figures.
    """
    growth = document.get("growth")
    if not growth:
        raise MissingError(f"{RESULTS.name} has no `growth`; tests/bench/growth.py writes it")
    users = sorted(growth, key=int)
    panels = {"refresh_us": "µs per refresh", "engine_bytes_per_user": "engine, bytes per user"}
    for axes, (key, label) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        points = [(int(count), growth[count][key]) for count in users if growth[count].get(key) is not None]
        if not points:
            raise MissingError(f"`growth` has no {key}")
        axes.plot(*zip(*points, strict=True), marker="o")
        axes.set_xscale("log")
        axes.set_ylim(0, 1.1 * max(value for _, value in points))
        _label(axes, "users", label)


def draw_freshness(figure: Figure, document: Mapping[str, Any]) -> None:
    """The share of ratings whose list could be read within so many ms, for each load, beside the echo.

    Raises:
        MissingError: there are no such figures.
    """
    loads = sorted(document.get("freshness") or (), key=int)
    if not loads:
        raise MissingError(f"{RESULTS.name} has no `freshness`; tests/bench/freshness.py writes it")
    details = document[DETAILS]["freshness"]
    axes = figure.subplots()
    for number, load in enumerate(loads):
        for name, line in LINES.items():
            spread = details[f"load_{load}_{name}_distribution_ms"]
            tail = [1 - float(percent) / 100 for percent in spread if float(percent) < 100]
            waits_ms = [wait for percent, wait in spread.items() if float(percent) < 100]
            axes.plot(waits_ms, tail, line, color=f"C{number}", label=f"{name} at {load} %")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.invert_yaxis()
    axes.set_yticks([1 - share / 100 for share in SHARES], [f"{share} %" for share in SHARES])
    axes.minorticks_off()
    _label(axes, "ms from append to readable", "ratings that took no longer")
    figure.legend(loc="outside right upper", fontsize="small")


def _drawn(draw: Callable[[Figure, Mapping[str, Any]], None], document: Mapping[str, Any]) -> Figure:
    figure = Figure(figsize=SIZE_IN, layout="constrained")
    draw(figure, document)
    around = document["machine"]
    figure.suptitle(f"{around['cpu']}, {around['cores']} cores, {around['commit']}", fontsize="small", color="grey")
    return figure


def _label(axes: Axes, across: str, upwards: str) -> None:
    axes.set_xlabel(across)
    axes.set_ylabel(upwards)
    axes.grid(visible=True, alpha=0.3)


def _shown(path: Path) -> str:
    return str(path.relative_to(RESULTS.parents[1]))


if __name__ == "__main__":
    sys.exit(main())
