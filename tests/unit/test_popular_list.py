"""The list for users nobody knows: when it is due, what it says, and that it disturbs nobody's list."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import orjson
import pytest

from consumers.handler import Beside, Door, Handler
from consumers.lists import ListWriter
from consumers.metrics import Metrics
from consumers.popular_list import PopularList
from consumers.records import Batch, Record
from consumers.user_states import StateRules, UserStates
from recommender.memory_store import MemoryStore
from recommender.profile import NEW_USER, HistoryLimits
from recommender.recommender import Recommender
from recommender.rules import RankingRules
from recommender.store import StoreSettings
from schemas.decode import WireRules, decoder_for
from schemas.messages import Message
from schemas.recommendations import RecommendationList, decode_list

NOW_MS = 1_795_348_800_000
INTERVAL_S = 60.0
ITEMS = 83
RULES = RankingRules(tuning_every_lists=2)
SETTINGS = StoreSettings("integer", 0.5, 5.0, RULES.value.fingerprint, epoch=3)


@dataclass
class Rig:
    """A handler that publishes the list, with clocks that a test sets."""

    interval_s: float = INTERVAL_S
    now_ms: int = NOW_MS
    elapsed_s: float = 1_000.0
    offset: int = 0
    recommender: Recommender = field(init=False)
    handler: Handler = field(init=False)

    def __post_init__(self) -> None:
        store = MemoryStore(SETTINGS)
        self.recommender = Recommender(store, RULES, 1 << 20)
        self.recommender.scan_slice(1_000)
        lists = ListWriter("lists", "/tests", RULES.label(), SETTINGS.epoch)
        popular = PopularList(self.recommender, lists, "ratings", self.interval_s, lambda: self.elapsed_s)
        states = UserStates(store, StateRules(RULES.value, HistoryLimits(), 1 << 20), "writer")
        door = Door(decoder_for("json"), WireRules(), "dead", "/tests")
        self.handler = Handler(door, states, self.recommender, lists, Metrics(), lambda: self.now_ms, Beside(popular))

    def record(self, user: str = "u", topic: str = "ratings", partition: int = 0) -> Record:
        self.offset += 1
        value = orjson.dumps({"user_id": user, "item_id": self.offset**2 % ITEMS, "rating": 4.0})
        at_ms = NOW_MS + self.offset
        return Record(topic, partition, self.offset, f"{topic}-id:{partition}", user.encode(), value, (), at_ms)

    def handle(self, *records: Record, committed: bool = True) -> list[RecommendationList]:
        """The lists for users nobody knows among what a batch publishes."""
        messages = self.handler.handle(Batch(records or [self.record()]))
        if committed:
            self.handler.committed()
        return popular_lists(messages)

    def after(self, seconds: float) -> "Rig":
        self.elapsed_s += seconds
        self.now_ms += int(seconds * 1000)
        return self


def popular_lists(messages: Iterable[Message]) -> list[RecommendationList]:
    return [decode_list(message.value or b"") for message in messages if message.key == b"_popular"]


def test_it_is_published_once_per_interval() -> None:
    """Not before a whole interval, then with the next batch, and not again before another one."""
    rig = Rig()
    assert rig.handle() == rig.after(INTERVAL_S - 1).handle() == []
    assert len(rig.after(1).handle()) == 1
    assert rig.handle() == rig.after(INTERVAL_S - 1).handle() == []
    assert len(rig.after(1).handle()) == 1


def test_it_is_what_a_user_without_history_gets() -> None:
    """The same tier, items, scores and predictions as of an unknown user, with its own key, version and source."""
    rig = Rig()
    for user in ("ann", "bob"):
        rig.handle(*(rig.record(user) for _ in range(3)))
    last = rig.record("cid")
    (found,) = rig.after(INTERVAL_S).handle(last)
    (expected,) = rig.recommender.recommend([("nobody", NEW_USER)])
    assert (found["user_id"], found["tier"]) == ("_popular", "popular")
    assert [item["item_id"] for item in found["items"]] == expected.item
    assert [item["score"] for item in found["items"]] == pytest.approx(expected.score, abs=1e-6)
    assert found["state"] == {"epoch": 3, "version": rig.now_ms, "num_ratings": 0, "avg_rating": None}
    assert found["list_id"] == f"_popular:3.{rig.now_ms}"
    assert (found["source"]["offset"], found["source"]["event_id"]) == (last.offset, None)


def test_its_versions_rise_whatever_the_clock_does() -> None:
    """A clock that stands still or goes back makes no version equal or less."""
    rig, versions = Rig(), list[int]()
    for back_ms in (0, 120_000, 60_000, 3_600_000):
        rig.after(INTERVAL_S).now_ms -= back_ms
        versions += [found["state"]["version"] for found in rig.handle()]
    assert len(versions) == 4
    assert versions == sorted(set(versions))


@pytest.mark.parametrize(
    "carrier", [{"partition": 1}, {"topic": "other"}, {"replayed": True}], ids=["partition", "topic", "replayed"]
)
def test_only_the_owner_of_the_first_partition_publishes_it(carrier: dict[str, object]) -> None:
    """A batch that commits nothing of partition 0 of the first topic carries no such list, however late it is."""
    rig = Rig().after(INTERVAL_S)
    given = {name: value for name, value in carrier.items() if name != "replayed"}
    record = rig.record(**given)._replace(replayed="replayed" in carrier)  # type: ignore[arg-type]
    assert rig.handle(record) == []
    assert len(rig.handle(record, rig.record())) == 1


def test_a_worker_that_was_given_partitions_waits() -> None:
    """After an assignment, a loss or a rewind a whole interval passes first: another worker may just have published."""
    rig = Rig().after(INTERVAL_S)
    rig.handler.drop_caches()
    assert rig.handle() == []
    assert len(rig.after(INTERVAL_S).handle()) == 1


def test_what_was_not_committed_is_published_again() -> None:
    """The batch that carried it was not committed: the next one carries it anew, under a greater version."""
    rig = Rig().after(INTERVAL_S)
    (lost,) = rig.handle(committed=False)
    (found,) = rig.handle()
    assert found["state"]["version"] > lost["state"]["version"]
    assert rig.handle() == []


def test_it_can_be_turned_off() -> None:
    """An interval of 0 publishes nothing."""
    assert Rig(interval_s=0.0).after(1_000_000).handle() == []


def test_it_changes_no_users_list() -> None:
    """With it and without it users get the same lists to the byte."""
    rigs = Rig(interval_s=1.0), Rig(interval_s=0.0)
    for turn in range(120):
        user = f"u{turn % 7}"
        published = [rig.after(1.0).handler.handle(Batch([rig.record(user)])) for rig in rigs]
        for rig in rigs:
            rig.handler.committed()
        own = [[m for m in messages if m.key != b"_popular"] for messages in published]
        assert own[0] == own[1]
        assert len(published[0]) == len(own[0]) + 1
