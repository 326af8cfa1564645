"""Ends the process when a step takes longer than its limit: a call that never returns must not hold a partition."""

import os
import threading
import time
from collections.abc import Callable

import structlog

from consumers.exit_codes import ExitCode

_CHECK_INTERVAL_S = 0.2


def _end_process(setting: str) -> None:
    structlog.get_logger().error("a step exceeded its time limit; a restart replays", setting=setting)
    os._exit(ExitCode.STEP_TIMEOUT)


class Watchdog:
    """A thread that calls `on_timeout` with the setting's name once no `beat` came for `limit_s`."""

    def __init__(self, limit_s: float, setting: str, on_timeout: Callable[[str], None] = _end_process) -> None:
        self._limit_s = limit_s
        self._setting = setting
        self._on_timeout = on_timeout
        self._stopped = threading.Event()
        self._last_beat = time.monotonic()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self.beat()
        self._thread.start()

    def beat(self) -> None:
        """The step is getting on."""
        self._last_beat = time.monotonic()

    def stop(self) -> None:
        """Stop watching."""
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(min(_CHECK_INTERVAL_S, self._limit_s)):
            if time.monotonic() - self._last_beat > self._limit_s:
                self._on_timeout(self._setting)
                return
