"""Whether the store that a process opened is still the one to use, or a rebuild has put another one in its place.

- Asked at every assignment of partitions, when no answer means no start: lists of an older epoch must not follow those
  of a newer one, and a partition comes from whoever published them.
- Asked every second besides, so that a worker ends soon after the switch; there no answer changes nothing.
"""

import time
from collections.abc import Callable

import structlog

from consumers.stores.generations import Generation
from recommender.store import StoreError, StoreUnavailableError

CHECK_INTERVAL_S = 1.0

log = structlog.get_logger()


class StoreSupersededError(StoreError):
    """Another store is the current one now; a restart opens it."""


class Tenure:
    """Compares the opened generation with the current one; `current` looks it up."""

    def __init__(
        self, opened: Generation, current: Callable[[], Generation], clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._opened = opened
        self._current = current
        self._clock_s = clock_s
        self._asked_at = clock_s()

    def check(self) -> None:
        """Look it up, whatever it costs.

        Raises:
            StoreSupersededError: another generation is current.
            StoreUnavailableError: the store does not answer.
        """
        self._asked_at = self._clock_s()
        if (current := self._current()) != self._opened:
            raise StoreSupersededError(
                f"the store {self._opened.name!r} of epoch {self._opened.epoch} was replaced by {current.name!r} of "
                f"epoch {current.epoch} (`tastestream rebuild`): start again, with the settings of that one"
            )

    def check_now_and_then(self) -> None:
        """Look it up when the last time was a while ago.

        Raises:
            StoreSupersededError: another generation is current.
        """
        if self._clock_s() - self._asked_at < CHECK_INTERVAL_S:
            return
        try:
            self.check()
        except StoreUnavailableError as error:
            log.warning("whether the store is the current one could not be asked", error=str(error))
