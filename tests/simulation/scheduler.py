"""Simulated processes, one thread each, of which exactly one runs at a time, and a clock that only they move.

A process gives the baton away in `wait` and nowhere else; who is next is decided by simulated time alone, so a run is
the same every time. Actions of the world (timers, late requests) run between processes, on whichever thread is up.
"""

import heapq
import threading
from collections.abc import Callable


class Crash(BaseException):
    """The process is gone: raised out of the call it was in, and out of every call it tries afterwards."""


class Task:
    """A simulated process: what it runs, and whether it is still there."""

    def __init__(self, name: str, body: Callable[[], None]) -> None:
        self.name = name
        self.body = body
        self.baton = threading.Lock()
        self.baton.acquire()
        self.turn = -1
        self.begun = False
        self.dead = False
        self.ended = False


class Scheduler:
    """Runs tasks and actions in order of simulated time, in seconds, until `stop` or `time_limit_s`."""

    def __init__(self, time_limit_s: float) -> None:
        self.now = 0.0
        self.failure: BaseException | None = None
        self._limit_s = time_limit_s
        self._queue: list[tuple[float, int, Task | Callable[[], None]]] = []
        self._turns = 0
        self._tasks: list[Task] = []
        self._running: Task | None = None
        self._main = threading.Lock()
        self._main.acquire()
        self.stopped = False

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Run an action at a time; it must not wait."""
        self._push(when, action)

    def start(self, task: Task, delay_s: float = 0.0) -> None:
        """Let a task begin."""
        self._tasks.append(task)
        self._schedule(task, self.now + delay_s)
        threading.Thread(target=self._thread, args=(task,), name=task.name, daemon=True).start()

    def wait(self, seconds: float) -> None:
        """Let time pass for the running task, and others run meanwhile.

        Raises:
            Crash: the task was killed.
        """
        task = self._running
        if task is None or task.dead:
            raise Crash
        self._schedule(task, self.now + seconds)
        following = self._following()
        if following is not task:
            self._give(following)
            task.baton.acquire()
        self._running = task
        if task.dead:
            raise Crash

    def kill(self, task: Task) -> None:
        """End a task: wherever it waits, it goes no further."""
        if not task.dead and not task.ended:
            task.dead = True
            if task is not self._running:
                self._schedule(task, self.now)

    def stop(self) -> None:
        """Let nothing happen any more."""
        self.stopped = True

    def run(self) -> None:
        """Run until stopped; afterwards every task has ended.

        Raises:
            BaseException: what a task or action raised that was none of its business to raise.
        """
        self._give(self._following())
        self._main.acquire()
        self.stopped = True
        for task in self._tasks:
            if not task.ended:
                task.dead = True
                task.baton.release()
                self._main.acquire()
        if self.failure is not None:
            raise self.failure

    def _push(self, when: float, entry: Task | Callable[[], None]) -> int:
        self._turns += 1
        heapq.heappush(self._queue, (when, self._turns, entry))
        return self._turns

    def _schedule(self, task: Task, when: float) -> None:
        task.turn = self._push(when, task)

    def _following(self) -> Task | None:
        """Whose turn it is next, after all actions that are due before; None: the run is over."""
        running, self._running = self._running, None
        while self._queue and not self.stopped:
            when, turn, entry = heapq.heappop(self._queue)
            if when > self._limit_s:
                break
            if isinstance(entry, Task):
                if entry.turn == turn and not entry.ended:
                    self.now = when
                    return entry
                continue
            self.now = when
            try:
                entry()
            except BaseException as error:  # noqa: BLE001  # handed to whoever called `run`
                self.failure = self.failure or error
                self.stopped = True
        self._running = running
        return None

    def _give(self, task: Task | None) -> None:
        (self._main if task is None else task.baton).release()

    def _thread(self, task: Task) -> None:
        task.baton.acquire()
        self._running = task
        try:
            if not task.dead:
                task.begun = True
                task.body()
        except Crash:
            pass
        except BaseException as error:  # noqa: BLE001  # handed to whoever called `run`
            self.failure = self.failure or error
            self.stopped = True
        task.ended = True
        self._running = None
        self._give(self._following())
