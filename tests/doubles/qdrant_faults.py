"""Faults on demand for the Qdrant double, and the count of what was called.

A method is called by its name in the Points service (`UpdateBatch`), by service and name elsewhere (`Collections.Get`).
Of several faults planned for one method, each call meets the oldest that is left.
"""

import copy
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from grpc import ServicerContext, StatusCode
from qdrant_refusals import Refused

Kind = Literal[
    "unavailable",  # not applied; UNAVAILABLE
    "deadline",  # not applied; DEADLINE_EXCEEDED, at once
    "cancelled",  # not applied; CANCELLED "Timeout expired", as a cluster says it
    "internal",  # not applied; INTERNAL, as a cluster that lost a replica says it
    "resource_exhausted",  # not applied; RESOURCE_EXHAUSTED, with retry-after where one is given
    "hang",  # not applied, not answered, until the caller gives up, `release()` or stop
    "lost_answer",  # applied; UNAVAILABLE
    "torn",  # of an UpdateBatch only the first operation is applied; UNAVAILABLE
    "delayed",  # UNAVAILABLE now, applied at `release()`
]
Answer = Callable[[Any], Any]
Hook = Callable[[Any], object]

HANG_LIMIT_S = 120.0

_REFUSALS: dict[Kind, tuple[StatusCode, str]] = {
    "unavailable": (StatusCode.UNAVAILABLE, "the node is going down"),
    "deadline": (StatusCode.DEADLINE_EXCEEDED, "Timeout: Operation 'update' timed out after 5s"),
    "cancelled": (StatusCode.CANCELLED, "Timeout expired"),
    "internal": (
        StatusCode.INTERNAL,
        "Service internal error: 1 out of 2 shards failed to apply operation",
    ),
    "resource_exhausted": (StatusCode.RESOURCE_EXHAUSTED, "Rate limiting exceeded: Write rate limit exceeded"),
    "hang": (StatusCode.CANCELLED, "the double hung until it was released"),
    "lost_answer": (StatusCode.UNAVAILABLE, "Socket closed"),
    "torn": (StatusCode.UNAVAILABLE, "Socket closed"),
    "delayed": (StatusCode.UNAVAILABLE, "Socket closed"),
}


@dataclass(slots=True)
class _Plan:
    refusal: Refused
    kind: Kind
    times: int
    skip: int


@dataclass(slots=True)
class _Standing:
    hook: Hook
    times: int | None


class Faults:
    """The faults and hooks planned for a double, and how often each method was called (`calls`)."""

    def __init__(self, served: frozenset[str]) -> None:
        self.calls: Counter[str] = Counter()
        self._served = served
        self._lock = threading.Lock()
        self._plans: defaultdict[str, list[_Plan]] = defaultdict(list)
        self._hooks: defaultdict[str, list[_Standing]] = defaultdict(list)
        self._delayed: list[Callable[[], Any]] = []
        self._hanging: set[threading.Event] = set()

    def fail_next(
        self, method: str, kind: Kind, *, times: int = 1, skip: int = 0, retry_after_s: int | None = None
    ) -> None:
        """Let `times` calls of a method fail, after `skip` calls that go through.

        `retry_after_s` (seconds) is sent as the `retry-after` metadata of a rate limit.

        Raises:
            ValueError: The method is not served, the kind is unknown or unfit for it, or a number is out of range.
        """
        self._check(method)
        if kind not in get_args(Kind) or (kind == "torn" and method != "UpdateBatch"):
            raise ValueError(f"no fault {kind!r} for {method}; there are {', '.join(get_args(Kind))}")
        if times < 1 or skip < 0:
            raise ValueError(f"times={times}, skip={skip}: let it fail at least once, after none or more calls")
        metadata = [] if retry_after_s is None else [("retry-after", str(retry_after_s))]
        with self._lock:
            self._plans[method].append(_Plan(Refused(*_REFUSALS[kind], metadata), kind, times, skip))

    def before(self, method: str, hook: Hook, *, times: int | None = 1) -> None:
        """Call `hook(request)` before each of the next `times` calls of a method (None: always) is applied.

        It runs outside every lock, so it may itself write through another client, as a paused worker would.
        """
        self._check(method)
        with self._lock:
            self._hooks[method].append(_Standing(hook, times))

    def release(self) -> list[Any]:
        """Apply what was delayed, in the order it came, and wake what hangs. Returns the answers nobody waited for."""
        self.wake()
        with self._lock:
            delayed, self._delayed = self._delayed, []
        return [apply() for apply in delayed]

    def calm(self) -> list[Any]:
        """Forget every fault that was planned, and release what is held. Returns as `release` does."""
        with self._lock:
            self._plans.clear()
            self._hooks.clear()
        return self.release()

    def wake(self) -> None:
        """Let every call that hangs end, unapplied."""
        with self._lock:
            hanging, self._hanging = self._hanging, set()
        for waiting in hanging:
            waiting.set()

    @property
    def hanging(self) -> int:
        """How many calls hang now, so that a test can wait for one."""
        return len(self._hanging)

    def answer(self, method: str, request: Any, context: ServicerContext, answer: Answer) -> Any:
        """Answer a request with `answer`, unless a fault is planned for it."""
        with self._lock:
            self.calls[method] += 1
            hooks = self._take_hooks(method)
        for hook in hooks:
            hook(request)
        with self._lock:
            plan = self._take_plan(method)
        if plan is None:
            return answer(request)
        self._suffer(plan.kind, request, context, answer)
        raise plan.refusal

    def _check(self, method: str) -> None:
        if method not in self._served:
            raise ValueError(f"the double serves no {method!r}; it serves {', '.join(sorted(self._served))}")

    def _take_hooks(self, method: str) -> list[Hook]:
        standing = self._hooks[method]
        for one in standing:
            one.times = None if one.times is None else one.times - 1
        self._hooks[method] = [one for one in standing if one.times != 0]
        return [one.hook for one in standing]

    def _take_plan(self, method: str) -> _Plan | None:
        plans = self._plans[method]
        if not plans:
            return None
        if plans[0].skip:
            plans[0].skip -= 1
            return None
        plans[0].times -= 1
        return plans[0] if plans[0].times else plans.pop(0)

    def _suffer(self, kind: Kind, request: Any, context: ServicerContext, answer: Answer) -> None:
        if kind == "lost_answer":
            answer(request)
        elif kind == "torn":
            answer(_first_operation(request))
        elif kind == "delayed":
            with self._lock:
                self._delayed.append(lambda: answer(request))
        elif kind == "hang":
            self._hang(context)

    def _hang(self, context: ServicerContext) -> None:
        released = threading.Event()
        with self._lock:
            self._hanging.add(released)
        if context.add_callback(released.set):
            released.wait(HANG_LIMIT_S)
        with self._lock:
            self._hanging.discard(released)


def _first_operation(request: Any) -> Any:
    torn = copy.deepcopy(request)
    del torn.operations[1:]
    return torn
