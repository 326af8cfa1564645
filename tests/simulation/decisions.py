"""What goes wrong and when: drawn from a seed, written down as it is drawn, and replayed from what was written.

A decision is named by where it was taken (which worker, its how-manieth call), so that others can be left out
without moving it. Which kinds of fault a seed knows at all is drawn too: few kinds, often, find more than all, rarely.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Key(NamedTuple):
    """Where a decision was taken: `group` is calls, operator or records; `slot` a worker's, `number` counts up."""

    group: str
    slot: int
    number: int


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong, and by how much (0 to 1; what it means is the kind's affair)."""

    kind: str
    amount: float


@dataclass(slots=True)
class Decisions:
    """The faults of one run. With a `script` it gives those of the script and no others."""

    seed: int
    kinds: frozenset[str]
    rate: float
    script: Mapping[Key, Fault] | None = None
    taken: dict[Key, Fault] = field(default_factory=dict)
    quiet: bool = False
    _numbers: dict[int, int] = field(default_factory=dict)
    _dice: dict[int, random.Random] = field(default_factory=dict)

    def at_call(self, slot: int, *offers: tuple[Sequence[str], float]) -> Fault | None:
        """What goes wrong with this call of a worker: of each offer one kind, at so many times the seed's rate."""
        number = self._numbers[slot] = self._numbers.get(slot, 0) + 1
        key = Key("call", slot, number)
        if self.quiet:
            return None
        fault = self._drawn(slot, offers) if self.script is None else self.script.get(key)
        if fault is None or all(fault.kind not in kinds for kinds, _ in offers):
            return None
        self.taken[key] = fault
        return fault

    def planned(self, key: Key, fault: Fault) -> Fault | None:
        """A fault that was drawn beforehand; None where the script leaves it out."""
        if self.script is not None and key not in self.script:
            return None
        self.taken[key] = fault
        return fault

    def _drawn(self, slot: int, offers: Sequence[tuple[Sequence[str], float]]) -> Fault | None:
        dice = self._dice.get(slot)
        if dice is None:
            dice = self._dice[slot] = random.Random(self.seed * 31 + slot)  # noqa: S311  # no secret
        luck = dice.random()
        for kinds, times in offers:
            if luck < self.rate * times and (known := [kind for kind in kinds if kind in self.kinds]):
                return Fault(dice.choice(known), dice.randrange(1000) / 1000)
            luck -= self.rate * times
        return None
