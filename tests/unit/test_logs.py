"""Logs: one form per stream, no secrets, no users."""

import io
import json
import logging

import pytest
import structlog
from pydantic import SecretStr

from consumers.logs import USER_KEYS, configure_logs
from consumers.settings_sections import LogSettings

CANARY = "hunter2-do-not-print"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def logged(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_lines_are_json_where_no_terminal_is() -> None:
    """Law: one JSON object per line with event, level and UTC time, whatever the values are."""
    stream = io.StringIO()
    configure_logs(LogSettings(), stream)
    structlog.get_logger().info("two\nlines", count=2**70, path=object(), text="\ud800")
    (line,) = logged(stream)
    assert (line["event"], line["level"], line["count"]) == ("two\nlines", "info", 2**70)
    assert str(line["timestamp"]).endswith("Z")


def test_lines_are_for_people_on_a_terminal_unless_told_otherwise() -> None:
    """Law: auto looks at the stream; console and json do not."""
    for wanted, stream, is_json in [
        ("auto", Terminal(), False),
        ("json", Terminal(), True),
        ("console", io.StringIO(), False),
    ]:
        configure_logs(LogSettings.model_validate({"format": wanted}), stream)
        structlog.get_logger().info("started")
        assert stream.getvalue().startswith("{") == is_json
        assert "started" in stream.getvalue()


def test_only_what_reaches_the_level_is_logged() -> None:
    """Law: the level is the least that is logged, for libraries warning at least."""
    stream = io.StringIO()
    configure_logs(LogSettings(level="warning"), stream)
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")
    logging.getLogger("library").info("quiet")
    logging.getLogger("library").warning("loud, too")
    assert [line["event"] for line in logged(stream)] == ["loud", "loud, too"]


@pytest.mark.parametrize("wanted", ["json", "console"])
def test_secrets_are_not_logged(wanted: str) -> None:
    """Law: a secret is *** however deep it lies; a traceback shows no local variable."""
    stream = io.StringIO()
    configure_logs(LogSettings.model_validate({"format": wanted}), stream)
    hidden = SecretStr(CANARY)
    structlog.get_logger().info("settings", key_file=hidden, deep={"a": [hidden, (hidden,)]})
    plain = hidden.get_secret_value()
    try:
        int(f"{len(plain)} letters")
    except ValueError:
        structlog.get_logger().exception("failed")
        logging.getLogger("library").exception("failed, too")
    assert CANARY not in stream.getvalue()
    assert "***" in stream.getvalue()
    assert stream.getvalue().count("ValueError") >= 2


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_users_are_named_at_debug_alone(level: str) -> None:
    """Law: every key that names users is gone from info upwards."""
    stream = io.StringIO()
    configure_logs(LogSettings(level="debug"), stream)
    getattr(structlog.get_logger(), level)("list published", partition=3, **dict.fromkeys(USER_KEYS, "user-42"))
    (line,) = logged(stream)
    assert line["partition"] == 3
    assert ("user-42" in stream.getvalue()) == (level == "debug")
