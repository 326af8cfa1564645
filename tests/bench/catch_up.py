"""Ratings per second of one worker that has much to take in: a history that is loaded, and a backlog.

Invented users with as many ratings as those of the articles' data set; a real worker, Kafka, Qdrant Edge. In turn:

- *load*: the first ratings of every user, as `tastestream replay --load` sends them: user by user, one list for each
  user, at the end. The worker starts on an empty store when all of it is in the topic. Whether each user has exactly
  one list is counted.
- *backlog*: the worker is stopped, a million further ratings of the same users come in, in time order, and it is
  started again. Ratings of one user that meet in a batch share a write and a list.

The rate is that of the ratings which the worker applied between the end of its first batch and that of its last.
Its own seconds by step say what limits it.
"""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from consumers.demo.stage import DemoError, Worker
from consumers.input_topics import rating_producer
from producers.replay import ReplayPlan, replay
from producers.synthetic import SyntheticPlan, synthetic_dataset
from producers.tables import Dataset, Ratings, time_order
from schemas.encode import event_message
from schemas.events import Rated
from schemas.identity import POPULAR_USER_ID
from schemas.messages import Message
from tests.bench.frame import Bench, Requirement, spread
from tests.bench.ground import PATIENCE_S, Deployment, deployment, kafka, step_seconds

PER_S_MIN = 5_000.0
STRETCHES = 5
LOOK_S = 0.1
APPLIED, LISTS = 'tastestream_outcomes_total{outcome="applied"}', 'tastestream_outcomes_total{outcome="list"}'
BATCHES = "tastestream_batch_records_count"


class Size(NamedTuple):
    """Users and items, ratings of each user that are loaded, and ratings of the backlog."""

    plan: SyntheticPlan
    loaded_per_user: int
    backlog: int


FULL = Size(SyntheticPlan(users=6_040, items=3_706, mean_ratings_per_user=300), 100, 1_000_000)
QUICK = Size(SyntheticPlan(users=1_500, items=2_000, mean_ratings_per_user=80), 30, 50_000)


@dataclass(frozen=True, slots=True)
class Pass:
    """What a worker did: ratings per second in all and by stretch, lists, batches, and its seconds by step."""

    per_s: float
    by_stretch: list[float]
    ratings: int
    lists: int
    batches: int
    steps: dict[str, float]


def main() -> int:
    """Measure both, one after the other."""
    bench = Bench.from_command_line("catch_up", "Ratings per second of a worker that has much to take in.")
    size = QUICK if bench.quick else FULL
    bench.say("inventing ratings")
    history, backlog = _split(synthetic_dataset(size.plan), size)
    with kafka(bench.say) as servers, deployment(servers) as place:
        bench.say(f"sending a load of {len(history.ratings):,} ratings")
        with rating_producer(place.settings) as producer:
            replay(ReplayPlan(history, profiles=False, is_load=True), producer)
        load = _taken(place, len(history.ratings), bench.say)
        lists = _lists(place)
        bench.say(f"sending a backlog of {len(backlog):,} ratings")
        place.send(_messages(backlog))
        caught_up = _taken(place, len(backlog), bench.say)
    _report(bench, "load", load)
    _report(bench, "backlog", caught_up)
    bench.headline("catch_up_per_s", caught_up.per_s)
    users = set(map(str, history.ratings.user.tolist()))
    wrong = sum(lists[user] != 1 for user in users)
    bench.requirements.append(Requirement("users without exactly one list after the load", wrong, 0, at_most=True))
    return bench.finish()


def _split(dataset: Dataset, size: Size) -> tuple[Dataset, Ratings]:
    """Every user's first ratings, and the earliest of the others in time order."""
    ratings = time_order(dataset.ratings)
    by_user = np.argsort(ratings.user, kind="stable")
    _, first, counts = np.unique(ratings.user[by_user], return_index=True, return_counts=True)
    number = np.empty(len(ratings), np.int64)
    number[by_user] = np.arange(len(ratings)) - np.repeat(first, counts)
    is_loaded = number < size.loaded_per_user
    history = Dataset(dataset.name, ratings.take(np.flatnonzero(is_loaded)), dataset.scale)
    return history, ratings.take(np.flatnonzero(~is_loaded)[: size.backlog])


def _messages(ratings: Ratings) -> Iterator[Message]:
    for user, item, rating, at_ms in ratings.rows():
        yield event_message("", Rated(user_id=str(user), item_id=item, rating=rating, rated_at=at_ms))


def _taken(place: Deployment, ratings: int, say: Callable[[str], None]) -> Pass:
    """Start a worker, and end it when it has applied so many ratings and committed them."""
    with place.worker() as worker:
        marks = [_await_applied(worker, 1)]
        for stretch in range(1, STRETCHES + 1):
            mark = _await_applied(worker, ratings * stretch // STRETCHES)
            # A large batch may end several stretches at once.
            if mark[0] > marks[-1][0]:
                marks.append(mark)
                say(f"{mark[0]:,} of {ratings:,} ratings")
        per_s = [(done - before) / (at_s - since_s) for (before, since_s), (done, at_s) in pairwise(marks)]
        (first, begun_s), (last, ended_s) = marks[0], marks[-1]
        overall = (last - first) / (ended_s - begun_s)
        done = Pass(
            overall, per_s, ratings, int(worker.metric(LISTS)), int(worker.metric(BATCHES)), step_seconds(worker)
        )
        worker.stop()
        return done


def _await_applied(worker: Worker, ratings: int) -> tuple[int, float]:
    """How many ratings are applied, at least so many, and when that was."""
    applied, heard_at_s = -1, time.perf_counter()
    while True:
        worker.check()
        try:
            found, now_s = int(worker.metric(APPLIED)), time.perf_counter()
        except DemoError:
            # It does not serve yet.
            found, now_s = 0, time.perf_counter()
        if found >= ratings:
            return found, now_s
        if found > applied:
            applied, heard_at_s = found, now_s
        elif now_s > heard_at_s + PATIENCE_S:
            raise TimeoutError(f"no rating was applied for {PATIENCE_S:g} s:\n{worker.log_tail()}")
        time.sleep(LOOK_S)


def _lists(place: Deployment) -> Counter[str]:
    """How many lists each user has."""
    with place.reader() as reader:
        keys = Counter((message.key() or b"").decode() for message in reader.to_the_end())
    del keys[POPULAR_USER_ID]
    return keys


def _report(bench: Bench, name: str, done: Pass) -> None:
    bench.figure(f"{name}: ratings", f"{name}_ratings", f"{done.ratings:,}")
    bench.figure(f"{name}: lists", f"{name}_lists", f"{done.lists:,}")
    bench.figure(f"{name}: batches", f"{name}_batches", f"{done.batches:,}")
    bench.figure(f"{name}: rate", f"{name}_per_s", done.per_s, "ratings/s")
    bench.figure(f"{name}: rate by stretch", f"{name}_stretch_per_s", spread(done.by_stretch), "ratings/s")
    for step, seconds in done.steps.items():
        bench.figure(f"{name}: {step}", f"{name}_{step}_us", 1e6 * seconds / done.ratings, "µs per rating")
    bench.requirements.append(Requirement(f"{name}, ratings/s", done.per_s, PER_S_MIN))


if __name__ == "__main__":
    sys.exit(main())
