"""What a worker asks of its process: to hear of signals, and a collector that looks less often."""

import gc
import signal
from collections.abc import Callable
from threading import Event
from types import FrameType

from consumers.exit_codes import ExitCode

GC_ALLOCATIONS = 20_000


def on_stop_signal(act: Callable[[], None]) -> None:
    """Call `act` on SIGTERM and SIGINT from now on."""

    def handler(_number: int, _frame: FrameType | None) -> None:
        act()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handler)


def leave_on_stop_signal() -> Event:
    """End the process in good order on SIGTERM and SIGINT, letting go of what is open, until others act on them.

    Returns:
        Whether one came: raised inside a callback of a client's, the end is printed and lost.
    """
    asked = Event()

    def leave() -> None:
        asked.set()
        raise SystemExit(ExitCode.OK)

    on_stop_signal(leave)
    return asked


def spare_the_collector() -> None:
    """Garbage in cycles is rare here, and looking for it costs a sixth of a backlog's time: look less, at less."""
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, 20, 50)
