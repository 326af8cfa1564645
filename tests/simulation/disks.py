"""What stores keep, by themselves and apart from any process: the points and markers of one place, or of several.

Everything here happens at once; what may go wrong on the way there is `simulated_store`'s affair.
"""

import random

from consumers.stores.points import Payload, marker_payload, user_payload
from recommender.memory_store import MemoryStore
from recommender.store import StateWrite, StoreSettings, marker_id


class Disk(MemoryStore):
    """One replica, or all there is."""

    exclusive = False

    def copy(self) -> "Disk":
        """The same contents; states are never changed in place."""
        other = Disk(self.settings)
        other.become(self)
        return other

    def become(self, other: "Disk") -> None:
        """Hold what another holds, and nothing else."""
        self.settings = other.settings
        self._points, self._markers = dict(other._points), dict(other._markers)

    def payloads(self) -> dict[int, Payload]:
        """Every point as a Qdrant store holds it, by id."""
        markers = {marker_id(source): marker_payload(source, offset) for source, offset in self._markers.items()}
        return markers | {identity: user_payload(point.state) for identity, point in self._points.items()}


class EdgeDisk(Disk):
    """A folder of Qdrant Edge: what was written, and the prefix of it that was flushed."""

    exclusive = True

    def __init__(self, settings: StoreSettings) -> None:
        super().__init__(settings)
        self.durable = Disk(settings)
        self._unflushed: list[StateWrite] = []

    def write(self, request: StateWrite) -> None:
        """See `Store.write`."""
        super().write(request)
        self._unflushed.append(request)

    def flush(self) -> None:
        """See `Store.flush`."""
        self._unflushed.clear()
        self.durable.become(self)

    def lose_power(self, dice: random.Random) -> None:
        """Cut the end of what was not flushed: writes are lost from behind, the last one left perhaps in part."""
        kept = [part for request in self._unflushed for part in parts_of(request)]
        del kept[dice.randint(0, len(kept)) :]
        survived = self.durable.copy()
        for part in kept:
            survived.write(part)
        self.become(survived)
        self.flush()


def parts_of(request: StateWrite) -> list[StateWrite]:
    """The markers and every point by itself, in the order in which they are applied."""
    return [StateWrite(request.markers, []), *(StateWrite({}, [user]) for user in request.users)]
