"""Every failure ends the process with a code that says what to do about it."""

import importlib
import pkgutil
from collections.abc import Iterator

import pytest

import consumers
import producers
import recommender
import schemas
from consumers.cards.fetching import FetchError
from consumers.cards.posters import PosterError
from consumers.cluster import ClusterError, TopicsError
from consumers.evaluation_plot import PlotError
from consumers.exit_codes import ExitCode
from consumers.explained_lists import NotExplainedError
from consumers.failures import _CODES, exit_code_of
from consumers.offsets import SourceError
from consumers.records import GapError
from consumers.settings_sources import SettingsError
from producers.broker_process import PortTakenError
from producers.sink import FencedError, SinkError, TransactionAbortedError
from recommender.store import (
    StoreBusyError,
    StoreError,
    StoreFullError,
    StoreMismatchError,
    StoreRestoredError,
    StoreUnavailableError,
)
from schemas.reasons import MalformedRecordError
from schemas.request_errors import RequestError

END_NO_COMMAND = {MalformedRecordError, RequestError, FetchError, PosterError, NotExplainedError, PlotError}
"""Each is dealt with where it arises: a dead letter, an error reply, a drawn tile, a refusal in the command's words."""


def exceptions_of_ours() -> Iterator[type[Exception]]:
    """Every exception class that is defined in the four packages."""
    for package in (schemas, recommender, producers, consumers):
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if info.name.endswith("__main__"):
                continue
            module = importlib.import_module(info.name)
            for kind in vars(module).values():
                if isinstance(kind, type) and issubclass(kind, Exception) and kind.__module__ == info.name:
                    yield kind


def test_every_failure_of_ours_has_a_code() -> None:
    """Law: whatever class we raise, its end is no internal error."""
    ours = set(exceptions_of_ours())
    known = tuple(kind for kind, _ in _CODES)
    assert {StoreError, GapError, SinkError} <= ours
    assert [kind.__name__ for kind in ours - END_NO_COMMAND if not issubclass(kind, known)] == []


def test_no_code_is_hidden_behind_a_more_general_one() -> None:
    """Law: the first match counts, so a class stands before those it derives from."""
    kinds = [kind for kind, _ in _CODES]
    hidden = [(later, kind) for at, kind in enumerate(kinds) for later in kinds[at + 1 :] if issubclass(later, kind)]
    assert hidden == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SettingsError(["kafka.url: what?"]), ExitCode.USAGE),
        (TopicsError(), ExitCode.TOPICS),
        (ClusterError(), ExitCode.KAFKA),
        (SourceError(), ExitCode.KAFKA),
        (SinkError(), ExitCode.KAFKA),
        (TransactionAbortedError(), ExitCode.KAFKA),
        (PortTakenError(), ExitCode.KAFKA),
        (FencedError(), ExitCode.FENCED),
        (GapError(), ExitCode.GAP),
        (StoreRestoredError(), ExitCode.GAP),
        (StoreFullError(), ExitCode.DISK_FULL),
        (StoreMismatchError(), ExitCode.STORE_MISMATCH),
        (StoreUnavailableError("away"), ExitCode.STORE),
        (StoreBusyError(), ExitCode.STORE),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED),
        (KeyError("anything else"), ExitCode.INTERNAL),
    ],
)
def test_the_code_of_a_failure(error: BaseException, code: ExitCode) -> None:
    """Law: supervisors tell by the code whether a restart can help."""
    assert exit_code_of(error) is code
