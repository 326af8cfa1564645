"""The process a worker runs in, as seen by what it calls: every call takes time, and may be the last one."""

import random
from collections.abc import Callable

from decisions import Decisions, Fault
from scheduler import Crash, Scheduler, Task

BEFORE = ("pause", "replaced", "crash")
AFTER = ("pause_after", "crash_after")
OWN_RATES = {"write": 8.0, "flush": 5.0, "send_offsets": 5.0, "commit": 5.0, "init_transactions": 0.5}
"""How much likelier than elsewhere a call's own faults are: those that matter most are few among many polls."""


class Host:
    """One incarnation of the worker of a slot."""

    def __init__(self, slot: int, incarnation: int, scheduler: Scheduler, decisions: Decisions) -> None:
        self.slot = slot
        self.name = f"w{slot}.{incarnation}"
        self.scheduler = scheduler
        self.dice = random.Random(decisions.seed * 1009 + slot * 101 + incarnation)  # noqa: S311  # no secret
        self.frozen = False
        self.task: Task | None = None
        self.on_freeze: list[Callable[[float], None]] = []
        self.on_replaced: Callable[[], None] = lambda: None
        self.tell: Callable[[str], None] = lambda _: None
        self._decisions = decisions

    @property
    def gone(self) -> bool:
        """Whether the process is no more."""
        return self.task is None or self.task.dead or self.task.ended

    @property
    def begun(self) -> bool:
        """Whether it was more than a plan."""
        return self.task is not None and self.task.begun

    def enter(self, call: str, *kinds: str) -> Fault | None:
        """Begin a call: others get ahead, and something may happen to the process or to this call."""
        if self.gone:
            raise Crash
        fault = self._decisions.at_call(self.slot, (kinds, OWN_RATES.get(call, 2.0)), (BEFORE + AFTER, 0.4))
        if fault is not None:
            self.tell(f"{call}: {fault.kind} {fault.amount}")
            if fault.kind in BEFORE:
                self._strike(fault)
        self.scheduler.wait(0.001 * 60 ** self.dice.random())
        return fault

    def leave(self, fault: Fault | None) -> None:
        """End a call whose effect is there, before its answer is."""
        if fault is not None and fault.kind in AFTER:
            self._strike(fault)

    def _strike(self, fault: Fault) -> None:
        if fault.kind.startswith("crash"):
            self.die()
        else:
            if fault.kind == "replaced":
                self.on_replaced()
            self.freeze(seconds_of(fault))

    def die(self) -> None:
        """Kill the process in the middle of its call."""
        assert self.task is not None
        self.task.dead = True
        raise Crash

    def freeze(self, seconds: float) -> None:
        """Stop the whole process for a while, its heartbeats with it."""
        self.frozen = True
        for tell in self.on_freeze:
            tell(seconds)
        self.scheduler.wait(seconds)
        self.frozen = False


def seconds_of(fault: Fault) -> float:
    """How long something takes that goes wrong: 0.3 to 12 s, mostly short."""
    return float(0.3 * 40**fault.amount)
