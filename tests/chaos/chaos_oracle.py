"""The judgement of a trial, from the topics and the store alone, after its workers took everything and ended."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from deployment import Deployment
from list_watch import ListWatch
from rating_stream import RatingStream, digest
from sample_states import exactly
from service_process import WAIT_S
from topic_truth import Published, update_of

from consumers.settings_mapping import history_limits
from consumers.topic_reader import TopicReader
from recommender.profile import NEW_USER, Update, UserState, fold
from recommender.store import point_id
from schemas.identity import POPULAR_USER_ID

FOLD_AT_EVENTS = 500
EPOCH = 1
SHOWN_MAX = 20


@dataclass(slots=True)
class Judgement:
    """What was found; `problems` has a sentence for each kind of thing that is wrong, with examples.

    Attributes:
        events: records in the input topic.
        lost: records that were acknowledged and are not in the topic as they were sent.
        wrong_users: users whose stored state is not the fold of the topic, bit for bit.
        wrong_means: those of them whose ratings differ, not just the number of events.
        wrong_lists: users whose last list does not answer to their last event.
        wrong_dead_letters: records with another number of dead letters than they should have (1, or 0).
    """

    events: int = 0
    users: int = 0
    malformed: int = 0
    lost: int = 0
    wrong_users: int = 0
    wrong_means: int = 0
    doubled_lists: int = 0
    lists_out_of_order: int = 0
    wrong_lists: int = 0
    wrong_dead_letters: int = 0
    uncommitted: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


@dataclass(slots=True)
class _Truth:
    states: dict[str, UserState]
    malformed: set[tuple[int, int]]
    events: int
    lost: int


def judge(deployment: Deployment, stream: RatingStream, watch: ListWatch) -> Judgement:
    """Compare what is stored and what was published with what the topic says, and the topic with what was sent."""
    truth = _truth(deployment, stream)
    found = Judgement(truth.events, len(truth.states), len(truth.malformed), truth.lost)
    found.doubled_lists, found.lists_out_of_order = watch.doubled, watch.out_of_order
    found.uncommitted = deployment.lag()
    found.problems += [*stream.failed[:SHOWN_MAX], *watch.problems]
    _say(found, found.lost, "acknowledged records are not in the topic as they were sent")
    _say(found, found.uncommitted, "records are not committed")
    _say(found, len(truth.malformed ^ stream.malformed), "records are taken for malformed that are not, or the reverse")
    _judge_states(found, truth, deployment)
    _judge_lists(found, truth, watch)
    wrong = {place for place in watch.dead_letters.keys() | truth.malformed if _is_wrong(place, truth, watch)}
    found.wrong_dead_letters = len(wrong)
    _say(found, len(wrong), "records have too many dead letters, or none", wrong)
    return found


def _truth(deployment: Deployment, stream: RatingStream) -> _Truth:
    topic_id = deployment.cluster.topics([deployment.topic])[deployment.topic].topic_id
    limits = history_limits(deployment.settings)
    unseen = {partition: dict(digests) for partition, digests in stream.acknowledged.items()}
    truth = _Truth({}, set(), 0, 0)
    rows: defaultdict[str, list[Update]] = defaultdict(list)
    with TopicReader({"bootstrap.servers": deployment.servers}, [deployment.topic], WAIT_S) as reader:
        for message in reader.to_the_end():
            partition, offset = int(message.partition() or 0), int(message.offset() or 0)
            truth.events += 1
            sent = unseen.get(partition, {}).pop(offset, None)
            truth.lost += sent is not None and sent != digest(message.key(), message.value())
            update = update_of(deployment, message, topic_id)
            if update is None:
                truth.malformed.add((partition, offset))
                continue
            rows[update.user_id].append(update)
            if len(rows[update.user_id]) >= FOLD_AT_EVENTS:
                user_id = update.user_id
                truth.states[user_id] = fold(truth.states.get(user_id, NEW_USER), rows.pop(user_id), limits)
    for user_id, left in rows.items():
        truth.states[user_id] = fold(truth.states.get(user_id, NEW_USER), left, limits)
    truth.lost += sum(map(len, unseen.values()))
    return truth


def _judge_states(found: Judgement, truth: _Truth, deployment: Deployment) -> None:
    stored = deployment.states()
    wrong: list[str] = []
    for user_id, state in truth.states.items():
        theirs = replace(stored.pop(point_id(user_id), NEW_USER), tag=0)
        if exactly(theirs) != exactly(state):
            wrong.append(f"{user_id}: {theirs.count} events applied of {state.count}")
            found.wrong_means += _ratings(theirs) != _ratings(state)
    found.wrong_users = len(wrong)
    _say(found, len(wrong), "users are not the fold of the topic", wrong)
    _say(found, len(stored), "users of the store are not in the topic")


def _judge_lists(found: Judgement, truth: _Truth, watch: ListWatch) -> None:
    wrong = [user_id for user_id, state in truth.states.items() if not _answers(watch.last.get(user_id), state)]
    found.wrong_lists = len(wrong)
    _say(found, len(wrong), "users have a last list that does not answer to their last event", wrong)
    _say(found, len(watch.last.keys() - truth.states.keys() - {POPULAR_USER_ID}), "users of lists are not in the topic")


def _answers(published: Published | None, state: UserState) -> bool:
    if published is None or published.version != (EPOCH, state.count):
        return False
    if state.user_id is None or published.source is None:
        return state.user_id is None and published.source is None
    source, offset = state.last_event or ("", -1)
    return published.source == (int(source.rpartition(":")[2]), offset)


def _is_wrong(place: tuple[int, int], truth: _Truth, watch: ListWatch) -> bool:
    return watch.dead_letters[place] != (1 if place in truth.malformed else 0)


def _ratings(state: UserState) -> tuple[bytes, bytes]:
    return state.history.items.tobytes(), state.history.ratings.tobytes()


def _say(found: Judgement, count: int, what: str, examples: Iterable[object] = ()) -> None:
    if count:
        shown = "; ".join(str(example) for example in list(examples)[:5])
        found.problems.append(f"{count} {what}" + (f" ({shown})" if shown else ""))
