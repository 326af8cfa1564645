"""Where the demonstration plays: a Kafka (our own, or the one named), its topics, and a worker in its own process."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient
from pydantic import SecretStr

from consumers.cluster import Cluster
from consumers.settings import Settings
from consumers.settings_mapping import topic_plan
from consumers.topics import make
from producers.broker import FAST_RECOVERY, BrokerOptions, LocalBroker
from producers.broker_process import bound_to_parent

BOOTSTRAP_VARIABLE = "KAFKA_BOOTSTRAP_SERVERS"
LIST_LENGTH = 10
BATCH_MAX_RECORDS = 200
"""Years in a minute are no stream: in larger batches there would be too few lists for the trend to be tuned by."""
HISTORY_MAX_ENTRIES = 10_000
SESSION_TIMEOUT_MS = 6_000
HEARTBEAT_INTERVAL_MS = 1_000
WORKER_STOP_TIMEOUT_S = 30.0
HTTP_TIMEOUT_S = 5.0

Progress = Callable[[str], None]


class DemoError(Exception):
    """The demonstration cannot go on."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything the demonstration plays on."""

    settings: Settings
    worker: "Worker"


class Worker:
    """`tastestream run` in a process that ends with this one."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self._settings = settings
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603  # our own program
                [*bound_to_parent(), sys.executable, "-m", "consumers", "run"],
                env={**_foreign_environment(), **_variables(settings)},
                cwd=log.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def check(self) -> None:
        """See that it still runs.

        Raises:
            DemoError: it ended; with the last lines of its log.
        """
        if (code := self._process.poll()) is not None:
            raise DemoError(f"the worker ended with exit code {code}:\n{self.log_tail()}")

    def metric(self, name: str) -> float:
        """The value of one of its metrics, labels included as Prometheus writes them; 0 where it has none.

        Raises:
            DemoError: the worker does not answer.
        """
        url = f"http://{self._settings.http.host}:{self._settings.http.port}/metrics"
        try:
            with urllib.request.urlopen(url, timeout=HTTP_TIMEOUT_S) as answer:  # loopback, http
                lines = answer.read().decode().splitlines()
        except (urllib.error.URLError, OSError) as error:
            raise DemoError(f"the worker's metrics do not answer ({error}):\n{self.log_tail()}") from error
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name + " "))

    @property
    def memory_mb(self) -> float:
        """The memory it holds now, in MB, as it tells itself."""
        return self.metric("process_resident_memory_bytes") / 1e6

    def stop(self) -> int:
        """Ask it to end, and wait; returns its exit code."""
        self._process.terminate()
        try:
            return self._process.wait(WORKER_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def end(self) -> None:
        """End it now, whatever it does."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def log_tail(self, lines: int = 15) -> str:
        """The last lines of its log."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])


@contextmanager
def stage(folder: Path | None, progress: Progress) -> Iterator[Stage]:
    """A Kafka with topics and a worker, all gone afterwards; the store stays where `folder` names a place.

    Raises:
        BrokerError, ClusterError: Kafka cannot be started or reached.
        DemoError: the worker ended at once.
    """
    with ExitStack() as stack:
        place = _place(folder, stack)
        servers = os.environ.get(BOOTSTRAP_VARIABLE)
        namespace = f"demo-{secrets.token_hex(4)}" if servers else None
        if servers is None:
            broker = LocalBroker(BrokerOptions(properties=FAST_RECOVERY), progress)
            stack.enter_context(broker)
            servers = broker.bootstrap_servers
        settings = _settings(servers, namespace, place)
        progress("making topics")
        cluster = Cluster(settings.kafka.client_config(), settings.kafka.request_timeout_s)
        cluster.check_reachable()
        specs, groups = topic_plan(settings)
        make(cluster, specs, groups, settings.topics.replication_factor)
        if namespace is not None:
            stack.callback(_remove_topics, cluster.admin, [spec.name for spec in specs])
        progress("starting a worker")
        worker = Worker(settings, place / "worker.log")
        stack.callback(worker.end)
        yield Stage(settings, worker)


def _place(folder: Path | None, stack: ExitStack) -> Path:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        return folder.absolute()
    place = Path(tempfile.mkdtemp(prefix="tastestream-demo-"))
    stack.callback(shutil.rmtree, place, ignore_errors=True)
    return place


def _settings(servers: str, namespace: str | None, place: Path) -> Settings:
    given: dict[str, Any] = {
        "instance": "demo",
        "kafka": {"bootstrap_servers": servers},
        "qdrant": {"edge_path": place / "store"},
        "catalogue": {"fallback_title": "Movie {item_id}"},
        "ranking": {"list_length": LIST_LENGTH},
        # Three users of the data set have rated more than the default keeps, and here all is compared with all.
        "limits": {"history_max_entries": HISTORY_MAX_ENTRIES, "batch_max_records": BATCH_MAX_RECORDS},
        "http": {"port": _free_port()},
        "log": {"format": "json"},
    }
    if namespace is None:
        given["topics"] = {
            "session_timeout_ms": SESSION_TIMEOUT_MS,
            "heartbeat_interval_ms": HEARTBEAT_INTERVAL_MS,
        }
    return Settings(namespace=namespace, **given)


def _variables(settings: Settings) -> dict[str, str]:
    document = settings.model_dump(exclude_unset=True)
    namespace = {} if settings.namespace is None else {"TASTESTREAM_NAMESPACE": settings.namespace}
    return {"TASTESTREAM_INSTANCE": settings.instance, **namespace} | {
        f"TASTESTREAM_{section.upper()}__{name.upper()}": _text(value)
        for section, values in document.items()
        if isinstance(values, dict)
        for name, value in values.items()
    }


def _text(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def _foreign_environment() -> dict[str, str]:
    # What the shell has set for another deployment must not reach the demonstration's worker.
    return {name: value for name, value in os.environ.items() if not name.startswith("TASTESTREAM_")}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _remove_topics(admin: AdminClient, names: list[str]) -> None:
    for future in admin.delete_topics(names).values():
        future.exception()
