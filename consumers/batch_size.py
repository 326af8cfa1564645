"""How many records a step takes: what is there, and in a backlog more and more, as long as steps stay short.

A batch is never waited for, so without a backlog it is as small as the load lets it be. In a backlog larger batches
cost less per record, because a user's ratings that meet in one share a write, a search and a list.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

_GROWTH = 2.0


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """At first so many records, at most so many, and how long a step in a backlog may take."""

    first_records: int = 1_000
    max_records: int = 50_000
    target_s: float = 8.0


class BatchSize:
    """The limit of the next batch, by how the last ones went."""

    def __init__(self, limits: BatchLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._first = min(limits.first_records, limits.max_records)
        self.records = self._first
        self._taken, self._taken_at = 0, clock()

    def begin(self) -> int:
        """The limit of the batch that is polled now; the step with the one before has ended."""
        seconds = self._clock() - self._taken_at
        if self._taken < self.records:
            self.records = self._first
        elif seconds > 0:
            fitting = self.records * min(_GROWTH, self._limits.target_s / seconds)
            self.records = max(self._first, min(self._limits.max_records, int(fitting)))
        self._taken = 0
        return self.records

    def took(self, records: int) -> None:
        """So many were polled."""
        self._taken, self._taken_at = records, self._clock()
