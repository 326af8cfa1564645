"""Standing filters through the broker: who votes, what is shown, how far it was widened, and what nobody can meet."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from deployment import Deployment
from qdrant_process import QdrantProcess
from service_process import WorkerProcess

from consumers.catalogue_reading import item_producer
from consumers.published_lists import current_list
from schemas.events import Event, ProfileChanged, Rated
from schemas.items import Item
from schemas.recommendations import RecommendationList

COMMON = (1, 2, 3)
YOUNG, OLD, RARE, PAST = 101, 102, 103, 104
"""Items that only one kind of neighbour rated."""
YEAR_2010_MS = 1_262_304_000_000
NOTICE = "a standing filter asks for what is not there"


def rated(user_id: str, *items: int) -> Iterator[Event]:
    return (Rated(user_id=user_id, item_id=item, rating=4.5) for item in items)


def aged(user_id: str, age: int) -> Event:
    return ProfileChanged(type="profile", user_id=user_id, attributes={"age": age})


def population() -> list[Event]:
    """Three of 20 and three of 60 years who have rated four items, and three of 20 who have rated only three."""
    events: list[Event] = []
    for n in range(3):
        events += [aged(f"young {n}", 20), *rated(f"young {n}", *COMMON, YOUNG)]
        events += [aged(f"old {n}", 60), *rated(f"old {n}", *COMMON, OLD)]
        events += [aged(f"new {n}", 20), *rated(f"new {n}", *COMMON[:2], RARE)]
    return events


@pytest.fixture(params=["edge", "server"])
def deployment(request: pytest.FixtureRequest, broker: str, topic_prefix: str, tmp_path: Path) -> Iterator[Deployment]:
    """Three neighbours are enough for a list here; every item stands in the catalogue."""
    own = {"ranking__neighbours": "3", "ranking__trend": "false", "topics__partitions": "1"}
    with QdrantProcess(tmp_path / "qdrant") as qdrant:
        if request.param == "server":
            own |= {"qdrant__store": "server", "qdrant__url": qdrant.url}
        with Deployment(broker, topic_prefix, tmp_path, **own) as made:
            made.make_topics().produce(population())
            with item_producer(made.settings) as producer:
                for item_id in (*COMMON, YOUNG, OLD, RARE):
                    genre, year = ("Noir", 1944) if item_id in {OLD, RARE} else ("Comedy", 1990 + item_id)
                    producer.put(Item(item_id=item_id, title=f"film {item_id}", genres=[genre], year=year))
            yield made


def list_of(deployment: Deployment, user_id: str) -> RecommendationList:
    value = current_list(deployment.settings, user_id)
    assert value is not None
    return value


def voted(value: RecommendationList) -> set[int | str]:
    """What neighbours stand behind, beside what everybody rated."""
    return {item["item_id"] for item in value["items"] if item["support"]} - set(COMMON)


def noticed(worker: WorkerProcess) -> set[str]:
    lines = [json.loads(line) for line in worker.stderr.splitlines() if NOTICE in line]
    return {str(line["why"]).partition(":")[0] for line in lines}


def test_neighbours_are_chosen_and_lists_say_how_far_they_were_sought(deployment: Deployment) -> None:
    """By age and number of ratings, widened step by step; whoever has no age is held to the rest alone."""
    worker = deployment.worker(filters__near="age:2", filters__min_ratings="4").start()
    deployment.await_lag(0, worker)
    asking = {"mine": 21, "younger": 17, "oldest": 90}
    deployment.produce([*(aged(user, age) for user, age in asking.items())])
    deployment.produce([event for user in (*asking, "ageless") for event in rated(user, *COMMON[:2])])
    deployment.await_lag(0, worker)
    found = {user: list_of(deployment, user) for user in (*asking, "ageless")}
    assert {user: value.get("widened") for user, value in found.items()} == {
        "mine": "as asked",
        "younger": "age +/- 4",
        "oldest": "without attributes",
        "ageless": "as asked",
    }
    assert voted(found["mine"]) == voted(found["younger"]) == {YOUNG}
    assert RARE not in voted(found["oldest"]) | voted(found["ageless"])
    assert noticed(worker) == set()
    assert worker.stop() == 0


def test_only_items_that_pass_are_shown(deployment: Deployment) -> None:
    """By genre and year in every list, those of unknown users too; without enough neighbours, without conditions."""
    own = {"filters__genres": "noir", "filters__year_to": "1950", "filters__min_ratings": "1000"}
    worker = deployment.worker(**own, ranking__popular_interval_s="0.1").start()
    deployment.await_lag(0, worker)
    deployment.produce(rated("me", *COMMON[:2]))
    deployment.await_lag(0, worker)
    assert worker.stop() == 0
    found = list_of(deployment, "me")
    assert {item["item_id"] for item in found["items"]} == {OLD, RARE}
    assert found["widened"] == "without conditions"
    assert {item["item_id"] for item in list_of(deployment, "_popular")["items"]} == {OLD, RARE}


def test_what_is_long_past_neither_votes_nor_is_shown(deployment: Deployment) -> None:
    """Without filters those who rated years ago vote; active lately: they do not; popular now: nor is theirs shown."""
    past = [event for n in range(3) for event in rated(f"past {n}", *COMMON, PAST)]
    deployment.produce(event.model_copy(update={"rated_at": YEAR_2010_MS}) for event in past)
    found: dict[str, RecommendationList] = {}
    for name, own in {
        "anything": {},
        "active": {"filters__active_within_days": "30"},
        "popular": {"filters__popular_within_days": "30"},
    }.items():
        worker = deployment.worker(**own, ranking__neighbours="20").start()
        deployment.await_lag(0, worker)
        deployment.produce(rated(name, *COMMON[:2]))
        deployment.await_lag(0, worker)
        assert worker.stop() == 0
        found[name] = list_of(deployment, name)
    assert {name: PAST in voted(value) for name, value in found.items()} == {
        "anything": True,
        "active": False,
        "popular": False,
    }
    shown = {name: {item["item_id"] for item in value["items"]} for name, value in found.items()}
    assert PAST not in shown["popular"]
    assert YOUNG in shown["popular"] & voted(found["active"])


def test_a_filter_for_what_nobody_has_is_told(deployment: Deployment) -> None:
    """A misspelt attribute asks nothing of neighbours and a misspelt genre lets nothing through; the log names both."""
    first = deployment.worker().start()
    deployment.await_lag(0, first)
    assert first.stop() == 0
    own = {"filters__near": "agee:10", "filters__same": "age,planet", "filters__genres": "Commedy,Noir"}
    worker = deployment.worker(**own).start()
    worker.await_until(lambda: len(noticed(worker)) == 3, "the filters are told of")
    assert noticed(worker) == {
        "no user has the attribute 'agee'",
        "no user has the attribute 'planet'",
        "no item has the genre 'Commedy'",
    }
    deployment.produce([aged("me", 20), *rated("me", *COMMON[:2])])
    deployment.await_lag(0, worker)
    found = list_of(deployment, "me")
    assert (found["widened"], {item["item_id"] for item in found["items"]}) == ("as asked", {OLD, RARE})
    assert worker.stop() == 0
