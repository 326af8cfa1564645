"""The store is slow or away for nearly the whole time, in five ways: the workers wait, keep their places, and go on.

Held to it: no worker ends, the group is not rebalanced, workers are alive while they are not ready, their memory stays
bounded, they try again now and then, and lists come by themselves soon after the store is back.
"""

import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field

from chaos_worker import ChaosWorker, resident_mb
from confluent_kafka import KafkaException
from grpc import StatusCode
from qdrant_double import QdrantDouble
from qdrant_refusals import Refused
from trial import Trial

CALLS = ("UpdateBatch", "Get", "QueryBatch", "Scroll")
AWAY = ("hanging", "refusing", "throttling", "gone")
SECONDS_MIN = 10.0
SLOW_CALL_S = 0.7
HANG_MAX_S = 30.0
LOOK_INTERVAL_S = 1.0
GRACE_S = 8.0
"""A worker may be in the middle of a call when the store goes, and hears of it when the call times out."""
GROWTH_MAX_MB = 150.0
BACK_LIMIT_S = 30.0
ANSWER_TIMEOUT_S = 5.0


@dataclass(slots=True)
class Weather:
    """How the store is now; a hook of the double."""

    now: str = "fine"
    changed: threading.Event = field(default_factory=threading.Event)

    def become(self, weather: str) -> None:
        """Change, for calls that come and calls that hang."""
        changed, self.changed = self.changed, threading.Event()
        self.now = weather
        changed.set()

    def meet(self, _: object) -> None:
        """What a call meets before it is applied."""
        match self.now:
            case "slow":
                time.sleep(SLOW_CALL_S)
            case "hanging":
                self.changed.wait(HANG_MAX_S)
                raise Refused(StatusCode.CANCELLED, "nobody waits any more")
            case "refusing":
                raise Refused(StatusCode.UNAVAILABLE, "the node is going down")
            case "throttling":
                raise Refused(StatusCode.RESOURCE_EXHAUSTED, "Rate limiting exceeded", [("retry-after", "2")])


def outage(trial: Trial, double: QdrantDouble | None) -> list[ChaosWorker]:
    """See the module."""
    assert double is not None
    weather = Weather()
    for call in CALLS:
        double.before(call, weather.meet, times=None)
    workers = [trial.worker(slot).start() for slot in ("a", "b")]
    for worker in workers:
        worker.await_ready()
    trial.await_list(time.time(), *workers)
    before = members(trial)
    before_mb = max(resident_mb(worker.pid) for worker in workers)
    seconds = max(trial.terms.seconds, SECONDS_MIN) / (len(AWAY) + 2)
    _last(trial, weather, "slow", seconds, workers)
    away_at = time.monotonic()
    for kind in AWAY:
        if kind == "gone":
            double.stop()
        _last(trial, weather, kind, seconds, workers, silent_after=away_at + GRACE_S)
    _judge_group(trial, before, workers)
    trial.record.notes["store_retries"] = sum(w.metric("tastestream_store_retries_total") for w in workers)
    # The other one is given the partitions of the one that dies, and cannot ask the store where to begin.
    trial.kill(workers.pop())
    _last(trial, weather, "gone", seconds, workers, silent_after=time.monotonic() + GRACE_S)
    trial.record.notes["away_s"] = round(time.monotonic() - away_at, 1)
    double.start()
    weather.become("fine")
    back_s = time.time()
    if trial.await_list(back_s, *workers, limit_s=BACK_LIMIT_S):
        trial.record.notes["back_after_s"] = round((trial.watch.first_after(back_s) or back_s) - back_s, 2)
    trial.record.notes["rss_mb_before"] = round(before_mb, 1)
    if (growth_mb := trial.memory.max_mb - before_mb) > GROWTH_MAX_MB:
        trial.record.problems.append(f"a worker's memory grew by {growth_mb:.0f} MB while the store was away")
    return workers


def _last(
    trial: Trial,
    weather: Weather,
    kind: str,
    seconds: float,
    workers: list[ChaosWorker],
    silent_after: float | None = None,
) -> None:
    """Keep it so for a while, and look at the workers meanwhile."""
    weather.become(kind)
    trial.fault(kind)
    until = time.monotonic() + seconds
    while (now := time.monotonic()) < until:
        trial.goes_on()
        for worker in workers:
            assert not trial.note_end(worker), f"a worker ended while the store was {kind}"
            if not answers(worker, "/livez"):
                trial.record.problems.append(f"a worker was not alive while the store was {kind}")
            if silent_after is not None and now > silent_after and answers(worker, "/readyz"):
                trial.record.problems.append(f"a worker was ready while the store was {kind}")
        assert len(trial.record.problems) < 10, "too much is wrong to go on"
        time.sleep(min(LOOK_INTERVAL_S, max(0.0, until - now)))


def _judge_group(trial: Trial, before: dict[str, int], workers: list[ChaosWorker]) -> None:
    after = members(trial)
    if after != before or len(after) != len(workers):
        trial.record.problems.append(f"the group was rebalanced: {before} became {after}")


def members(trial: Trial) -> dict[str, int]:
    """How many partitions each member of the group holds, by member id."""
    group = trial.deployment.settings.group
    try:
        found = trial.deployment.cluster.admin.describe_consumer_groups([group])[group].result(ANSWER_TIMEOUT_S)
    except KafkaException:
        return {}
    return {member.member_id: len(member.assignment.topic_partitions) for member in found.members}


def answers(worker: ChaosWorker, path: str) -> bool:
    """Whether a health address says yes."""
    try:
        with urllib.request.urlopen(worker.address() + path, timeout=ANSWER_TIMEOUT_S) as answer:  # noqa: S310 - loopback
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
