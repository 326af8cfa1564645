"""A run of the fuzz: inputs by number from a seed, in batches through decoder and handler, and what came of them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from corpus import CLASSES
from inputs import Input
from laws import Broken, DecoderLaws, HandlerLaws, Outcome
from mutations import bent_input

from schemas.reasons import MalformedRecordError

BATCH_INPUTS = 200
FAILURES_MAX = 20
EXPECTED = {one.name: one.expected for one in CLASSES}


@dataclass(frozen=True, slots=True)
class Failure:
    """Inputs that together break a law, the fewest that were found, and which law."""

    law: str
    inputs: list[Input]


@dataclass(slots=True)
class Tally:
    """What came of the inputs so far."""

    inputs: int = 0
    handled: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    classes: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

    @property
    def events(self) -> int:
        """Inputs that were accepted."""
        return self.outcomes["accepted"]

    @property
    def dead_letters(self) -> int:
        """Inputs that were refused."""
        return self.outcomes.total() - self.events


class Campaign:
    """Judges inputs; a failure is kept and the run goes on, until there are too many."""

    def __init__(self) -> None:
        self.tally = Tally()
        self._decoder = DecoderLaws()
        self._handler = HandlerLaws()

    def run(self, inputs: int, seed: int) -> Iterator[Tally]:
        """Judge so many inputs of a seed; the tally after every batch."""
        for first in range(0, inputs, BATCH_INPUTS):
            chance = Random(f"{seed}:{first}")  # noqa: S311  # repeatable, no secret
            drawn = [bent_input(chance) for _ in range(min(BATCH_INPUTS, inputs - first))]
            self.tally.classes.update(name for name, _, _ in drawn)
            self.judge([given for _, _, given in drawn], [EXPECTED[n] if same else None for n, same, _ in drawn])
            yield self.tally
            if len(self.tally.failures) >= FAILURES_MAX:
                return

    def judge(self, given: Sequence[Input], expected: Sequence[str | None] | None = None) -> None:
        """Judge a batch: each input by the decoder's laws, then all that were decoded by the handler's."""
        judged: list[tuple[Input, Outcome]] = []
        for one, wanted in zip(given, expected or [None] * len(given), strict=True):
            self.tally.inputs += 1
            try:
                outcome = self._decoder.judge(one)
                _see_expected(outcome, wanted)
            except Broken as broken:
                self.tally.failures.append(Failure(str(broken), [one]))
                continue
            self.tally.outcomes[name_of(outcome)] += 1
            judged.append((one, outcome))
        # String ids have no dimension yet, so the handler is never given a catalogue of them.
        for rules in ("plain", "strict", "signed"):
            self._judge_handling([row for row in judged if row[0].rules == rules])

    def _judge_handling(self, rows: list[tuple[Input, Outcome]]) -> None:
        if not rows:
            return
        self.tally.handled += len(rows)
        if self._broken(rows) is not None:
            fewest = self._fewest(rows)
            self.tally.failures.append(Failure(self._broken(fewest) or "", [one for one, _ in fewest]))

    def _broken(self, rows: Sequence[tuple[Input, Outcome]]) -> str | None:
        try:
            self._handler.judge([one for one, _ in rows], [outcome for _, outcome in rows])
        except Broken as broken:
            return str(broken)
        return None

    def _fewest(self, rows: list[tuple[Input, Outcome]]) -> list[tuple[Input, Outcome]]:
        """Of a batch that breaks a law what is needed to break it: one input alone, if any does."""
        for row in rows:
            if self._broken([row]) is not None:
                return [row]
        for row in list(rows):
            without = [other for other in rows if other is not row]
            if without and self._broken(without) is not None:
                rows = without
        return rows


def name_of(outcome: Outcome) -> str:
    """What became of an input: "accepted", or the reason of the refusal."""
    return outcome.reason if isinstance(outcome, MalformedRecordError) else "accepted"


def _see_expected(outcome: Outcome, wanted: str | None) -> None:
    if wanted is not None and name_of(outcome) != wanted:
        raise Broken(f"the class is to be {wanted}, and was {name_of(outcome)}")
