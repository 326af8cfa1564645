"""A real Apache Kafka broker on this machine, started and stopped from Python.

A broker lives in one folder, which is all it writes to besides the shared cache of jars:

    server.properties   written anew at every start, for Kafka and for the reader
    ports.json          the loopback ports last used, taken again while they are free
    broker.log          warnings and errors of all starts; locked while the broker runs
    data/               Kafka's own: topics, offsets, metadata

Rules:

- The folder is formatted once, aside, and renamed into place: `data/` is whole or absent.
- A broker keeps its ports while its `LocalBroker` lives, so that clients find it again after `kill` and `start`. A port
  lost in the race for free ones before that costs another attempt, not an error.
- The broker does not outlive the process that started it: see `broker_process.BrokerProcess`.
"""

import json
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from producers.broker_artifacts import KAFKA_VERSION, BrokerError, Progress, cache_folder, ensure_jars, pinned_jars
from producers.broker_config import (
    CLIENTS,
    CONTROLLER,
    FAST_RECOVERY,
    LOOPBACK,
    BrokerOptions,
    cluster_id,
    free_ports,
    new_cluster_id,
    port_is_free,
    read_ports,
    server_properties,
    write_properties,
)
from producers.broker_process import BrokerProcess, PortTakenError, java_executable, kafka_command, refuse_in_use

__all__ = ["FAST_RECOVERY", "BrokerError", "BrokerOptions", "LocalBroker", "PortTakenError"]

START_ATTEMPTS = 4
POLL_S = 0.05
ANSWER_TIMEOUT_S = 1.0
FORMAT_TIMEOUT_S = 60.0


class LocalBroker:
    """One broker on free loopback ports; a context manager that starts and stops it. Not thread-safe.

    Start it in a thread that outlives it: on Linux the broker is killed when that thread ends.
    """

    def __init__(self, options: BrokerOptions | None = None, progress: Progress = lambda _: None) -> None:
        self._options = options or BrokerOptions()
        self._progress = progress
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._ports: dict[str, int] = {}
        self._process: BrokerProcess | None = None
        self._command: list[str | Path] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def folder(self) -> Path:
        """Where the broker lives.

        Raises:
            BrokerError: it has no folder of its own choosing and was not started.
        """
        if self._options.folder:
            return self._options.folder.absolute()
        if self._temporary is None:
            raise BrokerError("the broker has no folder: start it first")
        return Path(self._temporary.name)

    @property
    def running(self) -> bool:
        """Whether the broker's process lives."""
        return self._process is not None and self._process.running

    @property
    def pid(self) -> int:
        """The broker's process id.

        Raises:
            BrokerError: it was not started, or stopped.
        """
        if self._process is None:
            raise BrokerError("the broker has no process: start it first")
        return self._process.pid

    @property
    def bootstrap_servers(self) -> str:
        """Where plain clients connect: `host:port`."""
        return self.address(CLIENTS)

    def address(self, listener: str) -> str:
        """Where clients of one of the `listeners` connect: `host:port`.

        Raises:
            BrokerError: the broker was not started, or has no such listener.
        """
        if listener not in self._ports:
            raise BrokerError(f"the broker has no address for {listener}: start it first, with that listener")
        return f"{LOOPBACK}:{self._ports[listener]}"

    def start(self) -> None:
        """Return when the broker answers; after `kill` or `stop` it has the data and, if it can, the ports it had.

        Raises:
            PortTakenError: the ports its clients know were taken meanwhile.
            BrokerError: no Java, no jars and no network, already running, died (with its last lines), or too slow.
        """
        if self.running:
            raise BrokerError(f"the broker is already running as process {self.pid}")
        java = java_executable()
        jars = ensure_jars(cache_folder() / f"kafka-{KAFKA_VERSION}", pinned_jars(), self._progress)
        self._progress(f"starting Apache Kafka {KAFKA_VERSION}")
        self._open_folder()
        self._command = kafka_command(java, jars, self._options.heap_mb, self.folder / "tmp")
        if self._ports:
            self._start_on(self._ports)
        else:
            self._start_first()

    def stop(self) -> None:
        """End the broker in order, by force when it takes too long, and remove a temporary folder."""
        try:
            if self._process and self.running:
                self._process.terminate()
                self._process.exit_code_within(self._options.stop_timeout_s)
        finally:
            self.kill()
            self._remove_temporary()

    def kill(self) -> None:
        """End the process as a power cut would; `start` resumes on the same ports and data."""
        if self._process:
            self._process.kill()
            self._process = None

    def _open_folder(self) -> None:
        if not self._options.folder and not self._temporary:
            self._temporary = tempfile.TemporaryDirectory(prefix="tastestream-kafka-", ignore_cleanup_errors=True)
        try:
            (self.folder / "tmp").mkdir(parents=True, exist_ok=True)
            refuse_in_use(self._log)
        except OSError as error:
            raise BrokerError(f"cannot write to the broker's folder {self.folder} ({error.strerror})") from error

    def _remove_temporary(self) -> None:
        if self._temporary:
            self._temporary.cleanup()
            self._temporary, self._ports = None, {}

    def _start_first(self) -> None:
        try:
            self._start_on_free_ports()
        except BaseException:
            self._remove_temporary()
            raise

    def _start_on_free_ports(self) -> None:
        lost_race = None
        for ports in self._candidate_ports():
            try:
                return self._start_on(ports)
            except PortTakenError as error:
                lost_race = error
        raise BrokerError(f"lost the race for free ports {START_ATTEMPTS} times: start again") from lost_race

    def _candidate_ports(self) -> Iterator[dict[str, int]]:
        names = [CLIENTS, CONTROLLER, *self._options.listeners]
        recorded = read_ports(self.folder / "ports.json")
        if recorded.keys() == set(names) and all(map(port_is_free, recorded.values())):
            yield recorded
        for _ in range(START_ATTEMPTS):
            yield free_ports(names)

    def _start_on(self, ports: dict[str, int]) -> None:
        try:
            self._format_once(ports)
            write_properties(server_properties(ports, self._options), self.folder / "server.properties")
            self._await_answer(self._run("kafka.Kafka", "server.properties"), ports[CLIENTS])
        except BaseException:
            self.kill()
            raise
        self._ports = ports
        (self.folder / "ports.json").write_text(json.dumps(ports), encoding="ascii")

    def _format_once(self, ports: dict[str, int]) -> None:
        data, unformatted = self.folder / "data", self.folder / "data.new"
        if data.exists():
            return
        shutil.rmtree(unformatted, ignore_errors=True)
        settings = self.folder / "format.properties"
        write_properties(server_properties(ports, self._options, data=unformatted.name), settings)
        tool = ["kafka.tools.StorageTool", "format", "--standalone", "-t", new_cluster_id(), "-c", settings.name]
        if (process := self._run(*tool)).exit_code_within(FORMAT_TIMEOUT_S) != 0:
            raise process.failure("cannot format the folder")
        settings.unlink()
        unformatted.rename(data)

    def _run(self, *arguments: str) -> BrokerProcess:
        self._process = BrokerProcess([*self._command, *arguments], self.folder, self._log)
        return self._process

    @property
    def _log(self) -> Path:
        return self.folder / "broker.log"

    def _await_answer(self, process: BrokerProcess, port: int) -> None:
        deadline = time.monotonic() + self._options.start_timeout_s
        cluster = cluster_id(self.folder / "data" / "meta.properties")
        while not _answers(port, cluster):
            if process.exit_code_within(POLL_S) is not None:
                raise process.failure("ended while starting")
            if time.monotonic() > deadline:
                raise process.failure(f"did not answer within {self._options.start_timeout_s:.0f} s")


def _answers(port: int, cluster: str) -> bool:
    """Whether the cluster answers on the port: ours, not one that took the port before us."""
    try:
        socket.create_connection((LOOPBACK, port), ANSWER_TIMEOUT_S).close()  # quieter than a client that is refused
        admin = AdminClient({"bootstrap.servers": f"{LOOPBACK}:{port}", "log_level": 0})
        return bool(admin.list_topics(timeout=ANSWER_TIMEOUT_S).cluster_id == cluster)
    except (OSError, KafkaException):
        return False
