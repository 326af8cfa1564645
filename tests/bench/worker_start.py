"""How long a worker takes from the start of its process to its first list, with few and with many users in its store.

One rating waits in Kafka; the store is an Edge one, made in bulk (`population`). The worker counts the stored ratings
in the background: it goes on with ratings meanwhile, which a second rating shows, and answers requests once it is done.
"""

import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

from consumers.demo.audience import Audience
from schemas.messages import Message
from tests.bench.apart import apart
from tests.bench.frame import Bench, Requirement, Spread, spread
from tests.bench.ground import Deployment, await_answer, await_list_count, deployment, kafka
from tests.bench.population import Population, fill

FEW_USERS, MANY_USERS, QUICK_MANY_USERS = 6_000, 600_000, 60_000
ITEMS = 10_000
SECONDS_MAX = 10.0
ANSWER_PATIENCE_S = 1_800.0
RATINGS = 1_000
"""More than all starts need, and fewer than there are users."""


class Start(NamedTuple):
    """Seconds from the process's start to its first list and to its first answer, and the second rating's wait."""

    first_list_s: float
    second_list_ms: float
    first_answer_s: float


def main() -> int:
    """Start workers over both stores."""
    bench = Bench.from_command_line("worker_start", "From a worker's start to its first list.")
    with kafka(bench.say) as servers:
        for users in (FEW_USERS, QUICK_MANY_USERS if bench.quick else MANY_USERS):
            seconds = _measure(bench, servers, users)
    what = f"seconds to the first list with {users:,} users"
    bench.requirements.append(Requirement(what, seconds.median, SECONDS_MAX, at_most=True))
    return bench.finish()


def _measure(bench: Bench, servers: str, users: int) -> Spread:
    population = Population(users, ITEMS)
    ratings = iter(population.events(RATINGS, seed=1))
    with deployment(servers) as place:
        bench.say(f"a store of {users:,} users")
        apart(fill, place.settings, population)
        starts = []
        for number in range(bench.repeats(full=3, quick=2)):
            bench.say(f"{users:,} users, start {number + 1}")
            starts.append(_start(place, ratings))
    seconds = spread([one.first_list_s for one in starts])
    bench.figure(f"{users:,} users: first list", f"{users}", seconds, "s")
    bench.headline("worker_start_s", {str(users): seconds.median})
    second_ms = spread([one.second_list_ms for one in starts])
    bench.figure(f"{users:,} users: next rating, while they are counted", f"{users}_second_list_ms", second_ms, "ms")
    answer_s = spread([one.first_answer_s for one in starts])
    bench.figure(f"{users:,} users: all counted, first answer", f"{users}_first_answer_s", answer_s, "s")
    return seconds


def _start(place: Deployment, ratings: Iterator[Message]) -> Start:
    with place.reader() as reader:
        audience = Audience(reader)
        place.send([next(ratings)])
        begun = time.monotonic()
        with place.worker() as worker:
            await_list_count(audience, worker, 1)
            sent = time.monotonic()
            place.send([next(ratings)])
            await_list_count(audience, worker, 2)
            second = time.monotonic()
            user_id = next(iter(audience.newest))
            await_answer(place, worker, user_id, f"start-{begun}", ANSWER_PATIENCE_S)
            answered = time.monotonic()
            first = audience.first_at_s or begun
            worker.stop()
    return Start(first - begun, 1000 * (second - sent), answered - begun)


if __name__ == "__main__":
    sys.exit(main())
