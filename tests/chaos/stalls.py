"""How long lists stop coming when workers come and go: a planned restart, a kill -9, one worker to three and back.

A stall is the longest time in which no list could be read while events kept coming: of all partitions where one worker
has them all, of the worst partition where workers share them. Workers start cold, as an operator's would. What a kill
costs is mostly the session, which is three seconds here; brokers refuse sessions under 45 s unless told otherwise. And
where it came between a list and its commit, and the worker is not started again, readers wait for the brokers to give
that transaction up (`limits.transaction_timeout_s`).
"""

import time

from chaos_worker import ChaosWorker
from qdrant_double import QdrantDouble
from service_process import await_until
from trial import Trial

SESSION = {"topics__session_timeout_ms": "3000", "topics__heartbeat_interval_ms": "500"}
SETTLED_S = 1.0
HELD_LIMIT_S = 60.0
PLANNED, KILLED = "planned restart", "kill -9 and start"
GROWN, SHRUNK, ONE_KILLED = "1 to 3 workers", "3 to 1 workers", "kill -9 of one of 3"


def restarts(trial: Trial) -> ChaosWorker:
    """One worker on Edge is stopped in order, or killed, and started again, in turns."""
    worker = trial.worker().start()
    trial.await_list(0, worker)
    for kind in (PLANNED, KILLED) * 1_000:
        time.sleep(SETTLED_S)
        if not trial.goes_on():
            break
        from_s = time.time()
        if kind == KILLED:
            trial.kill(worker)
        else:
            trial.stop(worker)
        worker.start()
        trial.await_list(from_s + 1e-3, worker)
        time.sleep(SETTLED_S)
        _note(trial, kind, trial.watch.longest_gap_s(time.time(), from_s))
    return worker


def scaling(trial: Trial, _: QdrantDouble | None) -> list[ChaosWorker]:
    """One worker is joined by two; then one of the three is killed, then the other one of the two leaves."""
    first, *others = [trial.worker(slot) for slot in ("a", "b", "c")]
    first.start()
    trial.await_list(0, first)
    while trial.goes_on():
        for kind in (GROWN, ONE_KILLED, SHRUNK):
            time.sleep(SETTLED_S)
            from_s = time.time()
            _change(trial, kind, first, others)
            _await_all_partitions(trial, time.time())
            _note(trial, kind, trial.watch.longest_gap_of_partition_s(time.time(), from_s))
    return [first]


def _change(trial: Trial, kind: str, first: ChaosWorker, others: list[ChaosWorker]) -> None:
    if kind == GROWN:
        for worker in others:
            worker.start()
        _await_share(trial, [first, *others])
    elif kind == ONE_KILLED:
        trial.kill(others[0])
        _await_share(trial, [first, others[1]])
    else:
        trial.stop(others[1])
        _await_share(trial, [first])


def _await_all_partitions(trial: Trial, since_s: float) -> None:
    """Return once a list of every partition can be read: a transaction left open hides them until it is given up."""
    partitions = trial.deployment.settings.topics.partitions
    await_until(lambda: trial.watch.partitions_after(since_s) == partitions, "lists of every partition")


def _await_share(trial: Trial, workers: list[ChaosWorker]) -> None:
    """Return once these workers hold all partitions, and each some."""
    deadline = time.monotonic() + HELD_LIMIT_S
    partitions = trial.deployment.settings.topics.partitions
    while True:
        held = [worker.metric("tastestream_assigned_partitions") for worker in workers]
        if sum(held) == partitions and all(held):
            return
        assert time.monotonic() < deadline, f"the partitions are held as {held}"
        time.sleep(0.1)


def _note(trial: Trial, kind: str, stall_s: float) -> None:
    trial.fault(kind)
    trial.record.stalls_s.setdefault(kind, []).append(stall_s)
