"""The worker's table of the catalogue: read to the end, then followed; what cannot be read stops nothing."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from confluent_kafka import KafkaError, KafkaException
from structlog.testing import capture_logs

from consumers import catalogue_table
from consumers.catalogue_table import CatalogueTable, TableOptions
from consumers.item_ids import INTEGER_IDS, ItemIds
from consumers.metrics import Metrics
from recommender.catalogue import Catalogue
from recommender.registry import ItemRegistry, MemoryTable
from recommender.store import StoreUnavailableError
from schemas.decode import WireRules

TOPIC = "items"


@dataclass(frozen=True)
class FakeMessage:
    content: Any = None
    place: int | None = 0
    at: int = 0
    code: int | None = None
    id: bytes | None = None

    def key(self) -> bytes | None:
        return self.id if self.id is not None else str(self.content["item_id"]).encode()

    def value(self) -> bytes | None:
        return self.content if self.content is None or isinstance(self.content, bytes) else orjson.dumps(self.content)

    def error(self) -> KafkaError | None:
        return None if self.code is None else KafkaError(self.code, "said so")

    def topic(self) -> str:
        return TOPIC

    def partition(self) -> int | None:
        return self.place

    def offset(self) -> int:
        return self.at


def end(partition: int = 0) -> FakeMessage:
    return FakeMessage(place=partition, code=KafkaError._PARTITION_EOF)


def item(number: int | str, title: str, partition: int = 0) -> FakeMessage:
    return FakeMessage({"item_id": number, "title": title}, partition)


def removal(number: int | str) -> FakeMessage:
    return FakeMessage(id=str(number).encode())


@dataclass
class FakeConsumer:
    """Gives its messages one by one; `None` stands for a moment without any."""

    messages: deque[FakeMessage | None] = field(default_factory=deque)
    partitions: int = 1
    failure: KafkaError | None = None
    unknown: KafkaError | None = None
    assigned: list[Any] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def list_topics(self, topic: str, timeout: float) -> Any:
        assert timeout > 0
        if self.failure is not None:
            raise KafkaException(self.failure)
        found = SimpleNamespace(error=self.unknown, partitions=dict.fromkeys(range(self.partitions)))
        return SimpleNamespace(topics={topic: found})

    def assign(self, partitions: list[Any]) -> None:
        self.assigned = partitions

    def poll(self, timeout: float) -> FakeMessage | None:
        self.waits.append(timeout)
        return self.messages.popleft() if self.messages else None

    def consume(self, limit: int, timeout: float) -> list[FakeMessage]:
        assert timeout == 0
        taken: list[FakeMessage] = []
        while self.messages and self.messages[0] is not None and len(taken) < limit:
            message = self.messages.popleft()
            assert message is not None
            taken.append(message)
        return taken


@dataclass
class Rig:
    consumer: FakeConsumer
    load_timeout_s: float = 60
    items_max: int = 100
    items: ItemIds = INTEGER_IDS
    catalogue: Catalogue = field(init=False)
    metrics: Metrics = field(default_factory=Metrics)
    table: CatalogueTable = field(init=False)
    properties: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        def make(properties: dict[str, Any]) -> FakeConsumer:
            self.properties = properties
            return self.consumer

        self.catalogue = Catalogue(self.items_max)
        rules = WireRules(catalogue="integer" if self.items is INTEGER_IDS else "string")
        options = TableOptions(TOPIC, rules, self.load_timeout_s, items=self.items)
        self.table = CatalogueTable({"group.id": "g"}, options, self.catalogue, self.metrics, make)

    def loaded(self, may_go_on: Callable[[], bool] = lambda: True) -> list[dict[str, Any]]:
        with capture_logs() as logs:
            self.table.load(may_go_on)
        return [dict(line) for line in logs]

    def titles(self) -> dict[int, str | None]:
        return {number: known.title for number, known in self.catalogue.items.items()}

    def metric(self, line: str) -> float:
        lines = [row for row in self.metrics.render().decode().splitlines() if row.startswith(line)]
        return float(lines[0].rpartition(" ")[2]) if lines else 0.0


def rig(*messages: FakeMessage | None, **options: Any) -> Rig:
    return Rig(FakeConsumer(deque(messages)), **options)


def events(lines: Iterable[dict[str, Any]]) -> list[str]:
    return [str(line["event"]) for line in lines]


def test_loading_ends_at_the_end_of_every_partition() -> None:
    """Law: the first list finds the whole catalogue; what comes later is followed, and nothing is committed."""
    made = Rig(
        FakeConsumer(
            deque([item(1, "One"), end(0), None, item(2, "Two", 1), item(3, "Three", 1), end(1), item(4, "Four")]),
            partitions=2,
        )
    )
    made.loaded()
    assert made.titles() == {1: "One", 2: "Two", 3: "Three", 4: "Four"}
    assert [(tp.partition, tp.offset) for tp in made.consumer.assigned] == [(0, -2), (1, -2)]
    assert made.properties["enable.auto.commit"] is False
    assert made.properties["isolation.level"] == "read_committed"
    made.consumer.messages.extend([item(1, "One, again"), removal(2)])
    made.table.follow()
    assert made.titles() == {1: "One, again", 3: "Three", 4: "Four"}
    assert made.catalogue.removed.tolist() == [2]
    assert made.metric('tastestream_catalogue_items{state="known"}') == 3
    assert made.metric('tastestream_catalogue_items{state="removed"}') == 1


def test_following_never_waits() -> None:
    """Law: between two batches the table takes what is there, a slice at most."""
    made = rig(end())
    made.loaded()
    made.consumer.waits.clear()
    made.consumer.messages.extend(item(n, "x") for n in range(1, 1_502))
    made.table.follow()
    assert made.consumer.waits == [0]
    assert len(made.consumer.messages) == 1_501 - catalogue_table.SLICE_RECORDS


def test_malformed_records_are_told_counted_and_passed_over() -> None:
    """Law: each is logged with its place and reason, and the records around it are taken."""
    made = rig(
        item(1, "One"), FakeMessage(b"{", at=7, id=b"2"), FakeMessage({"item_id": 3}, id=b"4"), item(5, "F"), end()
    )
    logs = [line for line in made.loaded() if line["log_level"] == "warning"]
    assert made.titles() == {1: "One", 5: "F"}
    assert [(line["reason"], line["topic"], line["partition"]) for line in logs] == [
        ("not_json", TOPIC, 0),
        ("key_mismatch", TOPIC, 0),
    ]
    assert logs[0]["offset"] == 7
    assert made.metric('tastestream_catalogue_refused_total{reason="not_json"}') == 1


def test_a_flood_of_malformed_records_is_not_a_flood_of_lines() -> None:
    """Law: so many are told, and then that the rest is only counted."""
    made = rig(*(FakeMessage(b"{", id=b"1") for _ in range(300)), end())
    logs = [line for line in made.loaded() if line["log_level"] == "warning"]
    assert len(logs) == catalogue_table._LOGGED_MAX + 1
    assert made.metric('tastestream_catalogue_refused_total{reason="not_json"}') == 300


def test_a_full_catalogue_says_so() -> None:
    """Law: what does not fit is left out, told with the setting that decides it, and counted."""
    made = rig(item(1, "One"), item(2, "Two"), item(1, "Uno"), end(), items_max=1)
    (line,) = [line for line in made.loaded() if line["log_level"] == "warning"]
    assert made.titles() == {1: "Uno"}
    assert "limits.catalogue_max_items" in line["why"]
    assert made.metric('tastestream_catalogue_refused_total{reason="catalogue_full"}') == 1


@pytest.mark.parametrize(
    "consumer",
    [
        FakeConsumer(unknown=KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)),
        FakeConsumer(unknown=KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)),
        FakeConsumer(failure=KafkaError(KafkaError._TIMED_OUT)),
    ],
)
def test_without_its_topic_a_worker_goes_on(consumer: FakeConsumer) -> None:
    """Law: a deployment from before there was a catalogue, or one that may not read it, is told once what it lacks."""
    made = Rig(consumer)
    logs = made.loaded()
    assert events(logs)[0].startswith("there is no catalogue until the next start")
    made.table.follow()
    assert made.titles() == {}


def test_loading_takes_so_long_and_no_longer() -> None:
    """Law: a topic that does not end holds the first list up for the limit; what came counts, the rest follows."""
    made = rig(item(1, "One"), load_timeout_s=0)
    assert events(made.loaded())[-1].startswith("the catalogue is not read to its end yet")
    made.consumer.messages.extend([item(1, "One"), end()])
    made.table.follow()
    assert made.titles() == {1: "One"}


def test_a_worker_that_is_to_stop_reads_no_further() -> None:
    """Law: SIGTERM ends the loading."""
    answers = iter([True, False])
    made = rig(item(1, "One"), None, item(2, "Two"), end())
    made.loaded(lambda: next(answers))
    assert made.titles() == {1: "One"}


def test_a_partition_that_cannot_be_read_is_told_once() -> None:
    """Law: the others are read all the same, and neither loading nor following hangs on it."""
    refused = FakeMessage(place=1, code=KafkaError.TOPIC_AUTHORIZATION_FAILED)
    everywhere = FakeMessage(place=None, code=KafkaError._ALL_BROKERS_DOWN)
    made = Rig(FakeConsumer(deque([refused, item(1, "One"), refused, everywhere, end(0), refused]), partitions=2))
    told = [line for line in made.loaded() if line["log_level"] == "warning"]
    assert [line["partition"] for line in told] == [1]
    assert made.titles() == {1: "One"}


class AwayTable(MemoryTable):
    """A registry's table that is away for its first reads."""

    def __init__(self, away: int) -> None:
        super().__init__()
        self.away = away

    def read(self, dimensions: Sequence[int]) -> Mapping[int, str]:
        if self.away:
            self.away -= 1
            raise StoreUnavailableError("the registry is away")
        return super().read(dimensions)


def test_items_of_text_ids_stand_at_their_dimensions() -> None:
    """Law: titles and removals are found under the dimensions that ratings of the same ids get."""
    items = ItemIds(ItemRegistry(MemoryTable()))
    made = rig(item("SKU 1", "One"), item("SKU 2", "Two"), removal("SKU 3"), item(4, "no text"), end(), items=items)
    made.loaded()
    dimensions = items.assigned(["SKU 1", "SKU 2", "SKU 3"])
    assert made.titles() == {dimensions["SKU 1"]: "One", dimensions["SKU 2"]: "Two"}
    assert made.catalogue.removed.tolist() == [dimensions["SKU 3"]]
    assert made.metric('tastestream_catalogue_refused_total{reason="bad_item_id"}') == 1


def test_the_catalogue_waits_for_the_registry_and_loses_nothing() -> None:
    """Law: while the registry is away records wait, at the start as later, and it is told once; ratings go on."""
    table = AwayTable(3)
    made = rig(item("SKU 1", "One"), item("SKU 1", "Uno"), end(), items=ItemIds(ItemRegistry(table)))
    logs = made.loaded()
    assert events(logs).count("the catalogue waits for the registry of items") == 1
    assert list(made.titles().values()) == ["Uno"]
    table.away = 1
    made.consumer.messages.extend([item("SKU 2", "Two"), item("SKU 2", "Dos")])
    made.table.follow()
    assert list(made.titles().values()) == ["Uno"]
    made.table.follow()
    assert sorted(map(str, made.titles().values())) == ["Dos", "Uno"]
    assert not made.consumer.messages
