"""`tastestream run` as a process of its own: started, watched from outside, stopped, killed, paused.

What it writes to standard error is kept in a file, so that nothing it says can block it or get lost.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from prometheus_client.parser import text_string_to_metric_families

from producers.broker_process import bound_to_parent

PROGRAM = (*bound_to_parent(), sys.executable, "-m", "consumers")
WAIT_S = 90.0
"""How long anything is awaited: far more than it takes on a busy machine."""
POLL_S = 0.05
PREFIX = "TASTESTREAM_"
DEFAULTS = {PREFIX + "HTTP__PORT": "0", PREFIX + "LOG__FORMAT": "json"}


def await_until(holds: Callable[[], bool], what: str, timeout_s: float = WAIT_S) -> None:
    """Return once the condition holds; fail with `what` was awaited when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"waited {timeout_s:g} s for {what}"
        time.sleep(POLL_S)


def clean_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with no settings of the service but these."""
    return {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)} | dict(variables)


class WorkerProcess:
    """One worker, killed at the end of its `with` block if it still runs.

    Args:
        variables: the settings as environment variables.
        folder: where it runs; no `.env` and no TOML file of the developer's lies there.
        arguments: further arguments of `tastestream run`.
    """

    def __init__(self, variables: Mapping[str, str], folder: Path, *arguments: str) -> None:
        self._command = [*PROGRAM, "run", *arguments]
        self._environment = clean_environment(DEFAULTS | dict(variables))
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._log = Path()
        self._address = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and self.running:
            self.kill()

    def start(self) -> Self:
        """Start it, again where it has ended; returns at once."""
        assert not self.running
        self._launch(subprocess.DEVNULL)
        return self

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def stderr(self) -> str:
        """Everything it said since its last start."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def events(self) -> list[str]:
        """The event of each line of its log, in order."""
        return [str(line["event"]) for line in self._log_lines()]

    def refusal(self) -> str:
        """The one line for people with which it ended; everything else it said is structured, and no traceback."""
        lines = [line for line in self.stderr.splitlines() if not line.startswith("{")]
        assert len(lines) == 1, f"not one line:\n{self.stderr}"
        assert lines[0].startswith("tastestream: "), lines[0]
        assert "Traceback" not in self.stderr
        return lines[0]

    def await_until(self, holds: Callable[[], bool], what: str, timeout_s: float = WAIT_S) -> Self:
        """Return once the condition holds; fail with what the worker said when it ends first, or in time."""
        deadline = time.monotonic() + timeout_s
        while not holds():
            assert self.running, f"the worker ended before {what}:\n{self.stderr[-4000:]}"
            assert time.monotonic() < deadline, f"waited {timeout_s:g} s for {what}:\n{self.stderr[-4000:]}"
            time.sleep(POLL_S)
        return self

    def await_ready(self) -> Self:
        """Return once `/readyz` says yes: partitions are assigned, and the store has caught up with them."""
        return self.await_until(lambda: self._answer("/readyz") is not None, "it is ready")

    def await_exit(self, timeout_s: float = WAIT_S) -> int:
        """Wait for its end; returns the exit code, negative for a signal."""
        assert self._process is not None
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the worker did not end:\n{self.stderr[-4000:]}") from None

    def stop(self) -> int:
        """Ask it to end (SIGTERM), and wait; returns the exit code."""
        self._signal(signal.SIGTERM)
        return self.await_exit()

    def kill(self) -> None:
        """End it at once (SIGKILL), and wait."""
        self._signal(signal.SIGKILL)
        self.await_exit()

    def kill_after(self, seconds: float) -> None:
        """End it at once when this time has passed, or let it end by itself before."""
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        self.kill()

    def pause(self) -> None:
        """Stop its clock (SIGSTOP), as a suspended machine would."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self._signal(signal.SIGCONT)

    def metrics(self) -> str:
        """All that `/metrics` says; nothing when the worker does not answer yet."""
        return self._answer("/metrics") or ""

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels; 0 where there is none or the worker does not answer yet."""
        families = text_string_to_metric_families(self.metrics())
        samples = (sample for family in families for sample in family.samples)
        return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())

    def _launch(self, stdin: int) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._log = self._folder / f"worker-{time.monotonic_ns()}.log"
        self._address = ""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self._folder, env=self._environment, stdin=stdin, stderr=log
            )

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _answer(self, path: str) -> str | None:
        address = self._address or self._find_address()
        if not address:
            return None
        try:
            with urllib.request.urlopen(address + path, timeout=WAIT_S) as answer:  # noqa: S310 - http on loopback
                return str(answer.read().decode())
        except (urllib.error.URLError, ConnectionError):
            return None

    def _find_address(self) -> str:
        found = [line for line in self._log_lines() if {"host", "port"} <= line.keys()]
        self._address = f"http://{found[0]['host']}:{found[0]['port']}" if found else ""
        return self._address

    def _log_lines(self) -> list[dict[str, object]]:
        # The last line may be half written.
        lines = [line for line in self.stderr.split("\n")[:-1] if line.startswith("{")]
        return [json.loads(line) for line in lines]
