"""A step that never ends must not hold its partitions for ever."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from consumers.watchdog import Watchdog

SETTING = "limits.step_timeout_s"
PATIENCE_S = 10.0


@contextmanager
def running(watchdog: Watchdog) -> Iterator[Watchdog]:
    watchdog.start()
    try:
        yield watchdog
    finally:
        watchdog.stop()


class Ended:
    """In place of ending the process: remembers that it was to be ended, and why."""

    def __init__(self) -> None:
        self.settings: list[str] = []
        self._event = threading.Event()

    def __call__(self, setting: str) -> None:
        self.settings.append(setting)
        self._event.set()

    def came(self) -> bool:
        return self._event.wait(PATIENCE_S)


def test_silence_beyond_the_limit_ends_the_process() -> None:
    """Law: without a beat the end comes, once, and names the setting whose limit it was."""
    ended = Ended()
    watchdog = Watchdog(0.01, SETTING, ended)
    with running(watchdog):
        assert ended.came()
        watchdog._thread.join(PATIENCE_S)
    assert ended.settings == [SETTING]


def test_beats_keep_the_process_alive() -> None:
    """Law: it is silence that counts, not how long the process runs; with the last beat the limit begins."""
    ended = Ended()
    limit_s = 1.0
    with running(Watchdog(limit_s, SETTING, ended)) as watchdog:
        until = time.monotonic() + 1.5 * limit_s
        while time.monotonic() < until:
            watchdog.beat()
            assert not ended._event.wait(limit_s / 20)
        assert ended.came()


def test_a_stopped_watchdog_ends_nothing() -> None:
    """Law: once it is stopped no thread is left that could end the process."""
    ended = Ended()
    with running(Watchdog(0.2, SETTING, ended)) as watchdog:
        pass
    assert not watchdog._thread.is_alive()
    assert ended.settings == []


def test_the_time_before_the_start_does_not_count() -> None:
    """Law: the limit is one of a step, not of what was made ready before the first."""
    ended = Ended()
    watchdog = Watchdog(5.0, SETTING, ended)
    watchdog._last_beat -= 60
    with running(watchdog):
        assert not ended._event.wait(0.5)


def test_it_never_keeps_the_process_from_ending() -> None:
    """Law: its thread is a daemon."""
    assert Watchdog(1.0, SETTING)._thread.daemon
