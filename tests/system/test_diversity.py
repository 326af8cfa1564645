"""`ranking.diversity` through the broker: with a catalogue, lists show other kinds than the best one."""

from pathlib import Path

from deployment import Deployment
from service_process import WorkerProcess

from consumers.catalogue_reading import item_producer
from consumers.published_lists import current_list
from schemas.events import Event, Rated
from schemas.items import Item
from schemas.recommendations import RecommendationList

WARS, OTHERS = range(100, 120), range(120, 140)
LENGTH = 10


def film(item_id: int) -> Item:
    """One of many films of one kind, or the only one of its own."""
    genre = "War" if item_id in WARS else f"kind {item_id}"
    return Item(item_id=item_id, title=f"film {item_id}", genres=[genre], year=1990)


def tastes() -> list[Event]:
    """A neighbour likes all films, those of the one kind a little better; a user has two in common with them."""
    liked = [(1, 5.0), (2, 4.0), *((item, 4.5) for item in WARS), *((item, 4.0) for item in OTHERS)]
    near: list[Event] = [Rated(user_id="near", item_id=item, rating=rating) for item, rating in liked]
    return near + [Rated(user_id="me", item_id=item, rating=rating) for item, rating in liked[:2]]


def first_items(deployment: Deployment, worker: WorkerProcess) -> list[int]:
    """The first places of the user's list."""
    deployment.await_lag(0, worker)
    assert worker.stop() == 0
    value: RecommendationList | None = current_list(deployment.settings, "me")
    assert value is not None
    return [int(item["item_id"]) for item in value["items"][:LENGTH]]


def test_a_list_varies_as_much_as_the_setting_says(broker: str, topic_prefix: str, tmp_path: Path) -> None:
    """Without diversity the first places are all of one kind, with it hardly any; the best item stays the first."""
    # One partition, so that the user's list comes after the neighbour's ratings.
    own = {"ranking__position_floor": "1", "topics__partitions": "1"}
    with Deployment(broker, topic_prefix, tmp_path, **own) as deployment:
        deployment.make_topics()
        with item_producer(deployment.settings) as producer:
            for item_id in (*WARS, *OTHERS):
                producer.put(film(item_id))
        deployment.produce(tastes())
        plain = first_items(deployment, deployment.worker().start().await_ready())
        deployment.produce([Rated(user_id="me", item_id=2, rating=4.0)])
        diverse = first_items(deployment, deployment.worker(ranking__diversity="0.5").start().await_ready())
    assert set(plain) <= set(WARS)
    assert len(set(diverse) & set(WARS)) == 1
    assert diverse[0] == plain[0]
