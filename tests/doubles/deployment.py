"""One deployment of the service for a test: its settings, topics, workers and stores, apart from every other's."""

import json
import subprocess
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from confluent_kafka import Consumer, KafkaException, TopicPartition
from service_process import PREFIX, PROGRAM, WAIT_S, WorkerProcess, await_until, clean_environment

from consumers.cluster import Cluster
from consumers.settings import Settings, load_settings
from consumers.settings_mapping import topic_plan
from consumers.store_opening import open_store
from consumers.topics import make
from producers.ratings import RatingProducer
from recommender.profile import UserState
from recommender.store import Store
from schemas.events import Event

NAMESPACE_MAX_CHARS = 64
PAGE_USERS = 1_000


class Deployment:
    """Everything under one namespace; ends its workers at the end of its `with` block.

    Args:
        servers: the Kafka cluster.
        prefix: of topics, group and store; of one that is too long for a namespace the end.
        folder: of the Edge store and the workers' logs.
        variables: further settings for all its workers, as in `limits__batch_max_records="10"`.

    Attributes:
        process: makes a worker of its settings, its folder and further arguments.
    """

    def __init__(self, servers: str, prefix: str, folder: Path, **variables: str) -> None:
        self.servers = servers
        self._folder = folder
        self._variables = _environment(
            namespace=prefix.strip("-")[-NAMESPACE_MAX_CHARS:],
            kafka__bootstrap_servers=servers,
            qdrant__edge_path=str(folder / "edge"),
            qdrant__edge_disk_reserve_bytes="0",
            topics__partitions="4",
            topics__session_timeout_ms="3000",
            topics__heartbeat_interval_ms="500",
        ) | _environment(**variables)
        self.settings: Settings = load_settings(environment=self._variables, folder=folder)
        self.topic = self.settings.input_topics[0]
        self._offsets = Consumer({"bootstrap.servers": servers, "group.id": self.settings.group, "log_level": 0})
        self.process: Callable[..., WorkerProcess] = WorkerProcess
        self._stack = ExitStack()
        self._stack.callback(self._offsets.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def make_topics(self) -> Self:
        """Make the topics and set the group's timings."""
        make(self.cluster, *topic_plan(self.settings), self.settings.topics.replication_factor)
        return self

    @cached_property
    def cluster(self) -> Cluster:
        """The Kafka cluster, as an administrator sees it."""
        return Cluster(self.settings.kafka.client_config(), WAIT_S)

    def settings_with(self, **variables: str) -> Settings:
        """The settings of a worker with some of its own."""
        return load_settings(environment=self._variables | _environment(**variables), folder=self._folder)

    def worker(self, *arguments: str, **variables: str) -> WorkerProcess:
        """A worker that is not started yet; `variables` are settings of its own."""
        own = self._variables | _environment(**variables)
        return self._stack.enter_context(self.process(own, self._folder, *arguments))

    def environment(self, **variables: str) -> dict[str, str]:
        """Of a command that is typed with the deployment's settings, at a terminal of 160 columns."""
        return clean_environment({**self._variables, **_environment(**variables), "COLUMNS": "160"})

    def command(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """A command of `tastestream`, run to its end by nobody at a terminal; `variables` are settings of its own."""
        done = subprocess.run(
            [*PROGRAM, *arguments],
            cwd=self._folder,
            env=self.environment(**variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def answer(self, *arguments: str, **variables: str) -> Any:
        """The JSON document that a command prints when all is well."""
        done = self.command(*arguments, "--json", **variables)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def produce(self, events: Iterable[Event]) -> None:
        """Send events, and return when the brokers have them."""
        with RatingProducer(self.servers, self.topic) as producer:
            for event in events:
                producer.send(event)

    def store(self) -> Store:
        """The deployment's store; an Edge store only while no worker holds it."""
        return open_store(self.settings)

    def states(self) -> dict[int, UserState]:
        """Every state in the store, by point id."""
        store, found, from_id = self.store(), dict[int, UserState](), None
        try:
            while True:
                page = store.scan(from_id, PAGE_USERS)
                found |= dict(page.states)
                if (from_id := page.next_id) is None:
                    return found
        finally:
            store.close()

    def committed(self) -> dict[int, int]:
        """The group's committed offset by partition of the input topic; 0 where there is none."""
        return {tp.partition: max(0, tp.offset) for tp in self._offsets.committed(self._partitions(), WAIT_S)}

    def ends(self, topic: str | None = None) -> dict[int, int]:
        """Where a topic ends, by partition; the input topic where none is named."""
        return {tp.partition: self._offsets.get_watermark_offsets(tp, WAIT_S)[1] for tp in self._partitions(topic)}

    def lag(self) -> int:
        """Records of the input topic beyond the committed offsets."""
        return sum(self.ends().values()) - sum(self.committed().values())

    def await_lag(self, at_most: int, *workers: WorkerProcess) -> None:
        """Return once at most so many records are left to commit, and fail when a worker ends before.

        Brokers that are away are asked again.
        """

        def is_reached() -> bool:
            for worker in workers:
                assert worker.running, worker.stderr[-4000:]
            try:
                return self.lag() <= at_most
            except KafkaException:
                return False

        await_until(is_reached, f"a lag of {at_most}")

    def _partitions(self, topic: str | None = None) -> list[TopicPartition]:
        name = topic or self.topic
        return [TopicPartition(name, number) for number in self._offsets.list_topics(name).topics[name].partitions]


def _environment(**variables: str) -> dict[str, str]:
    return {PREFIX + name.upper(): value for name, value in variables.items()}
