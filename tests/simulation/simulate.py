"""Runs seeds of the simulation, replays one with its shortest story, and sees that every mutant is found.

    python tests/simulation/simulate.py --seeds 0..100000 --jobs 2
    python tests/simulation/simulate.py --seed 7 --trace [--mutant read-back]

Writes build/simulation.json: {seeds, failures, mutants: {name: found}}; ends with 1 when a seed fails or a
mutant hides.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path

import orjson
from mutants import MUTANTS
from shape import shape_of
from shrink import shrunk
from simulation import simulate

RESULT = Path(__file__).parents[2] / "build" / "simulation.json"
CHUNK_SEEDS = 50
REPORT_INTERVAL_S = 5.0


def main() -> int:
    """Parse the options, run what they ask for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=_seeds, default=range(1_000), metavar="A..B", help="from A up to before B")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--trace", action="store_true", help="with --seed: the shortest story in which it fails")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="with --seed: run it with this taken out")
    options = parser.parse_args()
    if options.seed is None:
        return _many(options.seeds, options.jobs)
    return _one(options.seed, options.mutant, trace=options.trace)


def _seeds(text: str) -> range:
    first, _, end = text.partition("..")
    return range(int(first), int(end))


def _one(seed: int, mutant: str | None, *, trace: bool) -> int:
    shape = MUTANTS[mutant].shape(seed) if mutant else shape_of(seed)
    with ExitStack() as stack:
        for part in MUTANTS[mutant].without if mutant else ():
            stack.enter_context(part())
        outcome = simulate(seed, shape=shape, tracing=trace)
        if outcome.violations and trace:
            found = shrunk(seed, shape)
            outcome = found.outcome
            _say(f"the shortest story of {found.runs} runs, {len(outcome.decisions)} decisions are left:")
    _say(*outcome.trace, *(outcome.violations or [f"seed {seed} is well"]))
    return 1 if outcome.violations else 0


def _many(seeds: range, jobs: int) -> int:
    failures: dict[int, list[str]] = {}
    reported, done = time.monotonic(), 0
    for chunk, failed in _checked(seeds, jobs):
        done += len(chunk)
        failures |= failed
        for seed, violations in failed.items():
            _say(f"seed {seed} fails: {violations[0]}")
        if time.monotonic() - reported > REPORT_INTERVAL_S:
            reported = time.monotonic()
            _say(f"{done} of {len(seeds)} seeds, {len(failures)} failures")
    mutants = {name: bool(mutant.runs(mutant.seed).violations) for name, mutant in MUTANTS.items()}
    result = {"seeds": len(seeds), "failures": sorted(failures), "mutants": mutants}
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_bytes(orjson.dumps(result, option=orjson.OPT_INDENT_2))
    _say(f"{len(seeds)} seeds, {len(failures)} failures, {sum(mutants.values())} of {len(mutants)} mutants found")
    if failures:
        _say(f"replay: python tests/simulation/simulate.py --seed {min(failures)} --trace")
    return 0 if not failures and all(mutants.values()) else 1


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def _checked(seeds: range, jobs: int) -> Iterator[tuple[range, dict[int, list[str]]]]:
    chunks = [seeds[at : at + CHUNK_SEEDS] for at in range(0, len(seeds), CHUNK_SEEDS)]
    if jobs == 1:
        yield from ((chunk, failed(chunk)) for chunk in chunks)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from zip(chunks, pool.map(failed, chunks), strict=True)


def failed(chunk: range) -> dict[int, list[str]]:
    """The seeds among these that fail, with what is wrong."""
    found = {seed: simulate(seed).violations for seed in chunk}
    return {seed: violations for seed, violations in found.items() if violations}


if __name__ == "__main__":
    sys.exit(main())
