"""Live evaluation in the handler: what is counted, whatever is delivered again, and when figures are published."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

from consumers import handler
from consumers.handler import Beside, Door, Handler
from consumers.lists import ListWriter
from consumers.live_record import Reporter
from consumers.live_report import LiveReport, live_report
from consumers.metrics import Metrics
from consumers.records import Batch, Record
from consumers.settings import Settings
from consumers.user_states import StateRules, UserStates
from producers.synthetic import SyntheticPlan, synthetic_dataset
from producers.tables import time_order
from recommender.evaluation import Assessment, RatedEvent, evaluate
from recommender.kinds import KindMasks
from recommender.live import LiveEvaluation
from recommender.live_figures import AUDIENCES, LiveFigures
from recommender.measures import Report
from recommender.memory_store import MemoryStore
from recommender.profile import HistoryLimits
from recommender.recommender import Recommender
from recommender.rules import RankingRules
from recommender.store import NeighbourQuery, Neighbours, StoreSettings, StoreUnavailableError
from schemas.decode import WireRules, decoder_for
from schemas.messages import LOAD_HEADER, Message
from schemas.metrics import LiveMetrics, decode_metrics
from schemas.recommendations import decode_list
from schemas.times import format_time

RULES = RankingRules(neighbours=5, list_length=12)
SETTINGS = StoreSettings("integer", 0.5, 5.0, RULES.value.fingerprint)
NOW_MS, RATED_MS = 1_700_000_000_000, 1_600_000_000_000
LISTS, FIGURES = "recommendations", "metrics"
EVERY_S = 10.0


class FlakyStore(MemoryStore):
    """A memory store whose next searches may be away."""

    away = 0

    def nearest(self, queries: Sequence[NeighbourQuery]) -> list[Neighbours]:
        if self.away:
            self.away -= 1
            raise StoreUnavailableError("away")
        return super().nearest(queries)


@dataclass
class Rig:
    """A handler that evaluates live, everything real but the store's place and the clocks."""

    limits: HistoryLimits = field(default_factory=HistoryLimits)
    topic: str | None = FIGURES
    now_s: float = 0.0
    store: FlakyStore = field(default_factory=lambda: FlakyStore(SETTINGS))
    metrics: Metrics = field(default_factory=Metrics)
    offset: int = 0

    def __post_init__(self) -> None:
        self.recommender = Recommender(self.store, RULES, 1 << 20)
        self.recommender.scan_slice(1_000)
        self.live = LiveEvaluation(10_000, 1 << 24, RULES, KindMasks(self.recommender.catalogue))
        reporter = Reporter(self.topic, "/tests", "g", "w-1", "default", RULES.label(), 10_000, EVERY_S)
        report = LiveReport(self.live, self.recommender, reporter, self.metrics, lambda: self.now_s)
        states = UserStates(self.store, StateRules(RULES.value, self.limits, 1 << 20), "writer")
        door = Door(decoder_for("json"), WireRules(), "ratings.dlq", "/tests")
        lists = ListWriter(LISTS, "/tests", RULES.label(), 1)
        self.handler = Handler(door, states, self.recommender, lists, self.metrics, lambda: NOW_MS, Beside(live=report))
        self.report = report

    def event(self, user: str, item: int, rating: float = 4.0, **fields: Any) -> Record:
        """The next record of the topic: a rating unless `fields` say otherwise."""
        self.offset += 1
        document: dict[str, Any] = {"user_id": user}
        if fields.get("type", "rated") != "forget":
            document |= {"item_id": item, "rated_at": format_time(RATED_MS + self.offset)}
        if fields.get("type", "rated") == "rated":
            document |= {"rating": rating}
        value = orjson.dumps(document | fields)
        return Record("ratings", 0, self.offset, "id:0", user.encode(), value, (), NOW_MS, replayed=False)

    def handle(self, *records: Record) -> list[Message]:
        found = self.handler.handle(Batch(list(records)))
        self.handler.committed()
        return found

    def figures(self) -> LiveFigures:
        return self.report.figures()

    def counted(self) -> tuple[int, int]:
        """Ratings in the window, and those that met a list."""
        found = self.figures()
        return found.ratings, found.hits["all"].events

    def shown(self, messages: Iterable[Message]) -> list[int]:
        """The items of the last list among messages."""
        lists = [decode_list(message.value or b"") for message in messages if message.topic == LISTS]
        return [int(item["item_id"]) for item in lists[-1]["items"]]


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(metrics.render().decode())
    return {(s.name, *s.labels.values()): s.value for f in families for s in f.samples}


def records_of(messages: Iterable[Message]) -> list[LiveMetrics]:
    return [decode_metrics(message.value or b"") for message in messages if message.topic == FIGURES]


# What is counted


@dataclass
class Published:
    """The service as whoever reads its topic sees it: a user's list is the one published last, however old."""

    rig: Rig
    lists: dict[str, dict[int, float]] = field(default_factory=dict)

    def assess(self, user_id: str, item: int) -> Assessment:
        found = self.lists[user_id]
        return Assessment(list(found), found.get(item))

    def learn(self, events: Sequence[RatedEvent]) -> None:
        (event,) = events
        rating = self.rig.event(event.user_id, event.item, event.rating, rated_at=event.at_ms)
        (message,) = [found for found in self.rig.handle(rating) if found.topic == LISTS]
        items = decode_list(message.value or b"")["items"]
        self.lists[event.user_id] = {int(row["item_id"]): row["predicted_rating"] for row in items}


def test_in_batches_of_one_live_figures_are_the_evaluators() -> None:
    """Law: over a stream one at a time, every measure of hits equals prequential evaluation of the published lists."""
    dataset = synthetic_dataset(SyntheticPlan(users=30, items=60, mean_ratings_per_user=15, fashion_strength=4))
    rows = time_order(dataset.ratings).rows()
    events = [RatedEvent(str(user), int(item), rating, rating, at_ms) for user, item, rating, at_ms in rows]
    rig = Rig()
    report: Report = evaluate(Published(rig), events, lambda _: None)
    found = rig.figures()
    for name in ("warm", "liked", "cold"):
        live, expected = found.hits[name], getattr(report, name)
        assert (live.hits, live.events) == (expected.hit.total, expected.events)
        assert live[2:] == pytest.approx((expected.rate, expected.gain.mean, expected.reciprocal.mean))
    assert found.hits["warm"].hits > 10
    assert found.judged_share == 1
    # Lists carry predictions with two digits.
    assert found.predicted == report.errors.events > 100
    assert found.mae == pytest.approx(report.errors.absolute.mean, abs=0.005)


def test_a_rating_is_judged_by_the_list_before_its_batch() -> None:
    """Law: a batch's ratings all meet the list that the user had, and the next batch's meet the new one."""
    rig = Rig()
    rig.handle(*(rig.event(user, item) for user in "abc" for item in range(8)))
    first = rig.shown(rig.handle(rig.event("u", 0)))
    rig.handle(rig.event("u", first[0]), rig.event("u", first[1]), rig.event("u", 1_000))
    ranks = rig.live.ratings["rank"]
    assert ranks.tolist() == [0, 1, -1]
    assert rig.counted() == (3, 3)


def test_every_list_of_a_large_batch_judges_what_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Law: it does not matter how many lists are ranked at once."""
    monkeypatch.setattr(handler, "RANKED_AT_ONCE", 2)
    rig = Rig()
    rig.handle(*(rig.event(user, item) for user in "abcde" for item in range(3)))
    rig.handle(*(rig.event(user, 100) for user in "abcde"))
    assert rig.counted() == (5, 5)


def test_only_first_ratings_of_users_who_had_rated_count() -> None:
    """Law: neither a user's first batch, nor a re-rating, a retraction, a rating after one, nor a late older one."""
    rig = Rig()
    rig.handle(rig.event("u", 1), rig.event("u", 2))
    assert rig.counted() == (0, 0)
    rig.handle(rig.event("u", 1, 2.0))
    rig.handle(rig.event("u", 2, type="retracted"))
    rig.handle(rig.event("u", 2))
    rig.handle(rig.event("u", 1, rated_at=RATED_MS - 1_000_000))
    assert rig.counted() == (0, 0)
    rig.handle(rig.event("u", 3))
    assert rig.counted() == (1, 1)


def test_what_fell_out_of_the_history_is_no_first_rating() -> None:
    """Law: a seen item is in no list, and rating it anew says nothing of one."""
    rig = Rig(limits=HistoryLimits(entries_max=3, seen_max=10))
    for item in range(5):
        rig.handle(rig.event("u", item))
    before = rig.counted()
    rig.handle(rig.event("u", 0))
    assert rig.counted() == before == (4, 4)


def test_replayed_events_do_not_count() -> None:
    """Law: what had been committed before was judged before; new events of the same batch are."""
    rig = Rig()
    rig.handle(rig.event("u", 1))
    replayed = rig.event("u", 2)._replace(replayed=True)
    rig.handle(replayed, rig.event("u", 3))
    assert rig.counted() == (1, 1)
    rig.handle(rig.event("u", 4)._replace(replayed=True))
    assert rig.counted() == (1, 1)


def test_loaded_history_does_not_count() -> None:
    """Law: history that is brought in later was foretold by no list; live ratings beside it are judged."""
    rig = Rig()
    rig.handle(rig.event("u", 1))
    history = rig.event("u", 2)._replace(headers=(LOAD_HEADER,))
    rig.handle(history, rig.event("u", 3))
    assert rig.counted() == (1, 1)


def test_a_batch_delivered_twice_counts_once() -> None:
    """Law: also where the store goes away between the fold and the lists, and where the transaction was aborted."""
    rig = Rig()
    rig.handle(rig.event("u", 1))
    batch = Batch([rig.event("u", 2), rig.event("u", 3)])
    rig.store.away = 1
    with pytest.raises(StoreUnavailableError):
        rig.handler.handle(batch)
    rig.handler.handle(batch)
    rig.handler.handle(batch)
    assert rig.counted() == (2, 2)
    assert len(rig.live.lists) == 3


def test_a_forgotten_user_s_list_is_gone() -> None:
    """Law: the list is dropped with the user, and the one who comes back begins anew."""
    rig = Rig()
    rig.handle(rig.event("u", 1))
    assert rig.live.held_bytes > 0
    rig.handle(rig.event("u", 0, type="forget"))
    assert rig.live.held_bytes == 0
    rig.handle(rig.event("u", 1))
    assert rig.counted() == (0, 0)


def test_after_partitions_moved_no_list_is_held() -> None:
    """Law: another worker may have made newer lists, so what is rated next is not judged, and the share says so."""
    rig = Rig()
    rig.handle(rig.event("u", 1))
    rig.handler.drop_caches()
    rig.handle(rig.event("u", 2))
    assert rig.counted() == (1, 0)
    rig.handle(rig.event("u", 3))
    assert rig.figures().judged_share == 0.5


# When figures are published


def test_a_record_is_due_at_its_interval_where_there_is_news() -> None:
    """Law: not before, not without a batch since the last one, and again until it is committed."""
    rig = Rig()
    assert records_of(rig.handle(rig.event("u", 1))) == []
    rig.now_s = EVERY_S
    (aborted,) = records_of(rig.handler.handle(Batch([rig.event("u", 2)])))
    (again,) = records_of(rig.report.due(NOW_MS))
    assert again == aborted
    rig.handler.committed()
    assert rig.report.due(NOW_MS) == []
    rig.now_s = 5 * EVERY_S
    assert rig.report.due(NOW_MS) == []
    (later,) = records_of(rig.handle(rig.event("u", 3)))
    assert (aborted["ratings"], later["ratings"]) == (1, 2)


def test_a_replay_alone_is_committed_without_its_record() -> None:
    """Law: a record that was handed out but not sent is handed out again."""
    rig = Rig()
    rig.now_s = EVERY_S
    assert len(records_of(rig.handler.handle(Batch([rig.event("u", 1)._replace(replayed=True)])))) == 1
    assert len(records_of(rig.report.due(NOW_MS))) == 1


def test_the_topic_and_prometheus_say_the_same() -> None:
    """Law: every figure of the record is the gauge's value; what nothing says is null there and no number here."""
    rig = Rig()
    assert all(
        math.isnan(value) for (name, *_), value in samples(rig.metrics).items() if name.startswith("tastestream_live")
    )
    for item in range(9):
        rig.handle(rig.event("u", item), rig.event("v", item + 1))
    rig.now_s = EVERY_S
    (record,) = records_of(rig.handle(rig.event("u", 20)))
    served = {key: value for key, value in samples(rig.metrics).items() if key[0].startswith("tastestream_live")}
    for audience in AUDIENCES:
        hits = record[audience]
        assert served["tastestream_live_hit_rate", audience] == hits["hr10"]
        assert served["tastestream_live_ndcg", audience] == hits["ndcg10"]
        assert served["tastestream_live_judged_ratings", audience] == hits["n"] > 0
    assert served["tastestream_live_prediction_error", "mae"] == record["mae"]
    assert served["tastestream_live_novelty_bits",] == record["novelty"]
    for name in ("judged_share", "coverage", "users", "items", "user_coverage", "vector_size"):
        assert served[f"tastestream_live_{name}",] == record[name]
    assert record["refresh_ms"] is not None
    assert served["tastestream_live_seconds", "refresh", "0.99"] == record["refresh_ms"]["p99"] / 1000
    assert record["diversity"] is record["item_coverage"] is None
    assert math.isnan(served["tastestream_live_diversity",])


def test_without_a_topic_figures_go_to_prometheus_alone() -> None:
    """Law: nothing is published, and the gauges are set all the same."""
    rig = Rig(topic=None)
    rig.now_s = EVERY_S
    assert records_of(rig.handle(rig.event("u", 1))) == []
    assert samples(rig.metrics)["tastestream_live_users",] == 1


def test_a_worker_s_records_have_one_key() -> None:
    """Law: group, instance and preset name whose figures they are."""
    rig = Rig()
    rig.now_s = EVERY_S
    messages = [message for message in rig.handle(rig.event("u", 1)) if message.topic == FIGURES]
    assert [message.key for message in messages] == [b"g/w-1/default"]


def test_it_can_be_switched_off() -> None:
    """Law: a window of nothing is no evaluation at all."""
    recommender = Recommender(FlakyStore(SETTINGS), RULES, 0)
    assert live_report(Settings(evaluation={"window_events": 0}), recommender, Metrics(), None) is None
    assert live_report(Settings(), recommender, Metrics(), None) is not None
