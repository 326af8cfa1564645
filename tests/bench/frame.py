"""What every benchmark shares: its options, the machine, medians over repeats, the table, the JSON and the verdict.

Figures to be compared come from one run, taken in turns, because a machine's speed drifts. A benchmark ends with exit
code 1 when a requirement is not met. Every result carries the load of the machine before and after: a figure taken
while others were working is worth as much as that says.

`build/bench.json` is one document that all programs add to: at its top what they are about (`Bench.headline`), then the
machine of the last one, and below `details` all that each of them found.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from consumers.logs import configure_logs
from consumers.settings_sections import LogSettings

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "build" / "bench.json"
LIBRARIES = ("confluent-kafka", "numpy", "orjson", "pydantic", "qdrant-client", "qdrant-edge-py")
GIT_TIMEOUT_S = 10.0
DETAILS = "details"

console = Console()
progress = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over its repeats."""

    median: float
    least: float
    greatest: float
    repeats: int

    def __str__(self) -> str:
        return f"{self.median:,.4g} ({self.least:,.4g} to {self.greatest:,.4g})"


def spread(values: Sequence[float]) -> Spread:
    """The median of at least one value, with the range it comes from."""
    return Spread(statistics.median(values), min(values), max(values), len(values))


@dataclass(frozen=True, slots=True)
class Requirement:
    """A figure and the limit it has to keep."""

    what: str
    value: float
    limit: float
    at_most: bool = False

    @property
    def is_met(self) -> bool:
        """Whether the limit is kept; a figure that is not a number keeps none."""
        return self.value <= self.limit if self.at_most else self.value >= self.limit

    def __str__(self) -> str:
        bound = "at most" if self.at_most else "at least"
        return f"{self.what}: {self.value:.4g}, required {bound} {self.limit:g}: {'met' if self.is_met else 'NOT MET'}"


@dataclass(slots=True)
class Bench:
    """One benchmark: what it found, ready to be shown, kept and judged.

    Attributes:
        name: its key below `details` in `build/bench.json`.
        quick: a few minutes for all benchmarks together, instead of figures to publish.
        requirements: what has to hold.
    """

    name: str
    quick: bool
    requirements: list[Requirement] = field(default_factory=list)
    _load_before: tuple[float, float, float] = field(default_factory=os.getloadavg)
    _rows: list[tuple[str, str]] = field(default_factory=list)
    _figures: dict[str, Any] = field(default_factory=dict)
    _headlines: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_command_line(cls, name: str, what: str) -> "Bench":
        """The benchmark as the command line asks for it."""
        configure_logs(LogSettings(level="error"))
        parser = argparse.ArgumentParser(description=what)
        parser.add_argument("--quick", action="store_true", help="fewer and shorter repeats")
        return cls(name, parser.parse_args().quick)

    def repeats(self, full: int, quick: int) -> int:
        """How often to measure."""
        return quick if self.quick else full

    def say(self, what: str) -> None:
        """Tell, on standard error, what is going on."""
        progress.print(f"{self.name}: {what}", style="dim", highlight=False, markup=False)

    def figure(self, what: str, key: str, value: Spread | float | str, unit: str = "") -> None:
        """Add a row of the table, and a figure of the document under `key`."""
        self.row(what, value, unit)
        self.keep(key, asdict(value) if isinstance(value, Spread) else value)

    def row(self, what: str, value: Spread | float | str, unit: str = "") -> None:
        """Add a row of the table alone."""
        shown = f"{value:,.4g}" if isinstance(value, float) else str(value)
        self._rows.append((what, f"{shown} {unit}".strip()))

    def keep(self, key: str, value: object) -> None:
        """Add to the document alone what can be written as JSON."""
        self._figures[key] = value

    def headline(self, key: str, value: float | Mapping[str, Any]) -> None:
        """Put `value` at the top of the document, where machines look for it; it shows nothing.

        A mapping (by users, by load) joins what stands there under other keys, here or from another program.
        """
        _join(self._headlines, {key: value})

    def finish(self) -> int:
        """Show everything, merge it into `build/bench.json`, and return the exit code."""
        around = machine() | {"load_before": self._load_before, "load_after": os.getloadavg()}
        self._show(around)
        requirements = [asdict(each) | {"is_met": each.is_met} for each in self.requirements]
        details = self._figures | {"quick": self.quick, "requirements": requirements, "machine": around}
        _merge(self._headlines, {self.name: details}, around)
        return 0 if all(each.is_met for each in self.requirements) else 1

    def _show(self, around: dict[str, Any]) -> None:
        table = Table(title=self.name, title_justify="left", box=None, show_header=False, pad_edge=False)
        for what, value in self._rows:
            table.add_row(f"[dim]{what}[/]", value)
        console.print(table)
        for requirement in self.requirements:
            console.print(str(requirement), style="green" if requirement.is_met else "bold red", highlight=False)
        loads = f"load {around['load_before'][0]:.1f} before, {around['load_after'][0]:.1f} after"
        console.print(f"{around['cpu']}, {around['cores']} cores, {loads}\n", style="dim", highlight=False)


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "libraries": {name: metadata.version(name) for name in LIBRARIES},
        "commit": _commit(),
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or "unknown")


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=GIT_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()


def results() -> dict[str, Any]:
    """What `build/bench.json` says so far; empty where it says nothing, or is of another form."""
    try:
        document = json.loads(RESULTS.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) and DETAILS in document else {}


def _merge(headlines: Mapping[str, Any], details: Mapping[str, Any], around: dict[str, Any]) -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    known = results()
    _join(known, headlines)
    document = {**known, "machine": around, DETAILS: known.get(DETAILS, {}) | dict(details)}
    written = RESULTS.with_suffix(".new")
    written.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    written.replace(RESULTS)


def _join(document: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Add `more` to a document, key by key, mappings within mappings too; what is no mapping is replaced."""
    for key, value in more.items():
        if not isinstance(value, Mapping):
            document[key] = value
            continue
        if not isinstance(document.get(key), dict):
            document[key] = {}
        _join(document[key], value)
