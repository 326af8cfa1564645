"""Where benchmarks run: a Kafka (our own, or the one that KAFKA_BOOTSTRAP_SERVERS names), topics, and workers.

Every deployment has a namespace of its own, so that several may follow each other on one Kafka.
"""

import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, get_args

import stamina
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from consumers.answering.client import ask
from consumers.cluster import Cluster
from consumers.demo.audience import Audience
from consumers.demo.stage import BOOTSTRAP_VARIABLE, Worker
from consumers.metric_names import StepName
from consumers.settings import Settings
from consumers.settings_mapping import topic_plan
from consumers.topic_reader import TopicReader
from consumers.topics import make
from producers.broker import BrokerOptions, LocalBroker
from producers.broker_artifacts import Progress
from producers.broker_config import free_ports
from producers.broker_process import bound_to_parent
from producers.datasets import bundled_dataset
from producers.tables import time_order
from schemas.encode import event_message
from schemas.events import Rated
from schemas.messages import Message
from tests.bench.frame import ROOT

SEND_TIMEOUT_S = 120.0
LEADERS_TIMEOUT_S = 30.0
PATIENCE_S = 60.0
STOP_TIMEOUT_S = 10.0


@contextmanager
def kafka(say: Progress) -> Iterator[str]:
    """The bootstrap servers of a Kafka that is there while the block runs."""
    if servers := os.environ.get(BOOTSTRAP_VARIABLE):
        yield servers
        return
    with LocalBroker(BrokerOptions(), say) as broker:
        yield broker.bootstrap_servers


@dataclass(frozen=True, slots=True)
class Deployment:
    """Topics of our own on a Kafka, and a folder for stores and logs."""

    settings: Settings
    folder: Path

    def reader(self) -> TopicReader:
        """A read_committed reader of the lists."""
        settings = self.settings
        return TopicReader(settings.kafka.client_config(), [settings.recommendations_topic], PATIENCE_S)

    def send(self, messages: Iterable[Message]) -> None:
        """Append records to the input topic as fast as it goes; returns when the brokers have them all."""
        send(self.settings.kafka.bootstrap_servers, self.settings.input_topics[0], messages)

    @contextmanager
    def worker(self, settings: Settings | None = None) -> Iterator[Worker]:
        """`python -m consumers run`, killed at the end of the block; `settings` are those of one among several."""
        settings = settings or self.settings
        worker = Worker(settings, self.folder / f"{settings.instance}.log")
        try:
            yield worker
        finally:
            worker.end()

    @contextmanager
    def echo(self, topics: tuple[str, str], value: bytes) -> Iterator[None]:
        """`python -m tests.bench.echo`, which answers what comes into the first topic with `value` in the second."""
        file = self.folder / "echo"
        file.write_bytes(value)
        arguments = [self.settings.kafka.bootstrap_servers, self.settings.group, *topics, str(file)]
        command = [*bound_to_parent(), sys.executable, "-m", "tests.bench.echo", *arguments]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Watched(Protocol):
    """Who makes lists: a worker, or several."""

    def check(self) -> None:
        """See that it still runs; raises as `Worker.check`."""

    def log_tail(self) -> str:
        """The last lines of its log."""


def await_lists(audience: Audience, worker: Watched, events: int) -> None:
    """Return when lists stand for so many events.

    Raises:
        TimeoutError: none came for a while; says what the worker said.
    """
    _await(audience, worker, lambda: audience.events >= events)


def await_list_count(audience: Audience, worker: Watched, lists: int) -> None:
    """Return when so many lists have come; raises as `await_lists`."""
    _await(audience, worker, lambda: audience.lists >= lists)


def _await(audience: Audience, worker: Watched, is_done: Callable[[], bool]) -> None:
    if not audience.until(is_done, worker.check, PATIENCE_S):
        raise TimeoutError(f"no list came for {PATIENCE_S:g} s:\n{worker.log_tail()}")


def load(place: Deployment, worker: Worker, events: list[Message]) -> None:
    """Append ratings, and return when lists stand for all of them; raises as `await_lists`."""
    with place.reader() as reader:
        audience = Audience(reader)
        place.send(events)
        await_lists(audience, worker, len(events))


def await_answer(place: Deployment, worker: Worker, user_id: str, request_id: str, patience_s: float) -> None:
    """Return when a question about a user is answered, which is once all stored users are counted.

    Raises:
        TimeoutError: it is not in time; says what the worker said.
    """
    if ask(place.settings, {"user_id": user_id}, request_id, patience_s) is None:
        raise TimeoutError(f"no answer came in {patience_s:g} s:\n{worker.log_tail()}")


def step_seconds(worker: Worker) -> dict[str, float]:
    """What a worker has spent by step since its start."""
    return {step: worker.metric(f'tastestream_step_seconds_sum{{step="{step}"}}') for step in get_args(StepName)}


@contextmanager
def deployment(servers: str, **sections: Mapping[str, Any]) -> Iterator[Deployment]:
    """Topics and a folder, both gone afterwards; `sections` are settings beside or instead of those given here."""
    with tempfile.TemporaryDirectory(prefix="tastestream-bench-") as name:
        folder = Path(name)
        given: dict[str, Any] = {
            "namespace": f"bench-{secrets.token_hex(4)}",
            "instance": "bench",
            "kafka": {"bootstrap_servers": servers},
            "qdrant": {"edge_path": folder / "store"},
            "http": {"port": free_ports(["http"])["http"]},
            "log": {"format": "json"},
        }
        for section, values in sections.items():
            given[section] = {**given.get(section, {}), **values}
        settings = Settings(**given)
        cluster = Cluster(settings.kafka.client_config(), settings.kafka.request_timeout_s)
        cluster.check_reachable()
        specs, groups = topic_plan(settings)
        make(cluster, specs, groups, settings.topics.replication_factor)
        _await_leaders(servers, {spec.name: spec.partitions for spec in specs})
        try:
            yield Deployment(settings, folder)
        finally:
            for future in cluster.admin.delete_topics([spec.name for spec in specs]).values():
                future.exception()


@stamina.retry(on=KafkaException, attempts=None, timeout=LEADERS_TIMEOUT_S, wait_max=0.2)
def _await_leaders(servers: str, partitions: Mapping[str, int]) -> None:
    # A broker knows of a new topic a moment before it serves it.
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "bench"})
    try:
        for topic, number in ((topic, number) for topic, count in partitions.items() for number in range(count)):
            consumer.get_watermark_offsets(TopicPartition(topic, number), LEADERS_TIMEOUT_S)
    finally:
        consumer.close()


def demo_events(limit: int | None = None) -> list[Message]:
    """The demonstration's ratings in its order, as records without a topic."""
    rows = time_order(bundled_dataset().ratings).take(slice(0, limit)).rows()
    return [
        event_message("", Rated.model_validate({"user_id": str(u), "item_id": i, "rating": r, "rated_at": at_ms}))
        for u, i, r, at_ms in rows
    ]


def send(servers: str, topic: str, messages: Iterable[Message]) -> None:
    """Append records as fast as it goes; returns when the brokers have them all."""
    producer = Producer({"bootstrap.servers": servers, "partitioner": "murmur2_random", "linger.ms": 5})
    for message in messages:
        while True:
            try:
                producer.produce(topic, key=message.key, value=message.value)
                break
            except BufferError:
                producer.poll(0.1)
    waiting = producer.flush(SEND_TIMEOUT_S)
    producer.close()
    if waiting:
        raise TimeoutError(f"{waiting} records did not reach {topic!r} in {SEND_TIMEOUT_S:g} s")
