"""Workers that wait, loaded, for their start; and what the processes of a trial were seen to use."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

import psutil
from service_process import WorkerProcess

from producers.broker_process import bound_to_parent

PROGRAM = Path(__file__).with_name("warm_worker.py")
SAMPLE_INTERVAL_S = 0.5
LAST_WORDS_CHARS = 800
DELIVERIES = "deliveries.txt"


class ChaosWorker(WorkerProcess):
    """A worker that can be loaded long before it starts; its deliveries are counted in its folder.

    `build` is what `warm_worker.py` is told.
    """

    def __init__(self, variables: Mapping[str, str], folder: Path, *arguments: str, build: str) -> None:
        super().__init__(variables, folder, *arguments)
        program = [*bound_to_parent(), sys.executable, str(PROGRAM), str(folder / DELIVERIES), build]
        self._command = [*program, "run", *arguments]
        self._begun_s = 0.0
        self.was_begun = False
        """Whether it was told to begin, and its end was not seen yet."""

    @property
    def begun(self) -> bool:
        """Whether it runs and was told to begin."""
        return self.running and self.was_begun

    def load(self) -> Self:
        """Start the process, up to where the command begins; returns at once."""
        if not self.running:
            self._let_go()
            self.was_begun = False
            self._launch(subprocess.PIPE)
        return self

    def start(self) -> Self:
        """Let it begin."""
        self.load()
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._let_go()
        self._begun_s = time.time()
        self.was_begun = True
        return self

    def kill(self) -> None:
        """End it at once (SIGKILL), and wait."""
        super().kill()
        self.was_begun = False
        self._let_go()

    def stop(self) -> int:
        """Ask it to end (SIGTERM), and wait; returns the exit code."""
        self.was_begun = False
        return super().stop()

    def address(self) -> str:
        """Where its health is served; empty before it is."""
        return self._address or self._find_address()

    def end(self) -> None:
        """See that it does not run."""
        if self.running:
            self.kill()
        self._let_go()

    def forget_end(self) -> None:
        """Its end was seen."""
        self.was_begun = False

    def lived_s(self) -> float:
        """How long ago it had begun when it spoke last."""
        return self._log.stat().st_mtime - self._begun_s

    def last_words(self) -> str:
        """The end of what it said."""
        return self.stderr[-LAST_WORDS_CHARS:] if self._process is not None else ""

    def _let_go(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()


def delivered(folder: Path) -> int:
    """How many records all workers of a folder were given."""
    file = folder / DELIVERIES
    lines = file.read_text(encoding="ascii").split() if file.exists() else []
    return sum(map(int, lines))


class MemoryWatch:
    """Samples the resident memory of processes while its block runs; `max_mb` is the largest seen of one."""

    def __init__(self, pids: Callable[[], Sequence[int]]) -> None:
        self.max_mb = 0.0
        self._pids = pids
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(SAMPLE_INTERVAL_S):
            for pid in self._pids():
                self.max_mb = max(self.max_mb, resident_mb(pid))


def resident_mb(pid: int) -> float:
    """Resident memory of a process in MB; 0 when it has ended."""
    try:
        return float(psutil.Process(pid).memory_info().rss) / 1e6
    except psutil.Error:
        return 0.0
