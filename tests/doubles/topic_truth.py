"""What must be true, computed from the topics alone: the states by a pure fold, the lists by what they answer to."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from confluent_kafka import Message
from deployment import Deployment
from sample_states import exactly
from service_process import WAIT_S

from consumers.settings_mapping import history_limits, wire_rules
from consumers.topic_reader import TopicReader
from recommender.profile import Change, Forget, Rate, Retract, SetAttributes, Update, UserState, fold
from recommender.store import point_id
from schemas.decode import Decoded, RawRecord, decode_json
from schemas.events import Forgotten, ProfileChanged, Rated, Retracted
from schemas.identity import POPULAR_USER_ID
from schemas.reasons import MalformedRecordError
from schemas.recommendations import decode_list


@dataclass(frozen=True, slots=True)
class Published:
    """A list or a tombstone: its state's (epoch, version), and the offset it answers to (None for a tombstone)."""

    version: tuple[int, int]
    source: tuple[int, int] | None


def committed_records(deployment: Deployment, topic: str) -> list[Message]:
    """Every record of a topic that a read_committed reader sees, in order per partition."""
    with TopicReader({"bootstrap.servers": deployment.servers}, [topic], WAIT_S) as reader:
        return list(reader.to_the_end())


def header_values(message: Message) -> dict[str, bytes]:
    """The headers of a record by name; of a name that comes twice the last counts."""
    rows = cast("list[tuple[str, bytes | None]]", message.headers() or [])
    return {name: value for name, value in rows if value is not None}


def updates(deployment: Deployment) -> dict[str, list[Update]]:
    """Every valid event of the input topic as an update, by user id, in topic order."""
    topic_id = deployment.cluster.topics([deployment.topic])[deployment.topic].topic_id
    found: defaultdict[str, list[Update]] = defaultdict(list)
    for message in committed_records(deployment, deployment.topic):
        if (update := update_of(deployment, message, topic_id)) is not None:
            found[update.user_id].append(update)
    return found


def update_of(deployment: Deployment, message: Message, topic_id: str) -> Update | None:
    """A record of the input topic as an update; None when it is malformed."""
    decoded, offset = _decoded(deployment, message), message.offset()
    assert offset is not None
    if decoded is None:
        return None
    return Update(f"{topic_id}:{message.partition()}", offset, decoded.event.user_id, _change(decoded))


def folded(deployment: Deployment, rows_of: Mapping[str, Sequence[Update]]) -> dict[int, UserState]:
    """The pure fold of updates, by point id."""
    limits = history_limits(deployment.settings)
    return {point_id(user): fold(UserState(), rows, limits) for user, rows in rows_of.items()}


def published(deployment: Deployment) -> dict[str, list[Published]]:
    """What a read_committed reader of the users' lists sees, by user id, in topic order."""
    found: defaultdict[str, list[Published]] = defaultdict(list)
    for message in committed_records(deployment, deployment.settings.recommendations_topic):
        key = message.key()
        assert key is not None
        if key != POPULAR_USER_ID.encode():
            found[key.decode()].append(published_as(message))
    return found


def assert_exactly_once(deployment: Deployment, events: Mapping[str, list[Update]] | None = None) -> None:
    """States equal the fold bit for bit; versions rise strictly; the last list answers to the last event; no lag.

    Call it when the workers have ended. `events` are what counts where the topic no longer tells it.
    """
    assert deployment.lag() == 0
    events = updates(deployment) if events is None else events
    truth = folded(deployment, events)
    assert_equal_states(truth, deployment.states())
    lists = published(deployment)
    assert lists.keys() == events.keys()
    for user, rows in lists.items():
        versions = [row.version for row in rows]
        assert versions == sorted(set(versions)), f"the versions of user {user} do not rise strictly: {versions}"
        assert versions[-1] == (1, truth[point_id(user)].count)
        last = events[user][-1]
        assert rows[-1].source in {None, (int(last.source.rpartition(":")[2]), last.offset)}


def assert_equal_states(truth: Mapping[int, UserState], stored: Mapping[int, UserState]) -> None:
    """Bit for bit, everything but the tags, which name write attempts."""
    assert stored.keys() == truth.keys()
    wrong = {i for i, state in truth.items() if exactly(replace(stored[i], tag=0)) != exactly(state)}
    assert not wrong, {truth[i].user_id: (truth[i], stored[i]) for i in sorted(wrong)[:3]}


def _decoded(deployment: Deployment, message: Message) -> Decoded | None:
    record = RawRecord(message.key(), message.value(), message.timestamp()[1])
    try:
        return decode_json(record, wire_rules(deployment.settings))
    except MalformedRecordError:
        return None


def _change(decoded: Decoded) -> Change:
    match decoded.event:
        case Rated(item_id=int() as item, rating=rating):
            return Rate(item, rating, decoded.at_ms)
        case Retracted(item_id=int() as item):
            return Retract(item, decoded.at_ms)
        case ProfileChanged(attributes=attributes):
            return SetAttributes(attributes)
        case Forgotten():
            return Forget()
    raise AssertionError(f"no change in {decoded.event!r}")


def published_as(message: Message) -> Published:
    """A record of the lists' topic."""
    value = message.value()
    if value is None:
        epoch, _, version = header_values(message)["ce_id"].decode().partition(".")
        return Published((int(epoch), int(version)), None)
    found = decode_list(value)
    state, source = found["state"], found["source"]
    return Published((state["epoch"], state["version"]), (source["partition"], source["offset"]))
