"""What a worker asks of its process: to hear of signals, and a collector that looks less often."""

import gc
import signal
from collections.abc import Callable
from types import FrameType

from consumers.exit_codes import ExitCode

GC_ALLOCATIONS = 20_000


def on_stop_signal(act: Callable[[], None]) -> None:
    """Call `act` on SIGTERM and SIGINT from now on."""

    def handler(_number: int, _frame: FrameType | None) -> None:
        act()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handler)


def leave() -> None:
    """End the process in good order, letting go of what is open.

    Raises:
        SystemExit: always.
    """
    raise SystemExit(ExitCode.OK)


def spare_the_collector() -> None:
    """Garbage in cycles is rare here, and looking for it costs a sixth of a backlog's time: look less, at less."""
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, 20, 50)
