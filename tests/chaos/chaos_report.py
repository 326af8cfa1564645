"""What came of the scenarios: build/chaos.json, and a table of it.

A scenario's entry stays until that scenario is run again, so that long runs of single ones add up; the figures above
the entries are of all of them. Each entry says with which seed, on what machine and of which commit it was taken.
"""

import json
import os
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from scenarios import CONTROLS, Outcome
from stalls import PLANNED

from tests.bench.frame import machine

RESULT = Path(__file__).parents[2] / "build" / "chaos.json"
COLUMNS = ("scenario", "seconds", "kills", "events", "redelivered", "wrong", "doubled", "gap s")
Entry = dict[str, Any]


def write(outcomes: list[Outcome]) -> Entry:
    """Put the outcomes into the result, and return it."""
    try:
        before = json.loads(RESULT.read_text(encoding="utf-8"))["scenarios"]
    except (OSError, ValueError, KeyError):
        before = {}
    document = totals(before | {outcome.name: entry(outcome) for outcome in outcomes})
    RESULT.parent.mkdir(exist_ok=True)
    written = RESULT.with_suffix(".new")
    written.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    written.replace(RESULT)
    return document


def report(outcomes: list[Outcome], document: Entry, *, as_json: bool) -> None:
    """Show the result on standard output."""
    if as_json:
        sys.stdout.write(json.dumps(document) + "\n")
        return
    console = Console()
    table = Table(title="chaos", title_justify="left", box=None, pad_edge=False, header_style="dim")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column == "scenario" else "right")
    for outcome in outcomes:
        table.add_row(outcome.name, *_cells(outcome), style="red" if outcome.problems else None)
    console.print(table)
    for what, figures in {"recovery": document["recovery_s"], **document["stall_s"]["by_kind"]}.items():
        shown = f"p50 {figures['p50']:.2f} s, p99 {figures['p99']:.2f} s, of {figures['n']}" if figures["n"] else "none"
        console.print(f"{what:<22} {shown}", highlight=False)
    console.print(f"{'a worker at most':<22} {document['rss_mb_max']} MB", highlight=False)
    for outcome in outcomes:
        for problem in outcome.problems:
            console.print(f"{outcome.name}: {problem}", style="bold red", markup=False, highlight=False)


def percentiles(values: list[float]) -> dict[str, float]:
    """p50, p99 and the greatest, in the unit of the values, and how many there are."""
    if not values:
        return {"n": 0}
    p50, p99 = np.percentile(values, [50, 99]).tolist()
    return {"p50": round(p50, 3), "p99": round(p99, 3), "max": round(max(values), 3), "n": len(values)}


def _cells(outcome: Outcome) -> list[str]:
    judgement = outcome.judgement
    figures = (judgement.events, outcome.redelivered, judgement.wrong_users, judgement.doubled_lists)
    counts = (f"{figure:,}" for figure in figures)
    return [f"{outcome.seconds:.0f}", str(outcome.record.faults["kill"]), *counts, f"{outcome.longest_gap_s:.1f}"]


def totals(entries: dict[str, Entry]) -> Entry:
    """The figures of all scenarios together, above their entries."""
    # The control is there to be wrong: its figures stand in its own entry alone.
    real = {name: found for name, found in entries.items() if name not in CONTROLS}
    faults: Counter[str] = sum((Counter(found["faults"]) for found in real.values()), Counter())
    # Where other workers go on meanwhile, or the store is away by plan, the figure would say something else.
    alone = [real["kills"]] if "kills" in real else list(real.values())
    present = [found for name, found in real.items() if name != "outage"]
    stalls: dict[str, list[float]] = {}
    for found in real.values():
        for kind, values in found["stalls_s"].items():
            stalls.setdefault(kind, []).extend(values)

    def summed(name: str) -> int:
        return sum(found[name] for found in real.values())

    return {
        "kills": faults["kill"],
        "events": summed("events"),
        "redelivered": summed("redelivered"),
        "wrong_users": summed("wrong_users"),
        "doubled_lists": summed("doubled_lists"),
        "problems": sum(len(found["problems"]) for found in entries.values()),
        "recovery_s": percentiles([value for found in alone for value in found["recoveries_s"]]),
        "stall_s": percentiles(stalls.get(PLANNED, []))
        | {"by_kind": {kind: percentiles(values) for kind, values in stalls.items()}},
        "rss_mb_max": max((found["rss_mb_max"] for found in real.values()), default=0.0),
        "longest_gap_s": max((found["longest_gap_s"] for found in present), default=0.0),
        "faults": dict(faults),
        "scenarios": entries,
    }


def entry(outcome: Outcome) -> Entry:
    """One scenario."""
    judgement = asdict(outcome.judgement)
    del judgement["problems"]
    record = outcome.record
    return {
        "seed": outcome.seed,
        "seconds": round(outcome.seconds, 1),
        **judgement,
        "redelivered": outcome.redelivered,
        "lists": outcome.lists,
        "faults": dict(record.faults),
        "ended_by_themselves": {str(code): count for code, count in record.ended.items()},
        "recovery_s": percentiles(record.recoveries_s),
        "recoveries_s": [round(value, 3) for value in record.recoveries_s],
        "stalls_s": {kind: [round(value, 3) for value in values] for kind, values in record.stalls_s.items()},
        "rss_mb_max": round(outcome.rss_mb_max, 1),
        "longest_gap_s": round(outcome.longest_gap_s, 3),
        **record.notes,
        "problems": outcome.problems,
        "machine": machine() | {"load_after": os.getloadavg()},
    }
