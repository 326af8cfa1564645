"""What must hold of whatever comes in: the laws of the decoder, and those of the handler behind it.

An input that breaks one raises `Broken`. What an accepted event says is read from the bytes a second time, by the
standard library's JSON; what the handler stores is compared with the pure fold.
"""

import contextlib
import json
import math
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from inputs import RULES, Input

from consumers.handler import Door, Handler, update_of
from consumers.item_ids import NO_DIMENSIONS
from consumers.lists import ListWriter
from consumers.metrics import Metrics
from consumers.records import Batch, Record
from consumers.user_states import StateRules, UserStates
from recommender.memory_store import MemoryStore
from recommender.profile import NEW_USER, HistoryLimits, Update, UserState, fold
from recommender.recommender import Recommender
from recommender.rules import RankingRules
from recommender.store import StoreSettings, point_id
from schemas import decode
from schemas.dead_letters import OFFSET_HEADER, REASON_HEADER, is_ours
from schemas.decode import Decoded
from schemas.encode import event_message
from schemas.events import ATTRIBUTES_MAX, Event, Forgotten, ProfileChanged, Rated, Retracted
from schemas.identity import ITEM_ID_MAX, USER_ID_MAX_BYTES
from schemas.messages import Message
from schemas.reasons import REASONS, MalformedRecordError
from schemas.recommendations import SOURCE_HEADER, decode_list
from schemas.times import EARLIEST_MS, FUTURE_TOLERANCE_MS, LATEST_MS, parse_time

MESSAGE_MAX_CHARS = 400
TIME_BASE_UNITS, TIME_UNITS_PER_BYTE = 300.0, 0.05
"""How long an input may take: in units of what a plain rating takes, at least, and for each byte."""
UNIT_MIN_S = 2e-6
TIMES_MEASURED = 5
RATING = b'{"user_id": "42", "item_id": 318, "rating": 4.5, "rated_at": "2026-11-22T12:00:00Z"}'
LISTS, DEAD, TOPIC, SOURCE = "recommendations", "ratings.dlq", "ratings", "topic-id:0"

Outcome = Decoded | MalformedRecordError


class Broken(AssertionError):  # noqa: N818  # what it says: a law is broken
    """An input broke a law."""


def _hold(holds: bool, law: str) -> None:
    if not holds:
        raise Broken(law)


class DecoderLaws:
    """Judges the decoder; knows how long this machine takes for a plain rating."""

    def __init__(self) -> None:
        plain = Input(RATING)
        # A clock that is too coarse to see one is taken to have seen this much.
        self._unit_s = max(UNIT_MIN_S, min(_seconds(plain) for _ in range(100)))

    def judge(self, given: Input) -> Outcome:
        """What the decoder makes of an input.

        Raises:
            Broken: a law does not hold.
        """
        begun = time.perf_counter()
        outcome = _decoded(given)
        took_s = time.perf_counter() - begun
        if isinstance(outcome, MalformedRecordError):
            _judge_refusal(outcome)
        else:
            _judge_event(given, outcome)
            _judge_round_trip(given, outcome)
        limit_s = self._unit_s * (TIME_BASE_UNITS + TIME_UNITS_PER_BYTE * given.size_bytes)
        if took_s > limit_s:
            # Once is no proof: the machine may have been busy with something else.
            again_s = min(_seconds(given) for _ in range(TIMES_MEASURED))
            _hold(again_s <= limit_s, f"{given.size_bytes} bytes take {again_s * 1000:.1f} ms, over the limit")
        return outcome


def _decoded(given: Input) -> Outcome:
    try:
        return decode.decode_json(given.raw, RULES[given.rules])
    except MalformedRecordError as error:
        return error
    except Exception as error:
        raise Broken(f"the decoder raised {error!r:.300}") from error


def _seconds(given: Input) -> float:
    begun = time.thread_time()
    # What it raises is judged elsewhere.
    with contextlib.suppress(Broken):
        _decoded(given)
    return time.thread_time() - begun


def _judge_refusal(error: MalformedRecordError) -> None:
    message = str(error)
    _hold(error.reason in REASONS, f"{error.reason!r} is not in the closed list")
    _hold(0 < len(message) <= MESSAGE_MAX_CHARS, f"the message has {len(message)} characters")
    _hold(message.isprintable(), "the message is not printable")


def _judge_event(given: Input, decoded: Decoded) -> None:
    event, rules = decoded.event, RULES[given.rules]
    _hold(given.key == event.user_id.encode(), "the key is not the user id")
    _hold(0 < len(event.user_id.encode()) <= USER_ID_MAX_BYTES, "the user id has a length that is not allowed")
    _hold(decoded.unknown_fields == 0 or not rules.refuse_unknown_fields, "an unknown field was accepted")
    said = _second_reading(given.value)
    _hold(said is None or str(said["user_id"]) == event.user_id, "the user id is not what the bytes say")
    match event:
        case Rated() | Retracted():
            _judge_item_and_time(given, decoded, event, said)
        case ProfileChanged():
            _judge_attributes(event, said)
    if isinstance(event, Rated):
        _hold(math.isfinite(event.rating) and event.rating in rules.scale, "the rating lies outside the scale")
        _hold(said is None or float(said["rating"]) == event.rating, "the rating is not what the bytes say")


def _judge_item_and_time(given: Input, decoded: Decoded, event: Rated | Retracted, said: Any) -> None:
    wanted = str if RULES[given.rules].catalogue == "string" else int
    _hold(type(event.item_id) is wanted, "the item id is of the wrong type")
    _hold(isinstance(event.item_id, str) or 0 <= event.item_id <= ITEM_ID_MAX, "the item id is no dimension")
    _hold(said is None or said["item_id"] == event.item_id, "the item id is not what the bytes say")
    _hold(EARLIEST_MS <= decoded.at_ms <= LATEST_MS, "the time lies outside the limits")
    _hold(event.rated_at in {None, decoded.at_ms}, "the time is not the event's own")
    _hold(event.rated_at is not None or decoded.at_ms == given.timestamp_ms, "the time is not Kafka's")
    if said is not None and said.get("rated_at") is not None:
        stated = said["rated_at"]
        _hold((parse_time(stated) if isinstance(stated, str) else stated) == event.rated_at, "the time was changed")
    kafkas = given.timestamp_ms
    if kafkas is not None and EARLIEST_MS <= kafkas <= LATEST_MS:
        _hold(decoded.at_ms <= kafkas + FUTURE_TOLERANCE_MS, "the time lies in the future")


def _judge_attributes(event: ProfileChanged, said: Any) -> None:
    _hold(len(event.attributes) <= ATTRIBUTES_MAX, "there are too many attributes")
    for name, value in event.attributes.items():
        _hold(value is None or isinstance(value, bool | int | float | str), f"{name!r} is of no type that may be")
        _hold(not isinstance(value, float) or math.isfinite(value), f"{name!r} is not finite")
    _hold(said is None or repr(said["attributes"]) == repr(dict(event.attributes)), "the attributes were changed")


def _second_reading(value: bytes | None) -> dict[str, Any] | None:
    """What the standard library reads, None where it cannot nest as deep."""
    try:
        document: dict[str, Any] = json.loads(value or b"")
    except RecursionError:
        return None
    return document


def _judge_round_trip(given: Input, decoded: Decoded) -> None:
    message = event_message(TOPIC, decoded.event)
    again = _decoded(replace(given, key=message.key, value=message.value))
    if isinstance(again, MalformedRecordError):
        raise Broken(f"an accepted event is refused when sent on: {again}")
    # As text, because True == 1 and -0.0 == 0.0.
    _hold(repr(again.event) == repr(decoded.event), "an event is another after encoding and decoding")
    _hold((again.at_ms, again.unknown_fields) == (decoded.at_ms, 0), "an event counts at another time when sent on")


@dataclass
class HandlerLaws:
    """Judges a handler made anew for every batch, over an empty exact store, with everything else real."""

    metrics: Metrics = field(default_factory=Metrics)
    rules: RankingRules = field(default_factory=lambda: RankingRules(neighbours=3, list_length=4))

    def judge(self, given: Sequence[Input], outcomes: Sequence[Outcome]) -> None:
        """See that a batch of inputs of the same rules, with what the decoder made of them, comes out as it must.

        Raises:
            Broken: a law does not hold.
        """
        records = [
            Record(TOPIC, 0, at, SOURCE, one.key, one.value, one.headers, one.timestamp_ms)
            for at, one in enumerate(given)
        ]
        store, handler = self._made(given[0])
        before = self._counted()
        try:
            messages = handler.handle(Batch(records))
        except Exception as error:
            raise Broken(f"the handler raised {error!r:.300}") from error
        counted = {name: count - before[name] for name, count in self._counted().items()}
        accepted = [at for at, outcome in enumerate(outcomes) if isinstance(outcome, Decoded)]
        _hold(counted["applied"] == len(accepted), f"{counted['applied']} of {len(accepted)} events were applied")
        _hold(counted["dead_letter"] == len(given) - len(accepted), "refusals and dead letters differ in number")
        _judge_dead_letters(given, outcomes, [message for message in messages if message.topic == DEAD])
        updates: defaultdict[str, list[Update]] = defaultdict(list)
        for at, outcome in enumerate(outcomes):
            if isinstance(outcome, Decoded):
                updates[outcome.event.user_id].append(update_of(records[at], outcome, NO_DIMENSIONS))
        _judge_states(store, updates)
        _judge_lists(updates, outcomes, [message for message in messages if message.topic != DEAD])

    def _made(self, given: Input) -> tuple[MemoryStore, Handler]:
        rules, ranking = RULES[given.rules], self.rules
        scale = rules.scale
        store = MemoryStore(StoreSettings("integer", scale.minimum, scale.maximum, ranking.value.fingerprint))
        states = UserStates(store, StateRules(ranking.value, HistoryLimits(), 1 << 20), "writer")
        recommender = Recommender(store, ranking, 1 << 20)
        recommender.scan_slice(1_000)
        door = Door(decode.decode_json, rules, DEAD, "/fuzz")
        lists = ListWriter(LISTS, "/fuzz", ranking.label(), 1)
        return store, Handler(door, states, recommender, lists, self.metrics, lambda: 0)

    def _counted(self) -> dict[str, float]:
        return {name: counter._value.get() for name, counter in self.metrics._outcomes.items()}


def _judge_dead_letters(given: Sequence[Input], outcomes: Sequence[Outcome], letters: Sequence[Message]) -> None:
    """One for each refusal, in order: key, value and headers as they came, and the decoder's reason."""
    refused = [(at, outcome) for at, outcome in enumerate(outcomes) if isinstance(outcome, MalformedRecordError)]
    _hold(len(letters) == len(refused), f"{len(refused)} refusals make {len(letters)} dead letters")
    for (at, error), letter in zip(refused, letters, strict=True):
        came = given[at]
        _hold((letter.key, letter.value) == (came.key, came.value), "a dead letter has other bytes than what came")
        theirs = tuple(row for row in came.headers if not is_ours(row[0]))
        _hold(letter.headers[: len(theirs)] == theirs, "a dead letter has other headers than what came")
        ours = dict(letter.headers)
        _hold(ours[OFFSET_HEADER] == str(at).encode(), "a dead letter names another record")
        _hold(ours[REASON_HEADER] == error.reason.encode(), "a dead letter has another reason than the refusal")


def _judge_states(store: MemoryStore, updates: dict[str, list[Update]]) -> None:
    """Every user with an event is stored as the fold of their events, and nobody else."""
    states = dict(store.scan(None, len(updates) + 1).states)
    _hold(states.keys() == {point_id(user_id) for user_id in updates}, "the store holds other users than had events")
    for user_id, rows in updates.items():
        expected = fold(NEW_USER, rows, HistoryLimits())
        found = states[point_id(user_id)]
        _hold(_exactly(found) == _exactly(expected), f"the state of {user_id!r} is not the fold of the events")
        _hold(found.count == len(rows), f"{user_id!r} has {found.count} events applied of {len(rows)}")


def _exactly(state: UserState) -> tuple[object, ...]:
    """Everything that a state holds but its tag, comparable bit for bit; as text, because True == 1."""
    history = state.history
    arrays = [array.tobytes() for array in (history.items, history.ratings, history.rated_at, state.seen)]
    attributes = sorted((name, repr(value)) for name, value in state.attributes.items())
    return (state.user_id, arrays, attributes, state.count, dict(state.offsets), state.last_source)


def _judge_lists(updates: dict[str, list[Update]], outcomes: Sequence[Outcome], published: Sequence[Message]) -> None:
    """One record for each user with an event, and it answers to the last one."""
    _hold(Counter(m.key for m in published) == Counter(u.encode() for u in updates), "not one list for each user")
    for message in published:
        last = updates[(message.key or b"").decode()][-1].offset
        outcome = outcomes[last]
        event: Event | None = outcome.event if isinstance(outcome, Decoded) else None
        _hold((message.value is None) == isinstance(event, Forgotten), "a tombstone stands where a list should, or not")
        if message.value is None:
            _hold(dict(message.headers)[SOURCE_HEADER] == f"{TOPIC}:0:{last}".encode(), "a tombstone names another")
        else:
            _hold(decode_list(message.value)["source"]["offset"] == last, "a list answers to another event")
