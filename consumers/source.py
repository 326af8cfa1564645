"""The Kafka source: batches in, with everything the delivery guarantee needs to know about where they came from.

- The group protocol is KIP-848 with dynamic membership; partitions come and go in callbacks inside `poll`.
- Nothing is committed here. Every partition begins where `starting_position` says, never where a reset policy would.
- Offsets carry the topic id: a topic that is deleted and made again begins at 0 again, and is another source.
- With several topics nothing new is taken while one is behind what was committed (`catching_up`).
- `poll(t)`, then `consume(n − 1, 0)`: `consume(n, t)` alone would wait for n records or the whole t.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from consumers.batch_size import BatchLimits, BatchSize
from consumers.catching_up import CatchingUp
from consumers.consumed_messages import offset_of, place_of, record_of
from consumers.offsets import Offsets, Patience, SourceError, asking_properties, explained, refuse_lasting
from consumers.records import Assigned, Batch, GapError, Position, Record, starting_position

ClientFactory = Callable[[dict[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """What to consume, how much at a time; `accepted_gaps`: partitions by topic whose lost events are skipped."""

    topics: tuple[str, ...]
    batch: BatchLimits = field(default_factory=BatchLimits)
    poll_timeout_s: float = 0.2
    patience: Patience = field(default_factory=Patience)
    must_hold_all_partitions: bool = False
    all_partitions_timeout_s: float = 90.0
    accepted_gaps: Mapping[str, Sequence[int]] = field(default_factory=dict)


class Listener(Protocol):
    """What the source asks and tells as partitions come and go, in callbacks inside `poll`."""

    def markers(self, sources: Sequence[str]) -> Mapping[str, int]:
        """The store's markers of sources."""

    def partitions_seen(self, counts: Mapping[str, int]) -> None:
        """Check and remember the partition counts of topics."""

    def partitions_changed(self) -> None:
        """Partitions came or went: whatever was cached may be stale."""


@dataclass(frozen=True, slots=True)
class _Held:
    source: str
    position: Position
    end: int


class KafkaSource:
    """Reads the input topics as a member of the group."""

    def __init__(
        self,
        properties: Mapping[str, Any],
        options: SourceOptions,
        listener: Listener,
        consumer: ClientFactory = Consumer,
        admin: ClientFactory = AdminClient,
    ) -> None:
        self._options = options
        self._listener = listener
        self._size = BatchSize(options.batch)
        self._is_several = len(options.topics) > 1
        self._held: dict[tuple[str, int], _Held] = {}
        self._catching_up = CatchingUp()
        self._assignments = 0
        self._total = 0
        self._incomplete_since: float | None = time.monotonic()
        self._consumer: Consumer = consumer(
            {
                **properties,
                "group.protocol": "consumer",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 100,
                # All of a user's events must come to one worker: partition n of every topic belongs together.
                **({"group.remote.assignor": "range", "enable.partition.eof": True} if self._is_several else {}),
            }
        )
        group = properties.get("group.id", "")
        self._explained = partial(explained, options.topics, group)
        self._asking: Consumer = consumer(asking_properties(properties))
        self._offsets = Offsets(self._asking, admin(_admin_properties(properties)), options.patience, self._explained)
        self._consumer.subscribe(
            list(options.topics), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
        )

    @property
    def held(self) -> frozenset[tuple[str, int]]:
        """The partitions held now, as (topic, partition)."""
        return frozenset(self._held)

    @property
    def replaying(self) -> bool:
        """Whether any held partition is still behind what was committed."""
        return any(self._next(key) < held.position.committed for key, held in self._held.items())

    def poll(self, timeout_s: float | None = None) -> Batch:
        """The next records, or an empty batch after `timeout_s` (None: `poll_timeout_s`).

        Raises:
            GapError: events that the store lacks are gone from a topic.
            SourceError: Kafka refuses, or this process must hold all partitions and does not get them.
        """
        limit = self._size.begin()
        first = self._consumer.poll(self._options.poll_timeout_s if timeout_s is None else timeout_s)
        assignments = self._assignments
        rest = self._consumer.consume(limit - 1, 0) if first is not None else []
        metadata = self._consumer.consumer_group_metadata()
        self._check_complete()
        if self._assignments != assignments:
            # Partitions came or went between the two calls: a partition that left and came back would give its records
            # twice and out of order, and of those behind the later ones the fold takes none.
            self.rewind()
            return Batch([], metadata)
        messages = [] if first is None else [first, *rest]
        self._size.took(len(messages))
        is_behind = self._catching_up.is_behind
        records = [r for message in messages if (r := self._record(message)) is not None]
        return Batch(self._old_first(records) if is_behind else records, metadata)

    def keep_alive(self) -> bool:
        """Stay in the group without taking records; False: what was polled before must be given up and rewound."""
        assignments = self._assignments
        self._consumer.pause([TopicPartition(*key) for key in self._held])
        message = self._consumer.poll(self._options.poll_timeout_s)
        if message is not None and (error := message.error()) is not None:
            self._heard(message, error)
            message = None
        if not self._incomplete():
            self._resume()
        return message is None and self._assignments == assignments

    def rewind(self) -> None:
        """Go back, in every held partition, to where the group's committed offsets and the markers say."""
        keys = list(self._held)
        for key, held in self._located(keys).items():
            self._hold(key, held)
            self._seek(key, held.position.start)
        self._hold_back()

    def lags(self) -> dict[tuple[str, int], int]:
        """Records between here and the end of each held partition, as far as known without asking the broker."""
        lags: dict[tuple[str, int], int] = {}
        for key in self._held:
            _, high = self._consumer.get_watermark_offsets(TopicPartition(*key), cached=True)
            if high >= 0:
                lags[key] = max(0, high - self._next(key))
        return lags

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()
        self._asking.close()

    def _next(self, key: tuple[str, int]) -> int:
        position: int = self._consumer.position([TopicPartition(*key)])[0].offset
        return self._held[key].position.start if position == OFFSET_INVALID else position

    def _hold(self, key: tuple[str, int], held: _Held) -> None:
        self._held[key] = held
        # Of a single topic all of a user's events come from one partition, in order: with the first new one all that
        # was committed of theirs is there.
        if self._is_several:
            self._catching_up.begin(key, held.position.start, min(held.position.committed, held.end))

    def _seek(self, key: tuple[str, int], offset: int) -> None:
        try:
            self._consumer.seek(TopicPartition(*key, offset))
        except KafkaException as error:
            raise SourceError(f"{key[0]} [{key[1]}] cannot be rewound: {error.args[0].str()}") from error

    def _old_first(self, records: Sequence[Record]) -> list[Record]:
        """What is replayed, and what is new where nothing is behind any more; otherwise that is put back."""
        taken, put_back = self._catching_up.sorted(records)
        for key, offset in put_back.items():
            self._seek(key, offset)
        self._consumer.pause([TopicPartition(*key) for key in put_back])
        if not self._catching_up.is_behind:
            self._hold_back()
        return taken

    def _record(self, message: Message) -> Record | None:
        if (error := message.error()) is not None:
            self._heard(message, error)
            return None
        held = self._held.get(place_of(message))
        if held is None:
            # A partition that was revoked inside the very poll that returned its records: they are its new owner's.
            return None
        return record_of(message, held.source, held.position.committed)

    def _heard(self, message: Message, error: KafkaError) -> None:
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  # librdkafka's own codes are named so
            self._catching_up.reached(place_of(message), offset_of(message))
        else:
            self._check_error(error)

    def _check_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001  # librdkafka's own codes are named so
            raise GapError(
                f"a partition's next event is gone from its topic ({error.str()}): it was deleted before it was read; "
                "start the worker again and it says how many are lost"
            )
        refuse_lasting(error, self._explained)

    def _on_assign(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._assignments += 1
        located = self._located([(tp.topic, tp.partition) for tp in partitions])
        for key, held in located.items():
            self._hold(key, held)
        self._listener.partitions_changed()
        self._consumer.incremental_assign([TopicPartition(*key, held.position.start) for key, held in located.items()])
        self._hold_back()

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._let_go(partitions)
        self._consumer.incremental_unassign(partitions)
        self._hold_back()

    def _let_go(self, partitions: Iterable[TopicPartition]) -> None:
        self._assignments += 1
        for partition in partitions:
            self._held.pop((partition.topic, partition.partition), None)
            self._catching_up.let_go((partition.topic, partition.partition))
        self._listener.partitions_changed()

    def _located(self, keys: Sequence[tuple[str, int]]) -> dict[tuple[str, int], _Held]:
        ids = self._topic_ids()
        sources = {key: f"{ids[key[0]]}:{key[1]}" for key in keys}
        markers = self._listener.markers(list(sources.values()))
        located: dict[tuple[str, int], _Held] = {}
        for key, committed in self._offsets.committed(keys).items():
            low, end = self._offsets.range_of(key)
            assigned = Assigned(*key, sources[key], committed, low, markers.get(sources[key]))
            located[key] = _Held(sources[key], starting_position(assigned, self._options.accepted_gaps), end)
        return located

    def _topic_ids(self) -> dict[str, str]:
        # Asked anew at every assignment: a topic may have been deleted and made again meanwhile.
        found = self._offsets.topics(self._options.topics)
        counts = {name: count for name, (_, count) in found.items()}
        self._total = sum(counts.values())
        self._listener.partitions_seen(counts)
        return {name: topic_id for name, (topic_id, _) in found.items()}

    def _incomplete(self) -> bool:
        return self._options.must_hold_all_partitions and len(self._held) < self._total

    def _hold_back(self) -> None:
        """A store of one owner must not take some partitions while another worker takes the rest."""
        if self._incomplete():
            self._consumer.pause([TopicPartition(*key) for key in self._held])
            self._incomplete_since = self._incomplete_since or time.monotonic()
        else:
            self._resume()
            self._incomplete_since = None

    def _resume(self) -> None:
        waiting = self._catching_up.waiting
        self._consumer.resume([TopicPartition(*key) for key in self._held if key not in waiting])

    def _check_complete(self) -> None:
        limit_s = self._options.all_partitions_timeout_s
        if not self._incomplete() or self._incomplete_since is None:
            return
        if time.monotonic() - self._incomplete_since > limit_s:
            raise SourceError(
                f"this worker holds {len(self._held)} of {self._total} partitions after {limit_s:g} s, and a Qdrant "
                "Edge store needs all of them in one worker: stop the other workers of the group, or use a Qdrant "
                "server (qdrant.store = server)"
            )


def _admin_properties(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in properties.items() if not name.startswith("group.")}
