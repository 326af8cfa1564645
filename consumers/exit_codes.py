"""Every exit code of `tastestream`, with the line that the README and `--help` print for it."""

from enum import IntEnum
from typing import Self


class ExitCode(IntEnum):
    """Why the process ended."""

    description: str

    def __new__(cls, code: int, description: str) -> Self:
        """A code with its description, one line."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.description = description
        return member

    OK = 0, "done, or stopped as asked (SIGTERM)"
    CHECK_FAILED = 1, "a check ran and failed: what was verified does not match"
    USAGE = 2, "the command line or a setting is wrong"
    KAFKA = 3, "Kafka cannot be reached, refuses us, or is too old"
    TOPICS = 4, "a topic is missing, or not as it must be"
    STORE = 5, "the store cannot be reached or used, or Qdrant is too old"
    STORE_MISMATCH = 6, "the store was made with other settings, or of topics with another number of partitions"
    DISK_FULL = 7, "the disk is full, or below its reserve"
    GAP = 8, "events that the store lacks are no longer in the topic, or the store was restored"
    FENCED = 9, "another process runs with the same instance name"
    STEP_TIMEOUT = 10, "a step exceeded its time limit; a restart replays it"
    DEAD_LETTERS = 11, "too many dead letters: the limit stopped the worker"
    SUPERSEDED = 12, "a rebuild put another store in place of this one; a restart goes on with it"
    INTERNAL = 70, "an internal error; the log has the traceback"
    INTERRUPTED = 130, "interrupted with Ctrl-C"


def exit_code_lines() -> list[str]:
    """The codes with their descriptions, one line each, aligned."""
    return [f"{code.value:>3}  {code.description}" for code in ExitCode]
