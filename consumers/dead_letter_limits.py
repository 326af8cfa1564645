"""When malformed records are no longer garbage in a topic, but a sign that a producer or the rules are wrong.

Two limits, each with its setting: so many malformed records in a row, and their share of the last records. Rules:

- A batch is judged before anything of it is written or committed, and counted only once it is: however often it is
  handled, it counts once, and one that was given up does not count.
- Replayed records were judged when they were read for the first time, and do not count.
- The verdict does not depend on how batches are cut. Fewer records than `ratio_min_records` count as that many.
- The counts are one worker's, and in its memory: a restart begins anew.
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from consumers.records import Record
from schemas.reasons import Reason

_WAY_OUT = (
    "nothing of this batch was committed, and its records are no dead letters yet. Mend the producer, or the rules "
    "that refuse them (catalogue.*), and start again; `tastestream dead-letters list` shows what was refused before"
)


@dataclass(frozen=True, slots=True)
class DeadLetterTolerance:
    """How much is garbage, by default everything: what meets a limit stops the worker, and 0 is no limit."""

    run_limit_records: int = 0
    ratio_limit: float = 0.0
    window_records: int = 10_000
    ratio_min_records: int = 1_000


class TooManyDeadLettersError(Exception):
    """A limit was met; the message says how, which records did it and what to do."""


class _Malformed(NamedTuple):
    """A record that cannot be used; `number` is how many came before it."""

    number: int
    place: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class _Tally:
    """What was read: how many records, and the malformed ones among the last and at the end."""

    records: int = 0
    window: deque[_Malformed] = field(default_factory=deque)
    run: deque[_Malformed] = field(default_factory=deque)


class DeadLetterLimits:
    """Judges batch after batch; `count` takes over the last one that was judged."""

    def __init__(self, tolerance: DeadLetterTolerance | None = None) -> None:
        self._tolerance = tolerance or DeadLetterTolerance()
        self._counted = _Tally()
        self._judged = self._counted

    def judge(self, records: Sequence[Record], refused: Iterable[tuple[Record, Reason]]) -> None:
        """See whether a batch may become what it is.

        Args:
            records: the batch.
            refused: its malformed records with their reasons, in any order.

        Raises:
            TooManyDeadLettersError: a limit was met by one of them; nothing was counted.
        """
        reasons = {(record.source, record.offset): reason for record, reason in refused if not record.replayed}
        if reasons:
            self._judged = self._after(records, reasons)
        else:
            live = sum(not record.replayed for record in records)
            run = deque[_Malformed]() if live else self._counted.run
            self._judged = replace(self._counted, records=self._counted.records + live, run=run)

    def count(self) -> None:
        """The batch that was judged last is committed."""
        self._counted = self._judged

    def _after(self, records: Iterable[Record], reasons: Mapping[tuple[str, int], Reason]) -> _Tally:
        number, window, run = self._counted.records, self._counted.window.copy(), self._counted.run.copy()
        for record in records:
            if record.replayed:
                continue
            reason = reasons.get((record.source, record.offset))
            if reason is None:
                run.clear()
            else:
                place = f"{record.topic}-{record.partition}@{record.offset}"
                self._take(_Malformed(number, place, reason), window, run)
            number += 1
        return _Tally(number, window, run)

    def _take(self, malformed: _Malformed, window: deque[_Malformed], run: deque[_Malformed]) -> None:
        tolerance = self._tolerance
        if tolerance.run_limit_records:
            run.append(malformed)
            if len(run) >= tolerance.run_limit_records:
                raise TooManyDeadLettersError(self._run_sentence(run))
        if tolerance.ratio_limit:
            window.append(malformed)
            while window[0].number <= malformed.number - tolerance.window_records:
                window.popleft()
            seen = min(malformed.number + 1, tolerance.window_records)
            if len(window) / max(seen, tolerance.ratio_min_records) >= tolerance.ratio_limit:
                raise TooManyDeadLettersError(self._ratio_sentence(window, seen))

    def _run_sentence(self, run: Sequence[_Malformed]) -> str:
        return (
            f"{len(run):,} malformed records in a row, {_described(run)}: {_WAY_OUT}. If they are garbage, raise "
            f"limits.dead_letter_run_limit_records ({self._tolerance.run_limit_records:,}; 0 switches it off)"
        )

    def _ratio_sentence(self, window: Sequence[_Malformed], seen: int) -> str:
        tolerance = self._tolerance
        return (
            f"{len(window):,} of the last {seen:,} records are malformed, {_described(window)}: {_WAY_OUT}. If they "
            f"are garbage, raise limits.dead_letter_ratio_limit ({tolerance.ratio_limit:g} of at least "
            f"{tolerance.ratio_min_records:,} records; 0 switches it off)"
        )


def _described(malformed: Sequence[_Malformed]) -> str:
    ((reason, times),) = Counter(row.reason for row in malformed).most_common(1)
    return f"most often {reason} ({times:,} times), from {malformed[0].place} to {malformed[-1].place}"
