"""The Qdrant double as a process of its own, so that several workers share one, and it can be killed."""

import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from producers.broker_process import bound_to_parent

PROGRAM = Path(__file__).with_name("qdrant_double.py")


class QdrantProcess:
    """A double over the collections in a folder; `start` again after `kill` serves what it held on the same port.

    `options` are further ones of the program, such as `--api-key`.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = 0
        self._command = [*bound_to_parent(), sys.executable, str(PROGRAM), "--folder", str(folder), *options]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Of the process that serves."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> Self:
        """Return when it serves."""
        command = [*self._command, "--port", str(self.port)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(PROGRAM.parent), *sys.path])}
        self._process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        return self

    def kill(self) -> None:
        """End it at once; what it acknowledged stays."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
