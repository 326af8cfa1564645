"""Structured logs on standard error: lines for people on a terminal, JSON otherwise.

- No value of a secret is ever written, and tracebacks show no local variables.
- Who a user is appears at debug alone: everything from info upwards loses the keys of `USER_KEYS`.
- What libraries log through `logging`, from warning upwards, comes out in the same form.
"""

import logging
import sys
from collections.abc import Mapping
from typing import Any, TextIO

import structlog
from pydantic import SecretStr
from structlog.typing import EventDict, Processor, WrappedLogger

from consumers.settings_sections import LogSettings

HIDDEN = "***"
USER_KEYS = frozenset({"user", "users", "user_id", "user_ids", "key", "keys"})
"""Under these keys a log line names users (a record's key is its user's id)."""

_FORMATTER = structlog.stdlib.ProcessorFormatter


def configure_logs(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Set up logging for the whole process; `stream` is standard error if not given."""
    stream = stream or sys.stderr
    is_console = settings.format == "console" or (settings.format == "auto" and stream.isatty())
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        without_users,
        without_secrets,
    ]
    shown = _console(stream) if is_console else _json()
    structlog.configure(
        processors=[*shared, *shown],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_FORMATTER(foreign_pre_chain=shared, processors=[_FORMATTER.remove_processors_meta, *shown]))
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)


def without_users(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Drop what names users, except at debug."""
    if event.get("level") == "debug":
        return event
    return {key: value for key, value in event.items() if key not in USER_KEYS}


def without_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace secrets, however deep in mappings and sequences."""
    return {key: _redacted(value) for key, value in event.items()}


def _redacted(value: Any) -> Any:
    match value:
        case SecretStr():
            return HIDDEN
        case Mapping():
            return {key: _redacted(entry) for key, entry in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_redacted(entry) for entry in value]
    return value


def _console(stream: TextIO) -> list[Processor]:
    # The renderer's default shows the local variables of every frame: passwords are among them.
    plain = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=plain)]


def _json() -> list[Processor]:
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
