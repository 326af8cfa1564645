"""Generations: a store and those made to follow it, and which of them is the current one.

- A generation is a complete store with an epoch. The first one, the origin, stands where the settings say; those that
  `tastestream rebuild` makes stand beside it, named after their epoch and what they are made of.
- Which one is current is one fact in one place, changed as a whole; without it the origin is.
- Whoever opens a generation goes on with it: a process that has missed a change can only touch what it opened.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from consumers.stores.stored_points import PointStore
from recommender.profile import HistoryLimits
from recommender.store import StoreSettings
from recommender.vector import VectorSpec

FIRST_EPOCH = 1
LATER_NAME = re.compile(r"epoch-\d+\.[0-9a-f]{8}")


class LaterStore(PointStore, Protocol):
    """A store whose epoch can be raised, so that it may follow one that came after it."""

    def raise_epoch(self, epoch: int) -> None:
        """Let its lists count as later than those of every lower epoch; a lower or equal `epoch` changes nothing."""


@dataclass(frozen=True, slots=True)
class Generation:
    """A store's name, unique in its place, and its epoch."""

    name: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Lineage:
    """The generation that is used, and the one that is kept for a rollback."""

    current: Generation
    previous: str | None = None


class Generations(Protocol):
    """All generations of one place. Every method may raise `StoreError`."""

    def claim(self) -> None:
        """Keep others from changing generations here until `close`, as far as that can be done.

        Raises:
            StoreBusyError: another process does.
        """

    def lineage(self) -> Lineage:
        """Which one is current now; says so also where none was made yet."""

    def exists(self, name: str) -> bool:
        """Whether a generation has been made."""

    def named(self, later_name: str) -> str:
        """The name here of a generation that a rebuild makes."""

    def others(self) -> Sequence[str]:
        """Generations that are neither current nor kept: unfinished ones, and what a deletion left."""

    def open(self, name: str, wanted: StoreSettings) -> LaterStore:
        """The store of a generation, made where it is missing."""

    def switch(self, lineage: Lineage) -> None:
        """Make this the lineage, wholly or not at all; durable when it returns."""

    def drop(self, name: str) -> None:
        """Delete a generation that is not current; one that was kept is no longer known first.

        Raises:
            StoreBusyError: a process still holds it.
        """

    def place(self, name: str) -> str:
        """Where a generation is, for people."""

    def close(self) -> None:
        """Release what is held."""


@dataclass(frozen=True, slots=True)
class VisitedSettings(StoreSettings):
    """Settings for a visitor, who only reads: a store made with any others will do."""

    def refuse_others(self, stored: StoreSettings, place: str) -> None:
        """Refuse nothing."""

    def added_to(self, stored: StoreSettings) -> Mapping[str, VectorSpec]:  # noqa: ARG002 - a visitor adds to none
        """Add nothing."""
        return {}


def visitor(settings: StoreSettings) -> VisitedSettings:
    """These settings, for opening a store that may have been made with others."""
    return VisitedSettings(**{name: getattr(settings, name) for name in settings.__dataclass_fields__})


def later_name(epoch: int, made_of: str) -> str:
    """The name of a generation: one that is interrupted is found again, one made of something else is another."""
    return f"epoch-{epoch}.{made_of}"


def fingerprint(settings: StoreSettings, limits: HistoryLimits, sources: Mapping[str, int]) -> str:
    """8 hex digits for everything that decides what a rebuilt store holds; `sources`: partition counts by topic id."""
    made_of: dict[str, Any] = {**settings.document(), **asdict(limits), "sources": dict(sorted(sources.items()))}
    # The epoch stands in the name, and partition counts are those of the sources.
    del made_of["epoch"], made_of["partitions"]
    return hashlib.blake2b(json.dumps(made_of, sort_keys=True).encode(), digest_size=4).hexdigest()
