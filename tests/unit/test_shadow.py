"""The shadow: its lists are those of a worker that runs its preset alone, and nothing of it shows in the others'."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest

from consumers.handler import Beside, Door, Handler
from consumers.lists import ListWriter
from consumers.live_report import live_report
from consumers.metrics import Metrics
from consumers.records import Batch, Record
from consumers.settings import Settings, load_settings
from consumers.settings_mapping import (
    history_limits,
    ranking_rules,
    shadow_plan,
    shadow_vectors,
    store_settings,
)
from consumers.settings_sources import SettingsError
from consumers.shadow import open_shadow
from consumers.stores.edge import EdgeStore
from consumers.user_states import StateRules, UserStates
from producers.synthetic import SyntheticPlan, synthetic_dataset
from producers.tables import time_order
from recommender.listing import RankedList
from recommender.memory_store import MemoryStore
from recommender.profile import UserState
from recommender.recommender import Recommender
from recommender.store import NeighbourQuery, Neighbours, Store, StoreUnavailableError, point_id
from schemas.decode import WireRules, decoder_for
from schemas.messages import Message
from schemas.metrics import LiveMetrics, decode_metrics, metrics_key
from schemas.recommendations import decode_list
from schemas.times import format_time

FIGURES, LISTS, NOW_MS = "metrics", "recommendations", 1_700_000_000_000
MOMENTS = {"global_mean": 3.5, "global_deviation": 1.1}
BATCH = 7


class AwayStore(MemoryStore):
    """A memory store whose searches by a further vector may be away."""

    is_away = False

    def nearest(self, queries: Sequence[NeighbourQuery]) -> list[Neighbours]:
        if self.is_away and any(query.using for query in queries):
            raise StoreUnavailableError("away")
        return super().nearest(queries)


def records(users: int = 20, ratings: int = 12) -> list[Record]:
    """An invented stream of ratings."""
    dataset = synthetic_dataset(SyntheticPlan(users=users, items=40, mean_ratings_per_user=ratings))
    return [
        rating_record(offset, str(user), int(item), rating, at_ms)
        for offset, (user, item, rating, at_ms) in enumerate(time_order(dataset.ratings).rows())
    ]


def rating_record(offset: int, user: str, item: int, rating: float, at_ms: int) -> Record:
    document = {"user_id": user, "item_id": item, "rating": rating, "rated_at": format_time(at_ms)}
    return Record("ratings", 0, offset, "id:0", user.encode(), orjson.dumps(document), (), NOW_MS, replayed=False)


def configured(shadow: str | None = None, **ranking: Any) -> Settings:
    return Settings(instance="w-1", ranking={**MOMENTS, **ranking}, evaluation={"shadow": shadow})


@dataclass
class Rig:
    """A worker without Kafka, as the settings have it; figures are published with every batch."""

    settings: Settings
    store: Store
    metrics: Metrics = field(default_factory=Metrics)
    messages: list[Message] = field(default_factory=list)
    seconds: float = 1e12

    def __post_init__(self) -> None:
        settings, rules = self.settings, ranking_rules(self.settings)
        recommender = Recommender(self.store, rules, 1 << 20)
        self.shadow = open_shadow(settings, self.store, recommender.catalogue, self.metrics, FIGURES)
        self.shown: dict[str, RankedList] = {}
        recommender.scan_slice(1_000)
        if self.shadow is not None:
            self.shadow.recommender.scan_slice(1_000)
            self._keep_what(self.shadow.recommender)
        report = live_report(settings, recommender, self.metrics, FIGURES, self.shadow)
        assert report is not None
        report._monotonic_s = self._later
        self.report = report
        state_rules = StateRules(rules.value, history_limits(settings), 1 << 20, further=shadow_vectors(settings))
        self.handler = Handler(
            Door(decoder_for("json"), WireRules(), "ratings.dlq", "/tests"),
            UserStates(self.store, state_rules, "writer"),
            recommender,
            ListWriter(LISTS, "/tests", "any", 1),
            self.metrics,
            lambda: NOW_MS,
            Beside(live=report),
        )

    def _keep_what(self, recommender: Recommender) -> None:
        made = recommender.recommend

        def kept(users: Sequence[tuple[str, UserState]]) -> list[RankedList]:
            found = made(users)
            self.shown.update(zip((user_id for user_id, _ in users), found, strict=True))
            return found

        recommender.recommend = kept  # type: ignore[method-assign]

    def _later(self) -> float:
        self.seconds += 1_000
        return self.seconds

    def handle(self, rows: Sequence[Record]) -> list[Message]:
        found = self.handler.handle(Batch(list(rows)))
        self.handler.committed()
        self.messages += found
        return found

    def run(self, rows: Sequence[Record]) -> None:
        for at in range(0, len(rows), BATCH):
            self.handle(rows[at : at + BATCH])

    def lists(self) -> dict[str, list[tuple[int, float]]]:
        """The items and predictions of the last list of everyone, as published."""
        found = [decode_list(message.value or b"") for message in self.messages if message.topic == LISTS]
        return {row["user_id"]: [(int(i["item_id"]), i["predicted_rating"]) for i in row["items"]] for row in found}

    def figures(self) -> dict[str, LiveMetrics]:
        """The newest record of each preset."""
        found = [decode_metrics(message.value or b"") for message in self.messages if message.topic == FIGURES]
        newest = {record["preset"]: record for record in found}
        if self.shadow is not None:
            # Its lists are made after the batch whose record they would stand in.
            shadow = self.shadow.record(self.report._live, NOW_MS)
            newest[shadow["preset"]] = shadow
        return newest


@pytest.fixture(params=["memory", "edge"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def rigs(tmp_path: Path) -> Iterator["Rigs"]:
    made = Rigs(tmp_path)
    yield made
    made.close()


class Rigs:
    """Makes rigs over stores that are closed at the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stores: list[Store] = []

    def make(self, settings: Settings, kind: str = "memory") -> Rig:
        wanted = store_settings(settings)
        folder = self._folder / str(len(self._stores))
        store: Store = AwayStore(wanted) if kind == "memory" else EdgeStore(folder, wanted, 0)
        self._stores.append(store)
        return Rig(settings, store)

    def close(self) -> None:
        for store in self._stores:
            store.close()


# Of these only tutorial weighs by idf, as the shadow or as the main ranking.
@pytest.mark.parametrize(
    ("preset", "shadow"), [("default", "tutorial"), ("default", "article"), ("tutorial", "default")]
)
def test_its_lists_are_those_of_its_preset_alone(preset: str, shadow: str, kind: str, rigs: Rigs) -> None:
    """Law: on the same batches each ranking gives what it gives alone from the beginning, figures included."""
    stream, averages = records(), {"duplicates": "latest"}
    both = rigs.make(configured(shadow, preset=preset, **averages), kind)
    alone = rigs.make(configured(preset=shadow, **averages), kind)
    main_alone = rigs.make(configured(preset=preset, **averages), kind)
    for rig in (both, alone, main_alone):
        rig.run(stream)
    shown = {
        user: [(item, round(rating, 2)) for item, rating in zip(found.item, found.predicted_rating, strict=True)]
        for user, found in both.shown.items()
    }
    assert shown == alone.lists()
    assert both.lists() == main_alone.lists()
    assert any(len(found) > 5 for found in shown.values())
    found, expected = both.figures(), {**main_alone.figures(), **alone.figures()}
    assert set(found) == {preset, shadow} == set(expected)
    for name, record in found.items():
        for figure in ("all", "warm", "mae", "coverage", "novelty", "judged_share", "lists", "users", "ranking"):
            assert dict(record)[figure] == dict(expected[name])[figure], (name, figure)


def test_a_shadow_says_whom_it_is_compared_with(rigs: Rigs) -> None:
    """Law: its record has a key of its own and the comparison, /metrics its hits and z; the main record is as ever."""
    rig = rigs.make(configured("tutorial"))
    rig.run(records())
    main, shadow = (rig.figures()[name] for name in ("default", "tutorial"))
    assert shadow["against"] == "default"
    assert shadow["paired_ratings"] == shadow["all"]["n"] == main["all"]["n"] > 100
    # Hits that both had cancel out, so the sign is that of the difference.
    assert shadow["paired_z"] is not None
    difference = (shadow["all"]["hr10"] or 0) - (main["all"]["hr10"] or 0)
    assert shadow["paired_z"] * difference > 0
    assert "against" not in main
    assert metrics_key(shadow).endswith("/w-1/tutorial")
    served = rig.metrics.render().decode()
    assert f'tastestream_live_paired_z{{against="default",preset="tutorial"}} {shadow["paired_z"]}' in served
    assert f'tastestream_live_shadow_hit_rate{{audience="all",preset="tutorial"}} {shadow["all"]["hr10"]}' in served


def test_figures_of_the_last_lists_are_published_in_a_silence(rigs: Rigs) -> None:
    """Law: a batch takes figures along before its shadow's lists are made; they follow once, and then there is rest."""
    rig = rigs.make(configured("tutorial"))
    rig.run(records()[:BATCH])
    published = decode_metrics(rig.messages[-1].value or b"")
    last = decode_metrics(rig.report.due(NOW_MS)[-1].value or b"")
    rig.report.committed()
    assert published["preset"] == last["preset"] == "tutorial"
    assert published["lists"] < last["lists"] == len(rig.shown)
    assert rig.report.due(NOW_MS) == []


def test_without_a_shadow_nothing_is_there(rigs: Rigs) -> None:
    """Law: no further vector is declared or written, and no metric of it has a sample."""
    rig = rigs.make(configured())
    rig.run(records(users=5))
    assert rig.store.settings.further == {}
    assert all(len(point.vectors) <= 1 for point in rig.store._points.values())  # type: ignore[attr-defined]
    assert 'preset="' not in rig.metrics.render().decode()
    assert set(rig.figures()) == {"default"}


def test_equal_vectors_are_written_once() -> None:
    """Law: where the shadow stores what the main ranking stores, the main vector serves both."""
    settings = configured(
        "tutorial", prune_below=0.1, decay_per_year=0.95, value_offset=0.0, norm_damping="off", idf=True
    )
    plan = shadow_plan(settings)
    assert plan is not None
    assert plan.vector is None
    assert store_settings(settings).further == {} == shadow_vectors(settings)


def test_a_store_that_is_away_for_the_shadow_stops_nothing(rigs: Rigs) -> None:
    """Law: lists are published all the same; ratings that no fresh list of the shadow foretold are not judged by it."""
    rig, stream = rigs.make(configured("tutorial")), records()
    main_alone = rigs.make(configured())
    main_alone.run(stream)
    rig.run(stream[:140])
    before = rig.figures()["tutorial"]["all"]["n"]
    assert isinstance(rig.store, AwayStore)
    rig.store.is_away = True
    rig.run(stream[140:])
    found = rig.figures()
    assert rig.lists() == main_alone.lists()
    assert found["tutorial"]["ratings"] == found["default"]["ratings"]
    assert before < found["tutorial"]["paired_ratings"] < found["default"]["all"]["n"]


def test_users_from_before_the_shadow_are_no_neighbours_until_they_rate(tmp_path: Path) -> None:
    """Law: a shadow may join a store at any time; whoever rates gets a vector, the others have none."""
    stream = records()
    without = EdgeStore(tmp_path, store_settings(configured()), 0)
    Rig(configured(), without).run(stream[:140])
    without.close()
    joined = configured("tutorial")
    store = EdgeStore(tmp_path, store_settings(joined), 0)
    later = stream[140:147]
    rig = Rig(joined, store)
    rig.handle(later)
    assert rig.shadow is not None
    raters = {point_id((record.key or b"").decode()) for record in later}
    found = rig.shadow.recommender.neighbours(
        [rig.shadow.recommender.question_of(user, rig.handler._states.load([user], [])[user]) for user in rig.shown]
    )
    assert {identity for one in found for identity in one.neighbours.ids} <= raters
    store.close()


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"EVALUATION__SHADOW": "fastest"}, "there is no such preset; there are: default, tutorial, article"),
        ({"EVALUATION__SHADOW": "default"}, "default makes the published lists already"),
        ({"EVALUATION__SHADOW": "article"}, "article needs ranking.global_mean and ranking.global_deviation"),
        ({"EVALUATION__SHADOW": "tutorial", "EVALUATION__WINDOW_EVENTS": "0"}, "evaluation.window_events above 0"),
    ],
)
def test_a_shadow_that_cannot_be_is_refused(variables: dict[str, str], says: str, tmp_path: Path) -> None:
    """Law: the error says what is wrong and what to do."""
    with pytest.raises(SettingsError, match=says):
        load_settings(environment={f"TASTESTREAM_{name}": value for name, value in variables.items()}, folder=tmp_path)
