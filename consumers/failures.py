"""Which failure ends the process with which exit code."""

from consumers.cluster import ClusterError, TopicsError
from consumers.dead_letter_limits import TooManyDeadLettersError
from consumers.demo.stage import DemoError
from consumers.exit_codes import ExitCode
from consumers.factor_training import FactorError
from consumers.health import HealthServerError
from consumers.offsets import SourceError
from consumers.records import GapError
from consumers.settings_sources import SettingsError
from consumers.tenure import StoreSupersededError
from producers.broker_artifacts import BrokerError
from producers.record_producer import DeliveryError
from producers.sink import FencedError, SinkError
from producers.tables import DatasetError
from recommender.store import StoreError, StoreFullError, StoreMismatchError, StoreRestoredError

_CODES: tuple[tuple[type[Exception], ExitCode], ...] = (
    (SettingsError, ExitCode.USAGE),
    (DatasetError, ExitCode.USAGE),
    (FactorError, ExitCode.USAGE),
    (HealthServerError, ExitCode.USAGE),
    (TopicsError, ExitCode.TOPICS),
    (FencedError, ExitCode.FENCED),
    (TooManyDeadLettersError, ExitCode.DEAD_LETTERS),
    (ClusterError, ExitCode.KAFKA),
    (SourceError, ExitCode.KAFKA),
    (SinkError, ExitCode.KAFKA),
    (BrokerError, ExitCode.KAFKA),
    (DemoError, ExitCode.CHECK_FAILED),
    (DeliveryError, ExitCode.KAFKA),
    (GapError, ExitCode.GAP),
    (StoreRestoredError, ExitCode.GAP),
    (StoreSupersededError, ExitCode.SUPERSEDED),
    (StoreFullError, ExitCode.DISK_FULL),
    (StoreMismatchError, ExitCode.STORE_MISMATCH),
    (StoreError, ExitCode.STORE),
)


def exit_code_of(error: BaseException) -> ExitCode:
    """The code of a failure; `INTERNAL` where it is none that we know, and its traceback belongs into the log."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return ExitCode.INTERRUPTED if isinstance(error, KeyboardInterrupt) else ExitCode.INTERNAL
