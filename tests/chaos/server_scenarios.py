"""What is done to workers that share a Qdrant server: pauses past the session, rebalance storms, a faulty store.

The server is the gRPC double in this process, or for what happens to workers alone the one that `QDRANT_URL` names.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import get_args

from chaos_worker import ChaosWorker
from qdrant_double import QdrantDouble
from qdrant_faults import Kind
from trial import Trial

from consumers.exit_codes import ExitCode

SLOTS = ("a", "b", "c")
CALLS = ("UpdateBatch", "UpdateBatch", "UpdateBatch", "Get", "Get", "QueryBatch", "Scroll")
"""Which calls meet a fault: mostly writes, whose outcome is then unknown."""
KINDS: tuple[Kind, ...] = get_args(Kind)
POLL_LIMIT_S = 6.0


def pauses(trial: Trial, _: QdrantDouble | None) -> list[ChaosWorker]:
    """SIGSTOP past the session: another worker takes over, then the first one wakes up in the middle of its step."""
    workers = [trial.worker(slot).start() for slot in SLOTS[:2]]
    trial.await_list(0, *workers)
    session_s = trial.deployment.settings.topics.session_timeout_ms / 1000
    while trial.goes_on():
        trial.wait(0.2, 1.5)
        _restart_ended(trial, workers)
        sleeper = trial.dice.choice(workers)
        sleeper.pause()
        trial.fault("pause")
        trial.wait(0.8 * session_s, 3 * session_s)
        sleeper.resume()
        trial.await_list(time.time(), *workers)
    return workers


def rebalances(trial: Trial, _: QdrantDouble | None) -> list[ChaosWorker]:
    """One to three workers come, go, die and sleep, many times before the group has come to rest."""
    workers = [trial.worker(slot) for slot in SLOTS]
    workers[0].start()
    trial.await_list(0, workers[0])
    while trial.goes_on():
        worker = trial.dice.choice(workers)
        if trial.note_end(worker):
            worker.start()
            trial.fault("join")
        elif sum(each.begun for each in workers) > 1:
            _send_away(trial, worker)
        trial.wait(0.1, 1.5)
    return workers[:1]


def _send_away(trial: Trial, worker: ChaosWorker) -> None:
    match trial.dice.choice(("kill", "stop", "pause")):
        case "kill":
            trial.kill(worker)
        case "stop":
            trial.fault("leave")
            trial.stop(worker)
        case _:
            worker.pause()
            trial.fault("pause")
            trial.wait(0.2, 3.0)
            worker.resume()


def store_faults(trial: Trial, double: QdrantDouble | None) -> list[ChaosWorker]:
    """Calls to the store are refused, slow, cut off, hang, or succeed without an answer; now and then a worker dies."""
    assert double is not None
    # A worker that meets a fault while it opens the store ends, and is started again, as a supervisor would.
    trial.expected_at_start.add(ExitCode.STORE)
    workers = [trial.worker(slot).start() for slot in SLOTS[:2]]
    trial.await_list(0, *workers)
    while trial.goes_on():
        began_s = time.time()
        _plan_fault(trial, double)
        trial.wait(0.1, 1.0)
        if trial.dice.random() < 0.1:
            trial.kill(trial.dice.choice(workers))
        _restart_ended(trial, workers)
        if trial.dice.random() < 0.3:
            double.release()
            trial.await_list(began_s, *workers)
    # What was planned and did not come to pass must not meet the judge.
    double.calm()
    return workers


def _plan_fault(trial: Trial, double: QdrantDouble) -> None:
    call, dice = trial.dice.choice(CALLS), trial.dice
    if dice.random() < 0.2:
        trial.fault(f"slow {call}")
        return double.before(call, partial(_sleep, dice.uniform(0.1, 1.5)), times=dice.randint(1, 3))
    kind = dice.choice([kind for kind in KINDS if kind != "torn" or call == "UpdateBatch"])
    trial.fault(f"{kind} {call}")
    retry_after_s = dice.choice([None, 1]) if kind == "resource_exhausted" else None
    return double.fail_next(call, kind, times=dice.randint(1, 3), skip=dice.randint(0, 5), retry_after_s=retry_after_s)


def _sleep(seconds: float, _: object) -> None:
    time.sleep(seconds)


def stuck_call(trial: Trial, double: QdrantDouble | None) -> list[ChaosWorker]:
    """A call to the store takes so long that the group gives the worker up; then it is applied, and all goes on."""
    assert double is not None
    longer = {"kafka__consumer_properties": f'{{"max.poll.interval.ms": "{POLL_LIMIT_S * 1000:.0f}"}}'}
    workers = [trial.worker(slot, qdrant__timeout_s="60", **longer).start() for slot in SLOTS[:2]]
    trial.await_list(0, *workers)
    while trial.goes_on():
        call = trial.dice.choice(("UpdateBatch", "UpdateBatch", "Get", "QueryBatch"))
        with _held(double, call) as caught:
            if caught.wait(POLL_LIMIT_S):
                trial.fault(f"stuck {call}")
                trial.wait(POLL_LIMIT_S, POLL_LIMIT_S + 4)
        trial.await_list(time.time(), *workers)
        _restart_ended(trial, workers)
    return workers


@contextmanager
def _held(double: QdrantDouble, call: str) -> Iterator[threading.Event]:
    """Hold the next call of a method while the block runs; yields what is set once there was one."""
    caught, let_go = threading.Event(), threading.Event()

    def hold(_: object) -> None:
        caught.set()
        let_go.wait(2 * POLL_LIMIT_S + 10)

    double.before(call, hold)
    try:
        yield caught
    finally:
        let_go.set()


def _restart_ended(trial: Trial, workers: list[ChaosWorker]) -> None:
    for worker in workers:
        if trial.note_end(worker):
            worker.start()
