"""A client logs while its own error is on its way to the caller; neither may be lost."""

import logging
from typing import Any

import pytest
from confluent_kafka import KafkaException

from producers.client_log import ClientLog


class Logger(logging.Logger):
    """Fails as the interpreter does where an error is on its way, once."""

    def __init__(self, failure: Exception | None) -> None:
        super().__init__("test")
        self.failure = failure
        self.lines: list[str] = []

    def log(self, level: int, msg: object, *parts: object, **_: Any) -> None:
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure
        self.lines.append(f"{level} {str(msg) % parts}")


def on_its_way(cause: BaseException | None) -> SystemError:
    """What the interpreter makes of it."""
    error = SystemError("returned a result with an exception set")
    error.__cause__ = cause
    return error


def test_a_line_is_written() -> None:
    """Law: with its level and its parts."""
    logger = Logger(None)
    ClientLog(logger).log(30, "%s is %d", "a", 1)
    assert logger.lines == ["30 a is 1"]


def test_an_error_on_its_way_arrives_and_the_line_is_written() -> None:
    """Law: the caller gets the client's own error, not what the interpreter makes of it."""
    reason = KafkaException("fenced")
    logger = Logger(on_its_way(reason))
    with pytest.raises(KafkaException) as raised:
        ClientLog(logger).log(30, "%s", "fenced")
    assert raised.value is reason
    assert logger.lines == ["30 fenced"]


def test_an_error_of_the_interpreter_is_none_of_ours() -> None:
    """Law: without a cause it goes on as it is."""
    with pytest.raises(SystemError):
        ClientLog(Logger(on_its_way(None))).log(30, "line")
