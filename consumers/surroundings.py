"""What watches a worker: its metrics, its health, its watchdog, and whether it is to stop."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from consumers.exit_codes import ExitCode
from consumers.health import Health
from consumers.metrics import Metrics
from consumers.watchdog import Watchdog


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What watches the worker."""

    metrics: Metrics
    health: Health
    watchdog: Watchdog
    clock_ms: Callable[[], int]
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set once the worker is to stop."""

    def alive(self) -> None:
        """What is being done may take long, and is getting on."""
        self.watchdog.beat()
        self.health.beat()

    def wait_for_store(self) -> None:
        """Stay alive, not ready, while the store is asked again."""
        self.alive()
        self.health.ready(False, "the store is away")

    def wait_unless_stopping(self) -> None:
        """The same where nothing but the end of the process can be come to: there is no batch in hand.

        Raises:
            SystemExit: the worker is to stop.
        """
        self.wait_for_store()
        self._leave_if_stopping()

    def go_on_unless_stopping(self) -> None:
        """Stay alive where a batch is given up rather than waited with.

        Raises:
            SystemExit: the worker is to stop.
        """
        self.alive()
        self._leave_if_stopping()

    def _leave_if_stopping(self) -> None:
        if self.stopping.is_set():
            raise SystemExit(ExitCode.OK)
