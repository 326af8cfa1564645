"""What a user says of themselves is kept, and a user who asks to be forgotten is."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
import qdrant_edge
from deployment import Deployment
from topic_truth import assert_exactly_once, committed_records, header_values, published, updates

from consumers.settings_mapping import ranking_rules
from consumers.stores.edge import EdgeStore
from recommender.profile import UserState
from recommender.store import NeighbourQuery, StateWrite, point_id
from recommender.vector import query_vector
from schemas.events import AttributeValue, Event, Forgotten, ProfileChanged, Rated

ANN, BOB = "ann of Green Gables", "bob"
HAIR = "Titian red"
POINTS_MAX = 1_000
Attributes = dict[str, AttributeValue | None]

LIFE: list[Event] = [
    *(Rated(user_id=ANN, item_id=item, rating=4.5) for item in range(1, 8)),
    *(Rated(user_id=BOB, item_id=item, rating=4.0) for item in range(3, 12)),
    ProfileChanged(type="profile", user_id=ANN, attributes={"hair": HAIR, "age": 11}),
]
FORGET = Forgotten(type="forget", user_id=ANN)


@pytest.fixture
def deployment(broker: str, topic_prefix: str, tmp_path: Path) -> Iterator[Deployment]:
    with Deployment(broker, topic_prefix, tmp_path, limits__batch_max_records="5") as made:
        yield made.make_topics()


def take(deployment: Deployment, *events: Event) -> None:
    """Send events, and let a worker take them from its start to its end."""
    deployment.produce(events)
    worker = deployment.worker().start()
    deployment.await_lag(0, worker)
    worker.await_ready()
    assert worker.stop() == 0


def state_of(deployment: Deployment, user_id: str) -> UserState:
    return deployment.states()[point_id(user_id)]


def text_of_store(deployment: Deployment) -> str:
    """Every point as text: id, payload and vector of users, markers and settings."""
    store = cast("EdgeStore", deployment.store())
    try:
        everything = qdrant_edge.ScrollRequest(limit=POINTS_MAX, with_payload=True, with_vector=True)
        records, next_id = store._shard.scroll(everything)
    finally:
        store.close()
    assert next_id is None
    return "\n".join(f"{record.id} {json.dumps(record.payload)} {record.vector}" for record in records)


def neighbours_of_bob(deployment: Deployment) -> list[int]:
    """Point ids of the users who have something in common with Bob."""
    rules, store = ranking_rules(deployment.settings), deployment.store()
    try:
        history = store.read([BOB], []).states[BOB].history
        vector = query_vector(history, rules.value, rules.query_events, rules.query_half_life)
        assert vector is not None
        return store.nearest([NeighbourQuery(vector, POINTS_MAX, point_id(BOB))])[0].ids
    finally:
        store.close()


def test_attributes_arrive_in_the_state(deployment: Deployment) -> None:
    """Each name is set with its value and type, null removes it, others stay; the user gets a list for it."""
    first: Attributes = {"age": 31, "height": 1.7, "gender": "F", "member": True, "city": "Łódź"}
    second: Attributes = {"age": 32, "gender": None}
    take(deployment, *(ProfileChanged(type="profile", user_id=ANN, attributes=given) for given in (first, second)))
    found = state_of(deployment, ANN).attributes
    expected = {"age": 32, "height": 1.7, "member": True, "city": "Łódź"}
    assert {name: (type(value), value) for name, value in found.items()} == {
        name: (type(value), value) for name, value in expected.items()
    }
    assert_exactly_once(deployment)


def test_a_forgotten_user_is_nowhere_and_may_come_back(deployment: Deployment) -> None:
    """The list is removed, id and attributes are in no point, nobody's neighbour; what comes later starts afresh."""
    take(deployment, *LIFE)
    assert ANN in text_of_store(deployment)
    assert HAIR in text_of_store(deployment)
    assert point_id(ANN) in neighbours_of_bob(deployment)
    take(deployment, FORGET)
    records = committed_records(deployment, deployment.settings.recommendations_topic)
    last = [record for record in records if record.key() == ANN.encode()][-1]
    assert last.value() is None
    assert header_values(last)["ce_type"] == b"tastestream.forgotten.v1"
    assert ANN not in text_of_store(deployment)
    assert HAIR not in text_of_store(deployment)
    assert point_id(ANN) not in neighbours_of_bob(deployment)
    assert_exactly_once(deployment)
    take(deployment, Rated(user_id=ANN, item_id=99, rating=2.0))
    state = state_of(deployment, ANN)
    assert (state.user_id, state.history.items.tolist(), dict(state.attributes)) == (ANN, [99], {})
    assert state.count == len([event for event in LIFE if event.user_id == ANN]) + 2
    assert_exactly_once(deployment)


@pytest.mark.parametrize("lost", ["markers", "everything"])
def test_a_replay_brings_nobody_back(deployment: Deployment, lost: str) -> None:
    """A store that was set back catches up without lists, without dead letters, and without who was forgotten."""
    take(deployment, *LIFE, FORGET)
    before = published(deployment)
    if lost == "markers":
        set_markers_back(deployment)
    else:
        shutil.rmtree(deployment.settings.edge_folder)
    take(deployment)
    assert ANN not in text_of_store(deployment)
    assert HAIR not in text_of_store(deployment)
    assert state_of(deployment, ANN).user_id is None
    assert published(deployment) == before
    assert_exactly_once(deployment)


def set_markers_back(deployment: Deployment) -> None:
    """Let the store vouch for nothing, as one restored from its first day would."""
    sources = {row.source for rows in updates(deployment).values() for row in rows}
    store = deployment.store()
    try:
        assert max(store.read([], list(sources)).markers.values()) >= 0
        store.write(StateWrite(dict.fromkeys(sources, -1), []))
    finally:
        store.close()
