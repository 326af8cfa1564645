"""Records in, messages out: decode, fold, store, rank. Holds no producer and commits nothing.

A list is published only in the batch that holds, read for the first time, the event that the user's state names as its
last. So each state is published once, however a replay cuts its batches, and a duplicate whose list was never committed
still gets it. No list answers to a record that calls itself loaded history: its user's last one does not, and so
publishes, by the same rule, the list that the others owe.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from consumers.dead_letter_limits import DeadLetterLimits
from consumers.item_ids import INTEGER_IDS, Dimensions, ItemId, ItemIds, dimension_of, item_of
from consumers.lists import ListWriter
from consumers.live_report import LiveReport
from consumers.metrics import Metrics
from consumers.popular_list import PopularList
from consumers.records import Batch, Record
from consumers.user_states import Transition, UserStates
from recommender.explaining import Explainer
from recommender.profile import Change, Forget, Rate, Retract, SetAttributes, Update, UserState
from recommender.recommender import Recommender
from schemas.dead_letters import RefusedRecord, dead_letter
from schemas.decode import Decoded, Decoder, WireRules
from schemas.events import Event, Forgotten, ProfileChanged, Rated, Retracted
from schemas.messages import Message
from schemas.reasons import MalformedRecordError

RANKED_AT_ONCE = 500
"""Lists whose neighbours are searched in one request and held in memory together."""


@dataclass(frozen=True, slots=True)
class Door:
    """What may come in, where what may not is sent, how large that may be there, and when it is too much."""

    decode: Decoder
    rules: WireRules
    dead_letter_topic: str
    origin: str
    dead_letter_max_bytes: int | None = None
    limits: DeadLetterLimits = field(default_factory=DeadLetterLimits)
    items: ItemIds = INTEGER_IDS


@dataclass(slots=True)
class _Sorted:
    """A batch after decoding: the events of each user with their records, in topic order, and the dead letters."""

    events: dict[str, list[tuple[Record, Decoded]]] = field(default_factory=dict)
    refused: list[tuple[Record, MalformedRecordError]] = field(default_factory=list)

    def items(self) -> Iterator[ItemId]:
        """The ids of all items that the events are about."""
        return (item_id for rows in self.events.values() for _, decoded in rows for item_id in item_of(decoded.event))


@dataclass(frozen=True, slots=True)
class Beside:
    """What is published beside users' lists."""

    popular: PopularList | None = None
    live: LiveReport | None = None


class Handler:
    """Handles one batch after the other; after a `StoreUnavailableError` the same batch may be handled again."""

    def __init__(
        self,
        door: Door,
        states: UserStates,
        recommender: Recommender | Explainer,
        lists: ListWriter,
        metrics: Metrics,
        clock_ms: Callable[[], int],
        beside: Beside | None = None,
    ) -> None:
        self._door = door
        self._states = states
        self._recommender = recommender
        self._lists = lists
        self._metrics = metrics
        self._clock_ms = clock_ms
        beside = beside or Beside()
        self._popular, self._live = beside.popular, beside.live

    @property
    def cached_bytes(self) -> int:
        """Memory of the users' own states."""
        return self._states.cache.size_bytes

    @property
    def write_conflicts(self) -> int:
        """Writes so far that another process was faster with."""
        return self._states.conflicts

    def drop_caches(self) -> None:
        """Forget everything that another process may have changed meanwhile."""
        self._states.drop_caches()
        if self._popular is not None:
            self._popular.wait()
        if self._live is not None:
            self._live.forget_lists()

    def handle(self, batch: Batch) -> list[Message]:
        """Bring the store up to date with a batch; returns what is to be published with it.

        Raises:
            StoreUnavailableError: try the same batch again later.
            StoreError: the store cannot be used as things stand.
            TooManyDeadLettersError: so many records are malformed that something else must be wrong.
        """
        with self._metrics.timed("decode"):
            sorted_ = self._sort(batch.records)
        first_offsets = batch.first_offsets()
        with self._metrics.timed("read"):
            states = self._states.load(list(sorted_.events), list(first_offsets))
            dimensions = self._door.items.assigned(sorted_.items())
        self._refuse_collisions(sorted_, states)
        self._door.limits.judge(batch.records, ((record, error.reason) for record, error in sorted_.refused))
        with self._metrics.timed("write"):
            updates = {user: [update_of(r, d, dimensions) for r, d in rows] for user, rows in sorted_.events.items()}
            transitions = self._states.apply(states, updates, first_offsets)
        firsts = self._recommender.changed([(user_id, t.before, t.after) for user_id, t in transitions.items()])
        if self._live is not None:
            self._live.rated(firsts, sorted_.events, transitions, dimensions)
        with self._metrics.timed("rank"):
            messages = self._published(sorted_, transitions)
        if self._popular is not None:
            messages += self._popular.messages(batch, self._clock_ms())
        # Only now, because a store that goes away while ranking has the same batch handled once more.
        for user_id, transition in transitions.items():
            self._account(sorted_.events[user_id], transition.before)
        messages += self._dead_letters(sorted_)
        return messages if self._live is None else messages + self._live.closed(self._clock_ms())

    def committed(self) -> None:
        """The batch handled last was committed, with all that was returned for it."""
        self._door.limits.count()
        if self._popular is not None:
            self._popular.committed()
        if self._live is not None:
            self._live.committed()

    def _sort(self, records: Sequence[Record]) -> _Sorted:
        sorted_ = _Sorted()
        unknown_fields = 0
        for record in records:
            try:
                decoded = self._door.decode(record, self._door.rules)
            except MalformedRecordError as error:
                # Without its traceback, which holds this very frame, and in it the batch.
                sorted_.refused.append((record, error.with_traceback(None)))
                continue
            unknown_fields += decoded.unknown_fields
            sorted_.events.setdefault(decoded.event.user_id, []).append((record, decoded))
        self._metrics.unknown_fields(unknown_fields)
        return sorted_

    def _refuse_collisions(self, sorted_: _Sorted, states: Mapping[str, UserState]) -> None:
        for user_id, state in states.items():
            if state.user_id in {None, user_id}:
                continue
            error = MalformedRecordError(
                "user_id_collision", "this user id hashes to the point of another user: give the user another id"
            )
            sorted_.refused += [(record, error) for record, _ in sorted_.events.pop(user_id)]

    def _published(self, sorted_: _Sorted, transitions: Mapping[str, Transition]) -> list[Message]:
        due: list[tuple[Record, Decoded, UserState]] = []
        tombstones: list[Message] = []
        owed = 0
        for user_id, transition in transitions.items():
            naming = _naming(sorted_.events[user_id], transition.after)
            if naming is None:
                continue
            record, decoded = naming
            if transition.after.user_id is not None and record.is_loaded:
                owed += 1
            elif transition.after.user_id is None:
                tombstones.append(self._lists.tombstone(record, user_id, transition.after, self._clock_ms()))
            else:
                due.append((record, decoded, transition.after))
        users = [(decoded.event.user_id, state) for _, decoded, state in due]
        ranked = [
            found
            for start in range(0, len(users), RANKED_AT_ONCE)
            for found in self._recommender.recommend(users[start : start + RANKED_AT_ONCE])
        ]
        self._lists.look_up(ranked)
        if self._live is not None:
            self._live.ranked(users, ranked)
        now_ms = self._clock_ms()
        lists = [self._lists.write(*answer, found, now_ms) for answer, found in zip(due, ranked, strict=True)]
        self._metrics.outcome("list", len(lists))
        self._metrics.outcome("tombstone", len(tombstones))
        self._metrics.outcome("owed", owed)
        return lists + tombstones

    def _account(self, events: Sequence[tuple[Record, Decoded]], before: UserState) -> None:
        live = [record for record, _ in events if not record.replayed]
        duplicates = sum(before.has_applied(record.source, record.offset) for record in live)
        self._metrics.outcome("replayed", len(events) - len(live))
        self._metrics.outcome("duplicate", duplicates)
        self._metrics.outcome("applied", len(live) - duplicates)

    def _dead_letters(self, sorted_: _Sorted) -> list[Message]:
        messages = []
        for record, error in sorted_.refused:
            if record.replayed:
                self._metrics.outcome("replayed")
                continue
            messages.append(self._dead_letter(record, error))
            self._metrics.dead_letter(error.reason)
        return messages

    def _dead_letter(self, record: Record, error: MalformedRecordError) -> Message:
        door = self._door
        refused = RefusedRecord(
            record.topic,
            record.partition,
            record.offset,
            record.key,
            record.value,
            record.headers,
            record.timestamp_ms,
        )
        at_ms = self._clock_ms()
        return dead_letter(door.dead_letter_topic, refused, error, door.origin, at_ms, door.dead_letter_max_bytes)


def _naming(events: Sequence[tuple[Record, Decoded]], state: UserState) -> tuple[Record, Decoded] | None:
    """The event that the state names as its last, if it is among these and was not committed before."""
    for record, decoded in reversed(events):
        if (record.source, record.offset) == state.last_event:
            return None if record.replayed else (record, decoded)
    return None


def update_of(record: Record, decoded: Decoded, dimensions: Dimensions) -> Update:
    """What a record changes, with where it was read from."""
    change = _change(decoded.event, decoded.at_ms, dimensions)
    return Update(record.source, record.offset, decoded.event.user_id, change)


def _change(event: Event, at_ms: int, dimensions: Dimensions) -> Change:
    match event:
        case Rated():
            return Rate(dimension_of(event.item_id, dimensions), event.rating, at_ms)
        case Retracted():
            return Retract(dimension_of(event.item_id, dimensions), at_ms)
        case ProfileChanged():
            return SetAttributes(event.attributes)
        case Forgotten():
            return Forget()
