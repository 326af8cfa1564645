"""Reads lists and dead letters as they are committed, and notes what must not be, and when everything came.

One read_committed reader for the whole trial, because the topic of lists is compacted: what it reads later may have
lost what came earlier.
"""

import threading
import time
from array import array
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise, product
from typing import cast

from confluent_kafka import OFFSET_BEGINNING, Consumer, IsolationLevel, KafkaError, Message, TopicPartition
from confluent_kafka.admin import OffsetSpec
from deployment import Deployment
from service_process import await_until
from topic_truth import Published, header_values, published_as

BATCH_RECORDS = 1_000
POLL_S = 0.1
END_TIMEOUT_S = 60.0
PROBLEMS_MAX = 20


@dataclass(slots=True)
class Arrivals:
    """When the lists of a partition were written and when they could be read, both in epoch seconds."""

    written_s: "array[float]" = field(default_factory=lambda: array("d"))
    read_s: "array[float]" = field(default_factory=lambda: array("d"))


class ListWatch:
    """Reads from a thread of its own between `start` and `finish`.

    Attributes:
        last: the newest list or tombstone of each user.
        doubled: lists whose (epoch, version) the user had before.
        out_of_order: lists with an older (epoch, version) than the user's newest.
        dead_letters: how often each (partition, offset) was dead-lettered.
        arrivals: by partition.
    """

    def __init__(self, deployment: Deployment) -> None:
        self.last: dict[str, Published] = {}
        self.lists = self.doubled = self.out_of_order = 0
        self.dead_letters: Counter[tuple[int, int]] = Counter()
        self.arrivals: defaultdict[int, Arrivals] = defaultdict(Arrivals)
        self.problems: list[str] = []
        self._versions: defaultdict[str, set[tuple[int, int]]] = defaultdict(set)
        settings = deployment.settings
        self._lists = settings.recommendations_topic
        places = product((self._lists, settings.dead_letter_topic), range(settings.topics.partitions))
        self._next = dict.fromkeys(places, OFFSET_BEGINNING)
        self._servers = deployment.servers
        self._admin = deployment.cluster.admin
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lists", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def finish(self) -> None:
        """Read what is committed by now, to the end, and then no more."""
        if self._stopped.is_set():
            return
        self._stopped.set()
        self._thread.join()
        self._await_stable()
        unread, deadline = set(self._next), time.monotonic() + END_TIMEOUT_S
        consumer = self._consumer()
        while unread:
            assert time.monotonic() < deadline, f"the ends of {unread} could not be read"
            for message in consumer.consume(BATCH_RECORDS, POLL_S):
                error = message.error()
                if error is None:
                    self.take(message)
                elif error.code() == KafkaError._PARTITION_EOF:
                    unread.discard(_place(message))
        consumer.close()

    def _await_stable(self) -> None:
        """Wait until no transaction is open: one that a killed worker left hides what others commit behind it."""
        latest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        wanted = {TopicPartition(*place): latest for place in self._next}

        def ends(level: IsolationLevel) -> list[int]:
            found = self._admin.list_offsets(wanted, isolation_level=level)
            return [future.result(END_TIMEOUT_S).offset for future in found.values()]

        await_until(
            lambda: ends(IsolationLevel.READ_COMMITTED) == ends(IsolationLevel.READ_UNCOMMITTED),
            "the end of transactions that were left open",
        )

    def close(self) -> None:
        """Read no more."""
        if not self._stopped.is_set():
            self._stopped.set()
            self._thread.join()

    def first_after(self, at_s: float) -> float | None:
        """When the first list that was written after this time could be read, both in epoch seconds."""
        found = [
            read_s
            for arrivals in list(self.arrivals.values())
            for read_s in [_first_after(arrivals, at_s)]
            if read_s is not None
        ]
        return min(found, default=None)

    def partitions_after(self, at_s: float) -> int:
        """Of how many partitions a list can be read that was written after this time, in epoch seconds."""
        return sum(_first_after(arrivals, at_s) is not None for arrivals in list(self.arrivals.values()))

    def longest_gap_s(self, until_s: float, from_s: float = 0.0) -> float:
        """The longest time in which no list could be read, of what touches `from_s` to `until_s` (epoch seconds)."""
        return _longest(
            [at_s for arrivals in list(self.arrivals.values()) for at_s in list(arrivals.read_s)], until_s, from_s
        )

    def longest_gap_of_partition_s(self, until_s: float, from_s: float) -> float:
        """The same for each partition by itself, the longest of them."""
        return max(_longest(list(arrivals.read_s), until_s, from_s) for arrivals in list(self.arrivals.values()))

    def _run(self) -> None:
        consumer = self._consumer()
        while not self._stopped.is_set():
            for message in consumer.consume(BATCH_RECORDS, POLL_S):
                if message.error() is None:
                    self.take(message)
        consumer.close()

    def _consumer(self) -> Consumer:
        consumer = Consumer(
            {
                "bootstrap.servers": self._servers,
                "group.id": "chaos-reader",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 10,
                "log_level": 0,
            }
        )
        consumer.assign([TopicPartition(*place, offset) for place, offset in self._next.items()])
        return consumer

    def take(self, message: Message) -> None:
        """Note a list or a dead letter."""
        place = _place(message)
        self._next[place] = cast("int", message.offset()) + 1
        if place[0] == self._lists:
            self._take_list(message, place[1])
        else:
            said = header_values(message)
            self.dead_letters[int(said["__connect.errors.partition"]), int(said["__connect.errors.offset"])] += 1

    def _take_list(self, message: Message, partition: int) -> None:
        self.lists += 1
        user_id, found = (message.key() or b"").decode(), published_as(message)
        newest = self.last.get(user_id)
        if found.version in self._versions[user_id]:
            self.doubled += 1
            self._problem(f"the list {found.version} of {user_id} came twice")
        elif newest is not None and found.version < newest.version:
            self.out_of_order += 1
            self._problem(f"the list {found.version} of {user_id} came after {newest.version}")
        self._versions[user_id].add(found.version)
        self.last[user_id] = found
        arrivals = self.arrivals[partition]
        arrivals.written_s.append(message.timestamp()[1] / 1000)
        arrivals.read_s.append(time.time())

    def _problem(self, text: str) -> None:
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(text)


def _place(message: Message) -> tuple[str, int]:
    return cast("str", message.topic()), cast("int", message.partition())


def _first_after(arrivals: Arrivals, at_s: float) -> float | None:
    # From the end, because what is asked for is recent; times of different workers on one machine do not go back.
    found = None
    for at in range(len(arrivals.read_s) - 1, -1, -1):
        if arrivals.written_s[at] <= at_s:
            break
        found = arrivals.read_s[at]
    return found


def _longest(times: list[float], until_s: float, from_s: float) -> float:
    marks = sorted(at_s for at_s in times if at_s <= until_s)
    return max((after - before for before, after in pairwise([*marks, until_s]) if after >= from_s), default=0.0)
