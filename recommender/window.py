"""A sliding window: the last so many rows of named columns, in one structured array that is written round and round."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.void]


class Window:
    """Appending k rows costs O(k) however long the window is; nothing is added up beforehand, so nothing drifts."""

    def __init__(self, length: int, columns: list[tuple[Any, ...]]) -> None:
        self._kept: Rows = np.zeros(length, np.dtype(columns))
        self._appended = 0

    def __len__(self) -> int:
        return min(self._appended, len(self._kept))

    @property
    def rows(self) -> Rows:
        """The rows, shape (len(self),), in no particular order; a view that the next `append` overwrites."""
        return self._kept[: len(self)]

    @property
    def in_order(self) -> Rows:
        """A copy of the rows, oldest first."""
        return np.roll(self.rows, -(self._appended % len(self._kept)) if len(self) == len(self._kept) else 0)

    def blank(self, n: int) -> Rows:
        """Rows of zeros to fill in and append."""
        return np.zeros(n, self._kept.dtype)

    def append(self, rows: Rows) -> None:
        """Take rows in, oldest first, in place of the oldest ones."""
        rows = rows[-len(self._kept) :]
        at = self._appended % len(self._kept)
        room = min(len(rows), len(self._kept) - at)
        self._kept[at : at + room] = rows[:room]
        self._kept[: len(rows) - room] = rows[room:]
        self._appended += len(rows)
