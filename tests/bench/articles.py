"""One new rating, and that user's new list: the articles' way beside ours, at the size of their data set.

6,040 users, 3,706 items and a million ratings, as MovieLens 1M has them, invented; with `--quick` a third of the
ratings.

What a step is, on both sides: a rating of a user who is stored already comes, and in the end there is the list that
counts it. Nothing of Kafka, and nobody flushes to disk: the articles' code has neither. Times are CPU times of this
process, in which all of it happens.

- *local mode*: the tutorial's code with the client it installs, `QdrantClient(":memory:")`. The user's mean and centred
  vector are computed anew and upserted, the 20 nearest users asked for (with IDF, and one more to drop the user), and
  what they rated is scored by similarity × centred rating, averaged, in plain Python. Their ratings come from a
  dictionary, as the tutorial has them in a data frame: asking the collection for them would take longer still.
- *full rebuild*: how the articles' notebooks take a new rating in as they stand: every user's mean and vector computed
  anew, a collection made and filled, then the query and the score as above.
- *full rebuild in the engine*: the same with the collection in Qdrant Edge, the real engine, in place of local mode;
  the fastest that running the notebook again could be.
- *ours*: decode, fold, upsert, query, rank by the default ranking, encode; through `Handler` and `EdgeStore` in this
  process, one rating at a time, and, in the line below, a hundred users' ratings at a time as in a backlog.

A ratio divides their time by ours. The one that is required is that of the full rebuild to ours with one rating at a
time: the tutorial's own way of updating a user stores the raw rating among centred ones, so running it again is what
gives its list. Local mode above is that update put right, for whoever would repair it. Where a hundred ratings come
together, ours takes less, and theirs gains nothing.
"""

import math
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import qdrant_edge as edge
from qdrant_client import QdrantClient, models

from consumers.records import Batch, Record
from consumers.settings import Settings
from consumers.stores.edge_shard import open_shard
from producers.synthetic import SyntheticPlan, synthetic_dataset
from producers.tables import Ratings, load_order, time_order
from schemas.encode import event_message
from schemas.events import Rated
from schemas.messages import LOAD_HEADER
from tests.bench.frame import Bench, Requirement, spread
from tests.bench.pipeline import Pipeline, batches, pipeline, records

RATIO_MIN = 1_000.0
PLAN = SyntheticPlan(users=6_040, items=3_706, mean_ratings_per_user=166)
QUICK_MEAN_RATINGS_PER_USER = 60
NEIGHBOURS, LIST_LENGTH = 20, 10
COLLECTION, VECTOR = "ratings", "ratings"
UPLOAD_BATCH = 256
FILL_BATCH, BACKLOG_BATCH = 2_000, 100
PARTITIONS = 4
WARM_UP = 2_000
SEED = 11

Profiles = dict[int, dict[int, float]]
"""What every user rated."""


class New(NamedTuple):
    """A rating that comes."""

    user: int
    item: int
    rating: float


def centred(ratings: Mapping[int, float]) -> tuple[list[int], list[float]]:
    """The tutorial's vector of a user: items, and ratings − the user's mean."""
    mean = math.fsum(ratings.values()) / len(ratings)
    return list(ratings), [rating - mean for rating in ratings.values()]


def scored(profiles: Profiles, user: int, nearest: list[tuple[int, float]]) -> list[tuple[float, int, int]]:
    """The tutorial's list: (mean of similarity × centred rating, how many neighbours rated it, item), best first."""
    votes: defaultdict[int, list[float]] = defaultdict(list)
    for neighbour, similarity in nearest:
        if neighbour == user:
            continue
        items, values = centred(profiles[neighbour])
        for item, value in zip(items, values, strict=True):
            if item not in profiles[user]:
                votes[item].append(similarity * value)
    rows = [(sum(found) / len(found), len(found), item) for item, found in votes.items()]
    return sorted(rows, reverse=True)[:LIST_LENGTH]


@dataclass(slots=True)
class LocalMode:
    """The tutorial on `QdrantClient(":memory:")`."""

    profiles: Profiles
    _client: QdrantClient = field(init=False)

    def __post_init__(self) -> None:
        self.rebuild()

    def rebuild(self) -> None:
        """Every user's vector computed anew, in a collection made anew."""
        self._client = QdrantClient(":memory:")
        parameters = {VECTOR: models.SparseVectorParams(modifier=models.Modifier.IDF)}
        self._client.create_collection(COLLECTION, vectors_config={}, sparse_vectors_config=parameters)
        self._client.upload_points(COLLECTION, (self._point(user) for user in self.profiles), batch_size=UPLOAD_BATCH)

    def update(self, user: int) -> None:
        """That user's vector computed anew."""
        self._client.upsert(COLLECTION, [self._point(user)])

    def list_of(self, user: int) -> int:
        """The length of the user's list."""
        items, values = centred(self.profiles[user])
        query = models.SparseVector(indices=items, values=values)
        found = self._client.query_points(COLLECTION, query, using=VECTOR, limit=NEIGHBOURS + 1).points
        return len(scored(self.profiles, user, [(int(point.id), point.score) for point in found]))

    def _point(self, user: int) -> models.PointStruct:
        items, values = centred(self.profiles[user])
        vector = models.SparseVector(indices=items, values=values)
        mean = math.fsum(self.profiles[user].values()) / len(items)
        payload = {"user_id": user, "num_ratings": len(items), "avg_rating": mean}
        return models.PointStruct(id=user, vector={VECTOR: vector}, payload=payload)


def rebuilt_in_the_engine(profiles: Profiles, user: int) -> int:
    """A collection of every user made anew in Qdrant Edge, and the length of the user's list from it."""
    with (
        TemporaryDirectory(prefix="tastestream-bench-") as folder,
        closing(open_shard(Path(folder), VECTOR, idf=True)) as shard,
    ):
        left = iter(profiles)
        while users := list(islice(left, UPLOAD_BATCH)):
            points = [_edge_point(each, profiles[each]) for each in users]
            shard.update(edge.UpdateOperation.upsert_points(points))
        query = edge.Query.Nearest(edge.SparseVector(*centred(profiles[user])), using=VECTOR)
        found = shard.query(edge.QueryRequest(limit=NEIGHBOURS + 1, query=query, with_payload=False, with_vector=False))
        nearest = [(int(point.id), point.score) for point in found]
    return len(scored(profiles, user, nearest))


def _edge_point(user: int, ratings: Mapping[int, float]) -> edge.Point:
    items, values = centred(ratings)
    mean = math.fsum(ratings.values()) / len(items)
    payload = {"user_id": user, "num_ratings": len(items), "avg_rating": mean}
    return edge.Point(user, {VECTOR: edge.SparseVector(items, values)}, payload)


@dataclass(slots=True)
class Ours:
    """The service's own path, filled with the same ratings."""

    service: Pipeline
    offsets: Iterator[int]

    def lists(self, new: list[New], size: int) -> int:
        """Take the ratings, so many at a time; returns how many lists came of them."""
        rows = (_record(each, offset) for each, offset in zip(new, self.offsets, strict=False))
        return sum(self._taken(batch) for batch in batches(rows, size))

    def _taken(self, batch: Batch) -> int:
        lists = len(self.service.handler.handle(batch))
        self.service.handler.committed()
        return lists


def main() -> int:
    """Measure each in turns, and compare."""
    bench = Bench.from_command_line("articles", "One new rating to a list: the articles' way beside ours.")
    plan = replace(PLAN, mean_ratings_per_user=QUICK_MEAN_RATINGS_PER_USER) if bench.quick else PLAN
    bench.say(f"inventing the ratings of {plan.users:,} users")
    ratings = time_order(synthetic_dataset(plan).ratings)
    profiles: Profiles = {}
    for user, item, rating, _ in ratings.rows():
        profiles.setdefault(int(user), {})[int(item)] = rating
    with ExitStack() as stack:
        bench.say("filling both stores")
        ours = _ours(stack, ratings)
        local = LocalMode(profiles)
        new = _new_ratings(profiles)
        _report(bench, _measured(bench, ours, local, new))
    return bench.finish()


def _ours(stack: ExitStack, ratings: Ratings) -> Ours:
    folder = stack.enter_context(TemporaryDirectory(prefix="tastestream-bench-"))
    settings = Settings(qdrant={"edge_path": Path(folder, "store")}, http={"port": None})
    service = stack.enter_context(pipeline(settings))
    grouped, _ = load_order(ratings)
    messages = (
        event_message("", Rated(user_id=str(user), item_id=item, rating=rating, rated_at=at_ms))
        for user, item, rating, at_ms in grouped.rows()
    )
    rows = records(settings.input_topics[0], messages, PARTITIONS)
    for batch in batches((row._replace(headers=(LOAD_HEADER,)) for row in rows), FILL_BATCH):
        service.take(batch)
    return Ours(service, iter(range(sys.maxsize)))


def _record(new: New, offset: int) -> Record:
    message = event_message("", Rated(user_id=str(new.user), item_id=new.item, rating=new.rating))
    now_ms = time.time_ns() // 1_000_000
    return Record("ratings", 0, offset, "new-ratings:0", message.key, message.value, (), now_ms)


def _new_ratings(profiles: Profiles) -> Iterator[New]:
    """Endless: users in turns that chance draws, each rating an item new to them."""
    chance = random.Random(SEED)  # noqa: S311  # repeatable, no secret
    while True:
        users = list(profiles)
        chance.shuffle(users)
        for user in users:
            item = chance.choice([item for item in range(1, PLAN.items + 1) if item not in profiles[user]])
            yield New(user, item, chance.randint(1, 10) / 2)


def _measured(bench: Bench, ours: Ours, local: LocalMode, new: Iterator[New]) -> list[dict[str, float]]:
    """Seconds per refresh, by way, for each repeat."""
    # A service that has run for a while has its kernels compiled, and the histories of neighbours at hand.
    ours.lists(list(islice(new, WARM_UP)), BACKLOG_BATCH)
    found = []
    for number in range(bench.repeats(full=5, quick=2)):
        bench.say(f"repeat {number + 1}")
        own = list(islice(new, bench.repeats(full=1_000, quick=300)))
        backlog = list(islice(new, len(own)))
        theirs = list(islice(new, bench.repeats(full=10, quick=4)))
        rows = {
            "ours": _seconds(own, lambda each: ours.lists(each, 1)),
            "ours_backlog": _seconds(backlog, lambda each: ours.lists(each, BACKLOG_BATCH)),
            "local": _seconds(theirs, lambda each: _locally(local, each)),
            "rebuild": _seconds(theirs[:1], lambda each: _rebuilt(local, each)),
            "rebuild_engine": _seconds(theirs[:1], lambda each: _rebuilt_in_the_engine(local, each)),
        }
        found.append(rows)
    return found


def _seconds(new: list[New], refresh: Callable[[list[New]], int]) -> float:
    begun = time.process_time()
    lists = refresh(new)
    seconds = time.process_time() - begun
    if lists < len(new):
        raise RuntimeError(f"{len(new)} ratings gave {lists} lists")
    return seconds / len(new)


def _locally(local: LocalMode, new: list[New]) -> int:
    lists = 0
    for each in new:
        local.profiles[each.user][each.item] = each.rating
        local.update(each.user)
        lists += local.list_of(each.user) == LIST_LENGTH
    return lists


def _rebuilt(local: LocalMode, new: list[New]) -> int:
    for each in new:
        local.profiles[each.user][each.item] = each.rating
        local.rebuild()
    return sum(local.list_of(each.user) == LIST_LENGTH for each in new)


def _rebuilt_in_the_engine(local: LocalMode, new: list[New]) -> int:
    return sum(rebuilt_in_the_engine(local.profiles, each.user) == LIST_LENGTH for each in new)


def _report(bench: Bench, found: list[dict[str, float]]) -> None:
    names = {
        "ours": "ours, one rating at a time",
        "ours_backlog": f"ours, {BACKLOG_BATCH} at a time",
        "local": "articles, client local mode",
        "rebuild": "articles, full rebuild",
        "rebuild_engine": "articles, full rebuild in the engine",
    }
    for key, name in names.items():
        bench.figure(name, f"{key}_ms", spread([1000 * row[key] for row in found]), "ms per refresh")
    for ours, of_ours in (("ours", "one at a time"), ("ours_backlog", f"{BACKLOG_BATCH} at a time")):
        for key in ("local", "rebuild", "rebuild_engine"):
            ratio = spread([row[key] / row[ours] for row in found])
            bench.figure(f"{names[key]} ÷ ours, {of_ours}", f"{key}_by_{ours}_ratio", ratio)
    articles_ratio = spread([row["rebuild"] / row["ours"] for row in found]).median
    bench.headline("articles_ratio", articles_ratio)
    bench.requirements.append(Requirement("full rebuild ÷ ours", articles_ratio, RATIO_MIN))


if __name__ == "__main__":
    sys.exit(main())
