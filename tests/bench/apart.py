"""Work in a process of its own, which has a memory of its own to be looked at."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import ParamSpec, TypeVar

from consumers.logs import configure_logs
from consumers.settings_sections import LogSettings

Given = ParamSpec("Given")
Answer = TypeVar("Answer")


def apart(do: Callable[Given, Answer], *given: Given.args, **named: Given.kwargs) -> Answer:
    """What `do` returns, done in a process of its own, so that nothing of it stays in this one's memory."""
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=_begin) as pool:
        return pool.submit(do, *given, **named).result()


def _begin() -> None:
    configure_logs(LogSettings(level="error"))
