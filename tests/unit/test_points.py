"""How states, markers and settings stand in a payload."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from sample_states import exactly, history, sample_state, states

from consumers.stores.generations import fingerprint
from consumers.stores.points import (
    TAG,
    is_user,
    marker_offset,
    marker_payload,
    settings_payload,
    settings_tag,
    stored_settings,
    user_payload,
    user_state,
)
from recommender.profile import HistoryLimits, UserState
from recommender.store import StoreError, StoreSettings
from recommender.vector import VectorSpec

SETTINGS = StoreSettings("movielens", 0.5, 5.0, "v1234", epoch=3, partitions={"ratings": 4, "a.b/c": 8})


@given(states("someone"))
def test_a_state_survives_its_payload(state: UserState) -> None:
    """A payload is plain JSON and gives the state back bit for bit."""
    assert exactly(user_state(json.loads(json.dumps(user_payload(state))))) == exactly(state)


def test_what_people_look_at_stands_in_the_open() -> None:
    """User id, number and mean of ratings, the time of the last, and attributes can be read and filtered."""
    rated = history((7, 4.0, 1_000), (9, float("nan"), 2_000), (8, 2.5, 1_500))
    found = user_payload(sample_state("someone", 5, history=rated, attributes={"age": 36, "city": "Graz"}))
    assert (found["user_id"], found["num_ratings"], found["avg_rating"]) == ("someone", 2, 3.25)
    assert (found["active_at_ms"], found["attributes"], found[TAG]) == (1_500, {"age": 36, "city": "Graz"}, 5)


def test_without_ratings_there_is_no_mean() -> None:
    """A mean of nothing is absent, not zero."""
    found = user_payload(sample_state("someone", 1, history=history((9, float("nan"), 2_000))))
    assert found["num_ratings"] == 0
    assert not {"avg_rating", "active_at_ms"} & set(found)


def test_floats_of_attributes_do_not_rely_on_the_engine() -> None:
    """Where the engine changes a float's last digit, the exact one is still read."""
    exact = 1.9060211884410623
    found = user_payload(sample_state("someone", 1, attributes={"height": exact, "age": 36}))
    found["attributes"]["height"] = np.nextafter(exact, 2)
    assert user_state(found).attributes == {"height": exact, "age": 36}


def test_a_forgotten_user_is_only_numbers() -> None:
    """Nothing that tells who it was is left, whatever the state still carried."""
    known = sample_state("someone", 5, attributes={"city": "Graz"}, seen=np.array([3], np.uint32))
    assert set(user_payload(replace(known, user_id=None))) == {"count", "o", "last", TAG}


@pytest.mark.parametrize(
    "damage",
    [
        {"history": "no base64!"},
        {"history": "AAAA"},
        {"seen": "AAA="},
        {"history": 5},
        {"exact": {"height": "tall"}},
        {"exact": 5},
        {"count": None},
        {TAG: None},
        {"o": None},
    ],
)
def test_a_payload_that_is_none_of_ours_is_an_error(damage: dict[str, Any]) -> None:
    """Damage names the user and what to do, whichever field it hit; a field set to None here is missing."""
    payload = {**user_payload(sample_state("someone", 1)), **damage}
    given_back = {name: value for name, value in payload.items() if value is not None}
    with pytest.raises(StoreError, match=r"a point of user 'someone' does not hold a state of ours.*restore it"):
        user_state(given_back)


def test_kinds_of_points_can_be_told_apart() -> None:
    """Users, known and forgotten, are users; markers and settings are not."""
    assert is_user(user_payload(sample_state("someone", 1)))
    assert is_user(user_payload(UserState(tag=1)))
    assert not is_user(marker_payload("topic.0", 5))
    assert not is_user(settings_payload(SETTINGS))


def test_a_marker_survives_its_payload() -> None:
    """Also where nothing is verified yet (−1)."""
    assert [marker_offset(marker_payload("topic.0", offset)) for offset in (-1, 0, 2**62)] == [-1, 0, 2**62]


def test_settings_of_older_stores_stay_what_they_were() -> None:
    """What came later is absent where it is not used, so content and tag are those that older versions wrote."""
    assert settings_payload(SETTINGS) == {
        TAG: 6617194238575521337,
        "settings": {
            "format_version": 1,
            "catalogue": "movielens",
            "scale_min": "0.5",
            "scale_max": "5.0",
            "value_rule": "v1234",
            "epoch": 3,
            "partitions": [{"topic": "ratings", "count": 4}, {"topic": "a.b/c", "count": 8}],
        },
    }


FURTHER = {"content": VectorSpec(128), "shadow": VectorSpec(), "rare": VectorSpec(idf=True)}


@pytest.mark.parametrize("changes", [{"idf": True}, {"further": FURTHER}])
def test_vectors_survive_their_payload(changes: dict[str, Any]) -> None:
    """How the vectors were made is part of the settings, and of what a rebuilt store is named after."""
    settings = replace(SETTINGS, **changes)
    assert stored_settings(json.loads(json.dumps(settings_payload(settings)))) == settings
    assert settings_tag(settings) != settings_tag(SETTINGS)
    assert fingerprint(settings, HistoryLimits(), {"t": 4}) != fingerprint(SETTINGS, HistoryLimits(), {"t": 4})


@pytest.mark.parametrize("name", ["v1234", ""])
def test_a_further_vector_has_a_name_of_its_own(name: str) -> None:
    """The main vector's name and no name are taken."""
    with pytest.raises(ValueError, match="a name of its own"):
        replace(SETTINGS, further={name: VectorSpec(3)})


@pytest.mark.parametrize("scale_max", [5.0, 10 / 3, 1e22])
def test_settings_survive_their_payload(scale_max: float) -> None:
    """Exactly, floats included, and without topic names as keys."""
    settings = replace(SETTINGS, scale_max=scale_max)
    payload = json.loads(json.dumps(settings_payload(settings)))
    assert stored_settings(payload) == settings
    assert "ratings" not in payload["settings"]


def test_different_settings_have_different_tags() -> None:
    """The order in which partition counts were noted does not matter, everything else does."""
    turned = replace(SETTINGS, partitions=dict(reversed(list(SETTINGS.partitions.items()))))
    assert settings_tag(turned) == settings_tag(SETTINGS)
    others = [
        replace(SETTINGS, epoch=4),
        replace(SETTINGS, partitions={"ratings": 4}),
        replace(SETTINGS, scale_max=4.0),
    ]
    assert len({settings_tag(other) for other in (SETTINGS, *others)}) == 4
    assert all(0 <= settings_tag(other) < 2**63 for other in others)


@pytest.mark.parametrize("payload", [{}, {"settings": 5}, {"settings": {"epoch": 1}}, {"settings": {"partitions": 1}}])
def test_settings_that_are_none_of_ours_are_an_error(payload: dict[str, Any]) -> None:
    """A settings point without our settings belongs to no store of ours."""
    with pytest.raises(StoreError, match="cannot be read"):
        stored_settings(payload)
