"""Become another program that dies with the process that started it: `broker_launch.py PARENT_PID PROGRAM ARGUMENT...`.

Run by the interpreter as a script, on Linux only, between fork and exec. A script of its own, because the same done in
Python code after the fork (`preexec_fn`) may deadlock in a program with threads.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def launch(parent_pid: int, command: list[str]) -> None:
    """Replace this process by `command`, to be killed when the parent ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == parent_pid:  # otherwise the parent died before the line above
        os.execv(command[0], command)  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    launch(int(sys.argv[1]), sys.argv[2:])
