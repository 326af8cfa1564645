"""What `config check` finds out about a Qdrant server, against the gRPC double: it looks, and makes nothing."""

from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient, models
from qdrant_double import QdrantDouble

from consumers.exit_codes import ExitCode
from consumers.preflight import Finding, preflight
from consumers.settings import Settings
from consumers.store_opening import open_store
from producers.broker_config import free_ports


def settings_for(double: QdrantDouble, **changed: Any) -> Settings:
    """A server store at the double, and a Kafka that does not answer."""
    qdrant = {"store": "server", "url": f"http://127.0.0.1:{double.port}", **changed}
    nowhere = f"127.0.0.1:{free_ports(['none'])['none']}"
    return Settings(qdrant=qdrant, kafka={"bootstrap_servers": nowhere, "request_timeout_s": 0.2})


def finding(settings: Settings) -> Finding:
    """What is said of the store."""
    kafka, store = preflight(settings)
    assert (kafka.what, kafka.code, store.what) == ("kafka", ExitCode.KAFKA, "server store")
    return store


def test_a_server_without_the_collection_is_fine_and_stays_so(tmp_path: Path) -> None:
    """The version is told; no collection is made by looking."""
    with QdrantDouble(tmp_path) as double:
        found = finding(settings_for(double))
        assert (found.code, "Qdrant 1.19.0" in found.detail) == (ExitCode.OK, True)
        assert "the first worker makes it" in found.detail
        assert double.calls["Collections.Create"] == 0


def test_an_empty_collection_is_left_as_it_is(tmp_path: Path) -> None:
    """Opening it as a worker does would write the store's settings."""
    with QdrantDouble(tmp_path) as double:
        client = QdrantClient(host="127.0.0.1", grpc_port=double.port, prefer_grpc=True, check_compatibility=False)
        client.create_collection("users", vectors_config={}, sparse_vectors_config={"v": models.SparseVectorParams()})
        assert finding(settings_for(double)).code is ExitCode.OK
        assert client.count("users").count == 0
        client.close()


def test_a_store_is_described_or_refused(tmp_path: Path) -> None:
    """One of these settings is described, one of others is refused with the code that a worker would end with."""
    with QdrantDouble(tmp_path) as double:
        settings = settings_for(double)
        open_store(settings).close()
        assert "scale 0.5..5" in finding(settings).detail
        others = settings.model_copy(update={"catalogue": settings.catalogue.model_copy(update={"scale_max": 10.0})})
        assert finding(others).code is ExitCode.STORE_MISMATCH


@pytest.mark.parametrize(
    ("version", "changed"),
    [
        ("1.18.0", {}),
        ("1.19.0", {"replication_factor": 2, "write_consistency_factor": 2}),
        ("1.19.0", {"replication_factor": 2}),
    ],
    ids=["an old server", "replication that can lose updates", "two replicas"],
)
def test_what_no_worker_would_start_with_is_refused(tmp_path: Path, version: str, changed: dict[str, Any]) -> None:
    """What would stop a worker is found before one starts."""
    with QdrantDouble(tmp_path, version=version) as double:
        assert finding(settings_for(double, **changed)).code is ExitCode.STORE


def test_the_risk_of_two_replicas_can_be_taken(tmp_path: Path) -> None:
    """A setting that says what can be lost makes two replicas acceptable."""
    with QdrantDouble(tmp_path) as double:
        nodes = (f"http://127.0.0.1:{double.port}",) * 2
        two = {"replication_factor": 2, "node_urls": nodes}
        taken = {**two, "accept_lost_ratings_if_a_worker_dies": True}
        assert finding(settings_for(double, **taken)).code is ExitCode.OK
        assert "qdrant.node_urls" in finding(settings_for(double, **{**taken, "node_urls": nodes[:1]})).detail
        assert "accept_lost_ratings" in finding(settings_for(double, **two)).detail


def test_an_empty_collection_that_is_unsafe_is_refused(tmp_path: Path) -> None:
    """A collection that somebody made counts as it is, whatever the settings would make."""
    with QdrantDouble(tmp_path) as double:
        client = QdrantClient(host="127.0.0.1", grpc_port=double.port, prefer_grpc=True, check_compatibility=False)
        sparse = {"v": models.SparseVectorParams()}
        client.create_collection("users", vectors_config={}, sparse_vectors_config=sparse, replication_factor=2)
        client.close()
        found = finding(settings_for(double))
        assert (found.code, "accept_lost_ratings_if_a_worker_dies" in found.detail) == (ExitCode.STORE, True)


def test_a_server_that_is_away_is_a_finding(tmp_path: Path) -> None:
    """No answer within the request's limit is the store's failure, not ours."""
    double = QdrantDouble(tmp_path, port=free_ports(["none"])["none"])
    assert finding(settings_for(double, timeout_s=1)).code is ExitCode.STORE
