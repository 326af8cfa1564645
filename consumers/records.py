"""What travels between source, handler and sink."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from schemas.messages import LOAD_HEADER, Headers


class Record(NamedTuple):
    """One input record. `source` names topic id and partition; a `replayed` one was committed before: state only."""

    topic: str
    partition: int
    offset: int
    source: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp_ms: int | None = None
    replayed: bool = False

    @property
    def is_loaded(self) -> bool:
        """Whether this is history with more behind it, to which no list answers: a later record of the user's will."""
        return LOAD_HEADER in self.headers


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one poll, in order per partition, and the group metadata taken directly after that poll."""

    records: Sequence[Record] = ()
    group_metadata: Any = None

    def first_offsets(self) -> dict[str, int]:
        """The first offset by source."""
        firsts: dict[str, int] = {}
        for record in self.records:
            firsts.setdefault(record.source, record.offset)
        return firsts

    def next_offsets(self) -> dict[tuple[str, int], int]:
        """Where to go on, by (topic, partition), of what was read for the first time: last offset + 1."""
        return {(r.topic, r.partition): r.offset + 1 for r in self.records if not r.replayed}


@dataclass(frozen=True, slots=True)
class Position:
    """Where a partition's consumption begins: replay up to `committed`, live from there."""

    start: int
    committed: int


@dataclass(frozen=True, slots=True)
class Assigned:
    """A partition with everything that decides where to begin. `committed` is None where the group has none."""

    topic: str
    partition: int
    source: str
    committed: int | None
    low: int
    marker: int | None = None


class GapError(Exception):
    """Events that the store lacks are no longer in the topic."""


def starting_position(assigned: Assigned, accepted_gaps: Mapping[str, Sequence[int]] | None = None) -> Position:
    """Where to begin: at what is verified in the store, or what is committed, whichever is lower.

    Args:
        assigned: the partition, its committed offset, low watermark and marker.
        accepted_gaps: partitions by topic whose lost events are to be skipped.

    Raises:
        GapError: the topic no longer holds the events between marker and low watermark.
    """
    committed = assigned.low if assigned.committed is None else assigned.committed
    if assigned.marker is not None:
        start = min(committed, assigned.marker + 1)
    else:
        start = 0 if assigned.committed is not None else committed
    if start >= assigned.low:
        return Position(start, committed)
    if assigned.partition in (accepted_gaps or {}).get(assigned.topic, ()):
        return Position(assigned.low, max(committed, assigned.low))
    raise GapError(
        f"{assigned.topic} [{assigned.partition}]: the store has everything below offset {start}, the topic begins at "
        f"{assigned.low}: {assigned.low - start} events are lost to it; restore the store, or accept the loss with "
        f"--accept-gap {assigned.topic}:{assigned.partition}"
    )
