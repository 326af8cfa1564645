"""What a worker cannot work with ends it at once: one line that names the setting, and the exit code for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    ResourceType,
)
from deployment import Deployment
from qdrant_process import QdrantProcess
from sample_ratings import ratings
from service_process import WAIT_S, WorkerProcess
from topic_truth import assert_exactly_once

from consumers.exit_codes import ExitCode
from consumers.topics import INPUT_MAX_MESSAGE_BYTES
from producers.broker import FAST_RECOVERY, BrokerOptions, LocalBroker
from producers.broker_config import LOOPBACK, free_ports

LOGIN = {
    "kafka__security_protocol": "SASL_PLAINTEXT",
    "kafka__sasl_mechanism": "PLAIN",
    "kafka__sasl_username": "ann",
}
RIGHT, WRONG = "right-5f2c", "wrong-5f2c"
LISTENER = {
    "listener.name.login.sasl.enabled.mechanisms": "PLAIN",
    "listener.name.login.plain.sasl.jaas.config": (
        f'org.apache.kafka.common.security.plain.PlainLoginModule required user_ann="{RIGHT}";'
    ),
}
CLASSIC_GROUPS_ONLY = {"group.coordinator.rebalance.protocols": "classic"}
EVENTS = 100


@pytest.fixture
def bare(broker: str, topic_prefix: str, tmp_path: Path) -> Iterator[Deployment]:
    """A deployment without topics."""
    with Deployment(broker, topic_prefix, tmp_path) as made:
        yield made


@pytest.fixture
def deployment(bare: Deployment) -> Deployment:
    return bare.make_topics()


@pytest.fixture(scope="module")
def old_broker() -> Iterator[LocalBroker]:
    """A broker as before Kafka 4: without the group protocol of KIP-848; and with a listener that asks for a login."""
    properties = {**FAST_RECOVERY, **LISTENER, **CLASSIC_GROUPS_ONLY}
    with LocalBroker(BrokerOptions(listeners={"LOGIN": "SASL_PLAINTEXT"}, properties=properties)) as local:
        yield local


def refusal(worker: WorkerProcess, code: ExitCode) -> str:
    """The line with which a worker ends, with this exit code."""
    assert worker.await_exit() == code, worker.stderr
    return worker.refusal()


def nowhere() -> str:
    """An address where nobody listens."""
    return f"{LOOPBACK}:{free_ports(['nobody'])['nobody']}"


def test_no_kafka(topic_prefix: str, tmp_path: Path) -> None:
    """The address and its setting are named."""
    address = nowhere()
    with Deployment(address, topic_prefix, tmp_path, kafka__request_timeout_s="1") as unreachable:
        said = refusal(unreachable.worker().start(), ExitCode.KAFKA)
    assert address in said
    assert "kafka.bootstrap_servers" in said


def test_missing_topics(bare: Deployment) -> None:
    """All missing topics are named, and the command that makes them."""
    said = refusal(bare.worker().start(), ExitCode.TOPICS)
    for name in (bare.topic, bare.settings.recommendations_topic, bare.settings.dead_letter_topic):
        assert name in said
    assert "tastestream topics create" in said


def test_a_wrong_password(old_broker: LocalBroker, topic_prefix: str, tmp_path: Path) -> None:
    """The settings of the login are named, and the password is not shown."""
    login = {**LOGIN, "kafka__sasl_password": WRONG, "kafka__request_timeout_s": "3"}
    with Deployment(old_broker.address("LOGIN"), topic_prefix, tmp_path, **login) as stranger:
        worker = stranger.worker().start()
        said = refusal(worker, ExitCode.KAFKA)
    assert "kafka.sasl_password" in said
    assert WRONG not in worker.stderr


def test_brokers_without_the_group_protocol(old_broker: LocalBroker, topic_prefix: str, tmp_path: Path) -> None:
    """The version that is needed is named; the login before it, with the right password, was taken."""
    with Deployment(old_broker.bootstrap_servers, topic_prefix, tmp_path) as plain:
        plain.make_topics()
    with Deployment(old_broker.address("LOGIN"), topic_prefix, tmp_path, **LOGIN, kafka__sasl_password=RIGHT) as old:
        said = refusal(old.worker().start(), ExitCode.KAFKA)
    assert "Kafka 4.0 or later" in said


def test_a_dead_letter_topic_that_is_too_small(deployment: Deployment) -> None:
    """A topic that could not take the largest dead letter is refused before anything is read."""
    topic = ConfigResource(ResourceType.TOPIC, deployment.settings.dead_letter_topic)
    limit = ConfigEntry("max.message.bytes", str(INPUT_MAX_MESSAGE_BYTES), incremental_operation=AlterConfigOpType.SET)
    topic.add_incremental_config(limit)
    deployment.cluster.admin.incremental_alter_configs([topic])[topic].result(WAIT_S)
    said = refusal(deployment.worker().start(), ExitCode.TOPICS)
    assert f"max.message.bytes of {deployment.settings.dead_letter_topic}" in said


def test_a_store_of_other_settings(deployment: Deployment) -> None:
    """A store is for one scale: the setting is named with both values."""
    deployment.store().close()
    said = refusal(deployment.worker(catalogue__scale_max="10").start(), ExitCode.STORE_MISMATCH)
    assert "scale_max = 5.0" in said
    assert "10.0" in said


def test_an_edge_store_in_use(deployment: Deployment) -> None:
    """A second process on the folder is refused, and the setting of the folder is named."""
    store = deployment.store()
    try:
        said = refusal(deployment.worker().start(), ExitCode.STORE)
    finally:
        store.close()
    assert "qdrant.edge_path" in said


def test_a_second_worker_beside_an_edge_store(deployment: Deployment, tmp_path: Path) -> None:
    """A worker with an Edge store that does not get every partition ends; the one that had them goes on."""
    first = deployment.worker().start().await_ready()
    patience = {"limits__all_partitions_timeout_s": "2", "qdrant__edge_path": str(tmp_path / "second")}
    second = deployment.worker(instance="second", **patience).start()
    assert "qdrant.store = server" in refusal(second, ExitCode.KAFKA)
    deployment.produce(ratings(EVENTS))
    deployment.await_lag(0, first)
    assert first.stop() == 0
    assert_exactly_once(deployment)


def test_a_disk_at_its_reserve(deployment: Deployment) -> None:
    """Below the reserve nothing is written and nothing committed; the setting of the reserve is named."""
    deployment.produce(ratings(EVENTS))
    said = refusal(deployment.worker(qdrant__edge_disk_reserve_bytes=str(2**60)).start(), ExitCode.DISK_FULL)
    assert "qdrant.edge_disk_reserve_bytes" in said
    assert deployment.lag() == EVENTS
    assert deployment.states() == {}


def test_partitions_that_were_added(deployment: Deployment) -> None:
    """Another partition count ends a worker that runs, and the one that is started after it."""
    worker = deployment.worker().start().await_ready()
    added = NewPartitions(deployment.topic, deployment.settings.topics.partitions + 1)
    deployment.cluster.admin.create_partitions([added])[deployment.topic].result(WAIT_S)
    for again in (worker, worker):
        said = refusal(again, ExitCode.STORE_MISMATCH)
        assert f"{deployment.topic!r} has 5 partitions" in said
        again.start()


def test_an_old_qdrant(deployment: Deployment, tmp_path: Path) -> None:
    """The version found and the one needed are named."""
    with QdrantProcess(tmp_path / "qdrant", "--version", "1.18.3") as old:
        said = refusal(deployment.worker(qdrant__store="server", qdrant__url=old.url).start(), ExitCode.STORE)
    assert "1.18.3" in said
    assert "1.19" in said
    assert "qdrant.url" in said


def test_no_qdrant(deployment: Deployment) -> None:
    """The address and its setting are named."""
    address = nowhere()
    said = refusal(deployment.worker(qdrant__store="server", qdrant__url=f"http://{address}").start(), ExitCode.STORE)
    assert address in said
    assert "qdrant.url" in said


def test_a_wrong_api_key(deployment: Deployment, tmp_path: Path) -> None:
    """The setting of the key is named, and the key is not shown."""
    with QdrantProcess(tmp_path / "qdrant", "--api-key", RIGHT) as guarded:
        server = {"qdrant__store": "server", "qdrant__url": guarded.url}
        worker = deployment.worker(**server, qdrant__api_key=WRONG).start()
        said = refusal(worker, ExitCode.STORE)
    assert "qdrant.api_key" in said
    assert WRONG not in worker.stderr
