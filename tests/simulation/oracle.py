"""What must hold at the end of a run, judged from the logs alone: states, lists, dead letters, offsets."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import orjson
from kafka_broker import Broker, Place, Stored

from recommender.profile import NEW_USER, HistoryLimits, Update, UserState, fold, mean_rating
from recommender.store import Snapshot

LISTS, DEAD_LETTERS = "lists", "dead"


class Reader(Protocol):
    """Whatever states can be read from."""

    def read(self, user_ids: Sequence[str], sources: Sequence[str]) -> Snapshot:
        """See `Store.read`."""


@dataclass(slots=True)
class Truth:
    """What was produced: the updates by user, in the order of production, and where malformed records lie."""

    limits: HistoryLimits
    ordered: bool
    updates: defaultdict[str, list[Update]] = field(default_factory=lambda: defaultdict(list))
    malformed: list[tuple[str, int, int]] = field(default_factory=list)

    def states(self) -> dict[str, UserState]:
        """Every user's state."""
        return {user_id: fold(NEW_USER, rows, self.limits) for user_id, rows in self.updates.items()}


def violations(truth: Truth, broker: Broker, readers: Sequence[Reader]) -> Iterator[str]:
    """Everything that is not as it must be; each of the readers is asked, as a worker may be any of them."""
    states = truth.states()
    for at, reader in enumerate(readers):
        stored = reader.read(list(states), []).states
        for user_id, state in states.items():
            found = stored.get(user_id, NEW_USER)
            if _plain(found, truth.ordered) != _plain(state, truth.ordered):
                yield f"state of {user_id} as reader {at} sees it: {_shown(found)}, but the log makes {_shown(state)}"
    yield from _wrong_lists(truth, broker, states)
    yield from _wrong_dead_letters(truth, broker)
    for place, end in ends(broker).items():
        if (committed := broker.group.committed.get(place, 0)) != end:
            yield f"committed offset of {place}: {committed}, its log ends at {end}"


def ends(broker: Broker) -> dict[Place, int]:
    """The end of every input partition."""
    names = {name for name in broker.topics if name not in {LISTS, DEAD_LETTERS}}
    return {(name, at): len(log) for name in names for at, log in enumerate(broker.topics[name].logs)}


def not_durable(truth: Truth, offsets: Mapping[Place, int], durable: Reader) -> Iterator[str]:
    """Events below committed offsets that a store lacks after a loss of power, and that no restart would replay."""
    committed = {f"id-{topic}:{partition}": offset for (topic, partition), offset in offsets.items()}
    found = durable.read(list(truth.updates), list(committed))
    for user_id, rows in truth.updates.items():
        state = found.states.get(user_id, NEW_USER)
        for row in rows:
            vouched = min(committed.get(row.source, 0) - 1, found.markers.get(row.source, -1))
            if state.offsets.get(row.source, -1) < row.offset <= vouched:
                yield f"{row.source} {row.offset} of {user_id} is committed, but lost for good without power"


def _wrong_lists(truth: Truth, broker: Broker, states: Mapping[str, UserState]) -> Iterator[str]:
    published: defaultdict[str, list[tuple[int, Stored]]] = defaultdict(list)
    for stored in broker.committed_records(LISTS):
        published[(stored.key or b"").decode()].append((_version(stored), stored))
    for user_id, rows in published.items():
        versions = [version for version, _ in rows]
        if versions != sorted(set(versions)):
            yield f"lists of {user_id}: the versions {versions} do not rise strictly"
    for user_id, state in states.items():
        if not published[user_id]:
            yield f"no list of {user_id}"
            continue
        version, stored = published[user_id][-1]
        if version != state.count:
            yield f"last list of {user_id}: version {version}, the log has {state.count} events"
        elif problem := _wrong_content(stored, state, ordered=truth.ordered):
            yield f"last list of {user_id}: {problem}"


def _wrong_content(stored: Stored, state: UserState, *, ordered: bool) -> str:
    if stored.value is None or state.user_id is None:
        return "" if (stored.value is None) == (state.user_id is None) else "a tombstone and a list are mixed up"
    value: dict[str, Any] = orjson.loads(stored.value)
    source, rated = value["source"], state.history.rated()
    place = f"{source['topic_id']}:{source['partition']}", source["offset"]
    if (place != state.last_event) if ordered else (place not in state.offsets.items()):
        return f"it answers to {place}, the last event is {state.last_event}"
    figures = (value["state"]["num_ratings"], value["state"]["avg_rating"])
    expected = (len(rated), mean_rating(rated))
    return "" if figures == expected else f"it counts {figures}, the log {expected}"


def _version(stored: Stored) -> int:
    identity = dict(stored.headers)["ce_id"] or b""
    return int(identity.decode().rpartition(".")[2])


def _wrong_dead_letters(truth: Truth, broker: Broker) -> Iterator[str]:
    counted: Counter[tuple[str, int, int]] = Counter()
    for stored in broker.committed_records(DEAD_LETTERS):
        said = {name: (value or b"").decode() for name, value in stored.headers}
        topic, partition, offset = (said[f"__connect.errors.{name}"] for name in ("topic", "partition", "offset"))
        counted[topic, int(partition), int(offset)] += 1
    for place in truth.malformed:
        if counted[place] != 1:
            yield f"{counted[place]} dead letters of {place}"
    for place in counted.keys() - set(truth.malformed):
        yield f"a dead letter of {place}, which is not malformed"


def _plain(state: UserState, ordered: bool) -> object:
    history = state.history
    arrays = [array.tobytes() for array in (history.items, history.ratings, history.rated_at, state.seen)]
    last = state.last_source if ordered else None
    return state.user_id, arrays, dict(state.attributes), state.count, dict(state.offsets), last


def _shown(state: UserState) -> str:
    state = replace(state, tag=0)
    rated = dict(zip(state.history.items.tolist(), state.history.ratings.tolist(), strict=True))
    return f"{state.count} events, {dict(state.offsets)}, {rated}, {dict(state.attributes)}"
