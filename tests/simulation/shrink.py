"""The shortest story of a failing seed: decisions are left out, many at a time and then one by one, while it fails."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from decisions import Fault, Key
from shape import Shape
from simulation import Outcome, simulate


@dataclass(frozen=True, slots=True)
class Shrunk:
    """What is left of a failing run, and in how many runs that was found."""

    outcome: Outcome
    runs: int


RUNS_MAX = 400


def shrunk(seed: int, shape: Shape, runs_max: int = RUNS_MAX) -> Shrunk:
    """A failing run with as few decisions as can be found in so many runs; it fails by the same first word.

    Raises:
        ValueError: the seed does not fail.
    """
    runs = 1
    worst = simulate(seed, shape=shape)
    if not worst.violations:
        raise ValueError(f"seed {seed} does not fail")
    script, kind = dict(worst.decisions), kind_of(worst)

    def fails(fewer: Mapping[Key, Fault]) -> bool:
        nonlocal runs
        runs += 1
        outcome = simulate(seed, script=fewer, shape=shape)
        return bool(outcome.violations) and kind_of(outcome) == kind

    size = len(script)
    while size and runs < runs_max:
        script = _without(script, size, fails, lambda: runs < runs_max)
        size //= 2
    return Shrunk(simulate(seed, script=script, shape=shape, tracing=True), runs)


def kind_of(outcome: Outcome) -> str:
    """What kind of failure it is: the first word of what is wrong first."""
    return outcome.violations[0].split(" ", 1)[0]


def _without(
    script: dict[Key, Fault], size: int, fails: Callable[[Mapping[Key, Fault]], bool], go_on: Callable[[], bool]
) -> dict[Key, Fault]:
    """Leave out runs of `size` decisions wherever it still fails, from behind."""
    keys = list(script)
    for end in range(len(keys), 0, -size):
        gone = set(keys[max(0, end - size) : end])
        fewer = {key: fault for key, fault in script.items() if key not in gone}
        if go_on() and fails(fewer):
            script = fewer
    return script
