"""`tastestream rebuild` and the vectors beside the one of ratings: content, factors and a shadow's, for every user."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from deployment import Deployment
from qdrant_process import QdrantProcess
from request_client import RequestClient
from service_process import DEFAULTS, PROGRAM, WAIT_S, clean_environment

from consumers.catalogue_reading import item_producer
from consumers.exit_codes import ExitCode
from consumers.store_opening import open_store
from recommender.searching import NOBODY
from recommender.store import NeighbourQuery
from recommender.vector import SparseVector
from schemas.events import Event, Rated
from schemas.items import Item

NOIR, COMEDY = range(100, 110), range(200, 210)
VECTORS = {
    "ranking__content_weight": "0.3",
    "ranking__factors_weight": "0.3",
    "ranking__trend": "false",
    "ranking__global_mean": "3.5",
    "ranking__global_deviation": "1.05",
    "evaluation__shadow": "article",
}


def rated(user_id: str, items: range) -> Iterator[Event]:
    return (Rated(user_id=user_id, item_id=i, rating=4.5, rated_at=1_700_000_000_000 + i) for i in items)


def tastes() -> list[Event]:
    """Two who have nothing in common but the kind of film, two of another kind, and one who ties the first together."""
    return [
        *rated("noir", NOIR[5:]),
        *rated("comedy", COMEDY[5:]),
        *rated("other", COMEDY[:5]),
        *rated("bridge", NOIR[3:8]),
        *rated("me", NOIR[:5]),
    ]


class Service:
    """A deployment, the settings of its present life, and what its commands and workers answer."""

    def __init__(self, deployment: Deployment, folder: Path) -> None:
        self.deployment = deployment
        self.own: dict[str, str] = {}
        self._folder = folder

    def command(self, *arguments: str) -> Any:
        own = {f"TASTESTREAM_{name.upper()}": value for name, value in self.own.items()}
        done = subprocess.run(
            [*PROGRAM, *arguments, "--json"],
            cwd=self._folder,
            env=clean_environment(DEFAULTS | self.deployment._variables | own),
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
        assert done.returncode == ExitCode.OK, done.stderr
        return json.loads(done.stdout)

    def answers(self) -> dict[str, Any]:
        """The lists that a worker makes for everybody who asks, and nothing of when it made them."""
        with self.deployment.worker(**self.own) as worker:
            worker.start()
            self.deployment.await_lag(0, worker)
            client = RequestClient(self.deployment)
            found = {user: client.ask({"user_id": user})["items"] for user in ("me", "noir", "other")}
            assert worker.stop() == 0
        return found

    def found_by_the_shadow(self) -> dict[int, float]:
        """Whom the shadow's vector finds, with their similarity, by point id."""
        settings = self.deployment.settings_with(**self.own)
        rows = np.array([*NOIR, *COMEDY], np.uint32)
        with closing(open_store(settings)) as store:
            (name,) = (name for name, spec in store.settings.further.items() if spec.dimensions is None)
            query = NeighbourQuery(SparseVector(rows, np.ones(len(rows), np.float32)), 10, NOBODY, using=name)
            (found,) = store.nearest([query])
        return dict(zip(found.ids, found.similarities, strict=True))


@pytest.fixture(params=["edge", "server"])
def service(request: pytest.FixtureRequest, broker: str, topic_prefix: str, tmp_path: Path) -> Iterator[Service]:
    """One whose store was filled by a worker that knows of no other vector than that of ratings."""
    with QdrantProcess(tmp_path / "qdrant") as qdrant:
        server = {"qdrant__store": "server", "qdrant__url": qdrant.url} if request.param == "server" else {}
        with Deployment(broker, topic_prefix, tmp_path, **server) as made:
            made.make_topics().produce(tastes())
            with item_producer(made.settings) as producer:
                for item_id in (*NOIR, *COMEDY):
                    genre, year = ("Noir", 1950) if item_id in NOIR else ("Comedy", 1990)
                    producer.put(Item(item_id=item_id, title=f"film {item_id}", genres=[genre], year=year))
            worker = made.worker().start()
            made.await_lag(0, worker)
            assert worker.stop() == 0
            yield Service(made, tmp_path)


def test_a_rebuild_renews_every_vector_of_every_user(service: Service, tmp_path: Path) -> None:
    """Law: who has not rated since the settings came is found by them after a rebuild; a second one changes nothing."""
    file = tmp_path / "factors.npz"
    # With fewer the cut goes through equal singular values, and one kind of film may stand for the other.
    service.command("factors", "train", "--out", str(file), "--dimensions", "4")
    service.own = VECTORS | {"ranking__factors_file": str(file)}
    outcome = service.command("rebuild")
    assert (outcome["switched"], outcome["mismatches"]) == (True, 0)
    shadow = service.found_by_the_shadow()
    assert len(shadow) == 5
    before = service.answers()
    assert {item["item_id"] for item in before["me"][:5]} == set(NOIR[5:])
    assert {way for item in before["me"] for way in item.get("source", [])} == {"ratings", "content", "factors"}
    assert service.command("rebuild")["switched"]
    assert service.found_by_the_shadow() == shadow
    assert service.answers() == before
