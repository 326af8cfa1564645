"""Records in, messages out: what is published when, whatever is delivered again and however batches are cut."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from consumers.dead_letter_limits import DeadLetterLimits, DeadLetterTolerance, TooManyDeadLettersError
from consumers.handler import Door, Handler
from consumers.item_ids import INTEGER_IDS, ItemIds
from consumers.lists import ListWriter
from consumers.metrics import Metrics
from consumers.records import Batch, Record
from consumers.user_states import StateRules, UserStates
from recommender.catalogue import CatalogueItem
from recommender.memory_store import MemoryStore
from recommender.profile import NEW_USER, HistoryLimits, Rate, Update, fold
from recommender.recommender import Recommender
from recommender.registry import ItemRegistry, MemoryTable
from recommender.rules import RankingRules
from recommender.store import (
    NeighbourQuery,
    Neighbours,
    Snapshot,
    StateWrite,
    StoreError,
    StoreSettings,
    StoreUnavailableError,
)
from schemas.decode import WireRules, decoder_for
from schemas.messages import LOAD_HEADER, Message
from schemas.recommendations import RecommendationList, decode_list
from schemas.times import format_time

RULES = RankingRules(neighbours=3, list_length=4)
SETTINGS = StoreSettings("integer", 0.5, 5.0, RULES.value.fingerprint, epoch=7)
NOW_MS = 1_700_000_000_000
RATED_MS = 1_600_000_000_000
LISTS, DEAD = "recommendations", "ratings.dlq"


class FlakyStore(MemoryStore):
    """A memory store that is away for some calls, counted down per method."""

    def __init__(self) -> None:
        super().__init__(SETTINGS)
        self.away = {"nearest": 0, "answer": 0}

    def write(self, request: StateWrite) -> None:
        super().write(request)
        self._fail("answer")

    def nearest(self, queries: Sequence[NeighbourQuery]) -> list[Neighbours]:
        self._fail("nearest")
        return super().nearest(queries)

    def _fail(self, call: str) -> None:
        if self.away[call]:
            self.away[call] -= 1
            raise StoreUnavailableError(f"{call} was lost")


class CollidingStore(MemoryStore):
    """A memory store in which "twin" hashes to the point of "u"."""

    def read(self, user_ids: Sequence[str], sources: Sequence[str]) -> Snapshot:
        snapshot = super().read(["u", *user_ids], sources)
        states = {user_id: snapshot.states.get("u" if user_id == "twin" else user_id) for user_id in user_ids}
        return replace(snapshot, states={user_id: state for user_id, state in states.items() if state is not None})


@dataclass
class Rig:
    """A handler with everything real but the store's place."""

    store: MemoryStore = field(default_factory=lambda: MemoryStore(SETTINGS))
    metrics: Metrics = field(default_factory=Metrics)
    limits: DeadLetterLimits = field(default_factory=DeadLetterLimits)
    dead_letter_max_bytes: int | None = None
    fallback_title: str | None = None
    item_ids: ItemIds = INTEGER_IDS
    offset: int = 0
    recommender: Recommender = field(init=False)
    handler: Handler = field(init=False)

    def __post_init__(self) -> None:
        states = UserStates(self.store, StateRules(RULES.value, HistoryLimits(), 1 << 20), "writer")
        self.recommender = Recommender(self.store, RULES, 1 << 20)
        self.recommender.scan_slice(1_000)
        self.recommender.catalogue.put(2, CatalogueItem("Two", ("Drama", "War")))
        lists = ListWriter(
            LISTS,
            "/tests",
            RULES.label(),
            SETTINGS.epoch,
            self.recommender.catalogue,
            self.fallback_title,
            self.item_ids,
        )
        wire = WireRules(catalogue="integer" if self.item_ids is INTEGER_IDS else "string")
        door = Door(decoder_for("json"), wire, DEAD, "/tests", self.dead_letter_max_bytes, self.limits, self.item_ids)
        self.handler = Handler(door, states, self.recommender, lists, self.metrics, lambda: NOW_MS)

    def handle(self, records: Iterable[Record]) -> list[Message]:
        return self.handler.handle(Batch(list(records)))

    def versions(self, records: Iterable[Record]) -> list[tuple[str, str]]:
        """(user, list id without the user) of what is published, tombstones included."""
        return [(user_of(message), version_of(message)) for message in self.handle(records) if message.topic == LISTS]

    def outcomes(self) -> dict[str, int]:
        text = self.metrics.render().decode()
        families = [f for f in text_string_to_metric_families(text) if f.name == "tastestream_outcomes"]
        samples = [s for family in families for s in family.samples if s.name.endswith("_total")]
        return {sample.labels["outcome"]: int(sample.value) for sample in samples if sample.value}


def user_of(message: Message) -> str:
    return (message.key or b"").decode()


def version_of(message: Message) -> str:
    return (dict(message.headers)["ce_id"] or b"").decode().rpartition(":")[2]


def event(offset: int, user: str = "u", partition: int = 0, *, replayed: bool = False, **fields: Any) -> Record:
    """A record at an offset; a rating unless `fields` say otherwise."""
    document: dict[str, Any] = {"user_id": user}
    if fields.get("type", "rated") == "rated":
        document |= {"item_id": offset + 1, "rating": 4.0, "rated_at": format_time(RATED_MS + offset)}
    value = orjson.dumps(document | fields)
    source = f"topic-id:{partition}"
    return Record("ratings", partition, offset, source, user.encode(), value, (), NOW_MS, replayed)


def bad(offset: int, *, replayed: bool = False) -> Record:
    return event(offset, replayed=replayed)._replace(value=b"{", headers=(("trace", b"1"),))


def again(records: Iterable[Record]) -> list[Record]:
    """The same records, delivered once more after they were committed."""
    return [record._replace(replayed=True) for record in records]


def value_of(message: Message) -> RecommendationList:
    return decode_list(message.value or b"")


# When a list is published


def test_a_user_gets_one_list_per_batch() -> None:
    """Law: events of one user are folded together; the list answers to the last of them."""
    assert Rig().versions([event(0), event(1, "v"), event(2)]) == [("u", "7.2"), ("v", "7.1")]


def test_a_replayed_batch_publishes_nothing() -> None:
    """Law: what was committed has its list already; the state is brought up to date all the same."""
    rig = Rig()
    assert rig.handle(again([event(0), event(1)])) == []
    assert rig.store.read(["u"], []).states["u"].count == 2


def test_a_batch_that_is_half_replayed_publishes_for_its_live_half() -> None:
    """Law: a list belongs to the user whose last event was read for the first time."""
    rig = Rig()
    records = [*again([event(0), event(1, "v")]), event(2)]
    assert rig.versions(records) == [("u", "7.2")]


def test_a_duplicate_whose_list_was_never_committed_gets_it() -> None:
    """Law: the store may be ahead of the commit; delivered again, the state is not changed and its list published."""
    rig = Rig()
    first = rig.versions([event(0), event(1)])
    assert rig.versions([event(0), event(1)]) == first
    assert rig.store.read(["u"], []).states["u"].count == 2


def test_a_batch_without_the_last_event_publishes_nothing() -> None:
    """Law: a redelivery that is cut before the event that the state names leaves the list to the batch that has it."""
    rig = Rig()
    rig.handle([event(0), event(1), event(2)])
    assert rig.versions([event(0), event(1)]) == []
    assert rig.versions([event(2)]) == [("u", "7.3")]


def loaded(record: Record) -> Record:
    """The same record as history, with more of its user's behind it."""
    return record._replace(headers=(LOAD_HEADER,))


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_loaded_history_yields_one_list_at_its_end(cut: int) -> None:
    """Law: wherever a load is cut, its user gets one list, that of its last event, and it counts all of them."""
    rig = Rig()
    records = [loaded(event(0)), loaded(event(1)), event(2)]
    published = [version for part in (records[:cut], records[cut:]) for version in rig.versions(part)]
    assert published == [("u", "7.3")]
    assert rig.outcomes() == {"applied": 3, "list": 1} | ({"owed": 1} if cut < 3 else {})


def test_a_forget_among_loaded_history_is_answered() -> None:
    """Law: whatever its headers, forgetting publishes the tombstone."""
    rig = Rig()
    rig.handle([event(0)])
    assert [m.value for m in rig.handle([loaded(event(1, type="forget"))])] == [None]


def test_the_last_event_is_named_by_source_and_offset() -> None:
    """Law: the same offset of another partition, or of a topic made anew, is another event."""
    rig = Rig()
    rig.handle([event(5, partition=0), event(5, partition=1, item_id=9)])
    assert rig.versions([event(5, partition=0)]) == []
    assert rig.versions([event(5, partition=1, item_id=9)]) == [("u", "7.2")]


def test_of_several_sources_the_one_folded_last_is_answered() -> None:
    """Law: a user's events from several partitions are one state, and its list is published once."""
    rig = Rig()
    records = [event(3, partition=1, item_id=70), event(8), event(4, partition=1, item_id=71)]
    (message,) = rig.handle(records)
    source = value_of(message)["source"]
    assert (source["partition"], source["offset"], version_of(message)) == (1, 4, "7.3")


# What redelivery does


@dataclass
class Topic:
    """One partition, read in batches that are committed or aborted: what an abort and a restart do."""

    rig: Rig
    records: Sequence[Record]
    committed: int = 0
    handled: int = 0
    published: list[Message] = field(default_factory=list)

    def run(self, cuts: Iterable[tuple[int, bool, int]]) -> None:
        """Batches of (size, whether it is committed, how far before the committed offset it goes on after an abort)."""
        position = 0
        for size, is_committed, back in cuts:
            position = self._step(position, size, back, is_committed=is_committed)
        while self.committed < len(self.records):
            position = self._step(position, 2, 0, is_committed=True)

    def _step(self, position: int, size: int, back: int, *, is_committed: bool) -> int:
        batch = [r._replace(replayed=r.offset < self.committed) for r in self.records[position : position + size]]
        messages = self.rig.handle(batch)
        self.handled += len(batch)
        end = position + len(batch)
        if is_committed or end <= self.committed:
            self.published += messages
            self.committed = max(self.committed, end)
            return end
        self.rig.handler.drop_caches()
        return max(0, self.committed - back)


KINDS: list[Mapping[str, Any]] = [
    {},
    {"item_id": 1, "rating": 2.0},
    {"type": "retracted", "item_id": 1},
    {"type": "profile", "attributes": {"age": 3}},
    {"type": "forget"},
]
_events = st.lists(st.tuples(st.sampled_from("uvw"), st.sampled_from([*KINDS, None])), min_size=1, max_size=12)
_cuts = st.lists(st.tuples(st.integers(1, 6), st.booleans(), st.integers(0, 6)), max_size=12)


def records_of(drawn: Sequence[tuple[str, Mapping[str, Any] | None]]) -> list[Record]:
    return [bad(at) if fields is None else event(at, user, **fields) for at, (user, fields) in enumerate(drawn)]


@settings(max_examples=50)
@given(_events, _cuts)
def test_however_batches_are_cut_every_state_is_published_once_at_most(
    drawn: list[tuple[str, Mapping[str, Any] | None]], cuts: list[tuple[int, bool, int]]
) -> None:
    """Law: of every (user, version) one list is committed at most, versions rise, and the last reflects all events."""
    topic = Topic(Rig(), records_of(drawn))
    topic.run(cuts)
    versions: dict[str, list[int]] = {}
    for message in topic.published:
        if message.topic == LISTS:
            versions.setdefault(user_of(message), []).append(int(version_of(message).partition(".")[2]))
    events = [user for user, fields in drawn if fields is not None]
    assert all(found == sorted(set(found)) for found in versions.values())
    assert {user: found[-1] for user, found in versions.items()} == {user: events.count(user) for user in events}


@settings(max_examples=50)
@given(_events, _cuts)
def test_however_batches_are_cut_the_end_is_the_same(
    drawn: list[tuple[str, Mapping[str, Any] | None]], cuts: list[tuple[int, bool, int]]
) -> None:
    """Law: the last record of every user, and the state behind it, are those of an undisturbed run."""
    disturbed, undisturbed = Topic(Rig(), records_of(drawn)), Topic(Rig(), records_of(drawn))
    disturbed.run(cuts)
    undisturbed.run([])
    assert last_records(disturbed) == last_records(undisturbed)


@settings(max_examples=50)
@given(st.lists(st.sampled_from("uvw"), min_size=1, max_size=12), _cuts)
def test_however_batches_are_cut_a_load_publishes_each_user_once(
    users: list[str], cuts: list[tuple[int, bool, int]]
) -> None:
    """Law: where all but each user's last event is loaded history, each gets one list in all, of all their events."""
    ends = {user: at for at, user in enumerate(users)}
    records = [event(at, user) if ends[user] == at else loaded(event(at, user)) for at, user in enumerate(users)]
    topic = Topic(Rig(), records)
    topic.run(cuts)
    published = sorted((user_of(message), version_of(message)) for message in topic.published)
    assert published == sorted((user, f"7.{users.count(user)}") for user in ends)


def last_records(topic: Topic) -> dict[str, tuple[str, object, object]]:
    """List id, state and source of every user's last record; a tombstone has the first alone."""
    found: dict[str, tuple[str, object, object]] = {}
    for message in topic.published:
        if message.topic == LISTS:
            value = value_of(message) if message.value else None
            found[user_of(message)] = (version_of(message), value and value["state"], value and value["source"])
    return found


@settings(max_examples=50)
@given(_events, _cuts)
def test_however_batches_are_cut_every_bad_record_is_one_dead_letter(
    drawn: list[tuple[str, Mapping[str, Any] | None]], cuts: list[tuple[int, bool, int]]
) -> None:
    """Law: in what is committed there is one dead letter per bad record, whatever was delivered again."""
    topic = Topic(Rig(), records_of(drawn))
    topic.run(cuts)
    places = [dict(m.headers)["__connect.errors.offset"] for m in topic.published if m.topic == DEAD]
    assert sorted(int(place or b"-1") for place in places) == [at for at, (_, f) in enumerate(drawn) if f is None]


# Dead letters


def test_a_bad_record_goes_to_the_dead_letters_as_it_came() -> None:
    """Law: key, value and headers are the original's; ours say why and where from."""
    (message,) = Rig().handle([bad(4)])
    headers = dict(message.headers)
    assert (message.topic, message.key, message.value) == (DEAD, b"u", b"{")
    assert (headers["trace"], headers["tastestream-reason"]) == (b"1", b"not_json")
    assert (headers["__connect.errors.topic"], headers["__connect.errors.offset"]) == (b"ratings", b"4")


def test_a_bad_record_in_a_replay_is_no_dead_letter() -> None:
    """Law: its dead letter was committed with its offset."""
    assert Rig().handle([bad(4, replayed=True), bad(5)])[0].headers == Rig().handle([bad(5)])[0].headers
    assert len(Rig().handle([bad(4, replayed=True), bad(5)])) == 1


def test_a_limit_stops_before_anything_is_written() -> None:
    """Law: a batch that meets a limit changes no state, and counts for nothing."""
    rig = Rig(limits=DeadLetterLimits(DeadLetterTolerance(run_limit_records=2)))
    for _ in range(2):
        with pytest.raises(TooManyDeadLettersError, match="from ratings-0@1 to ratings-0@2"):
            rig.handle([event(0), bad(1), bad(2)])
    assert not rig.store.scan(None, 10).states
    assert rig.outcomes() == {}
    assert len(rig.handle([event(0), bad(1)])) == 2


def test_a_batch_counts_for_a_limit_once_it_is_committed() -> None:
    """Law: handled again before its commit it is no second malformed record."""
    rig = Rig(limits=DeadLetterLimits(DeadLetterTolerance(run_limit_records=3)))
    for _ in range(4):
        rig.handle([bad(1), bad(2)])
    rig.handler.committed()
    with pytest.raises(TooManyDeadLettersError, match="3 malformed records in a row"):
        rig.handle([bad(3)])


def test_a_dead_letter_knows_the_time_of_its_record_and_its_own_limit() -> None:
    """Law: sent again a record counts from its own time; and what its topic cannot take is not tried."""
    rig = Rig(dead_letter_max_bytes=10_000)
    small, large = rig.handle([bad(4), bad(5)._replace(value=b"{" * 10_000)])
    assert dict(small.headers)["tastestream-timestamp-ms"] == str(bad(4).timestamp_ms).encode()
    assert (small.value, large.value) == (b"{", None)
    assert dict(large.headers)["tastestream-omitted"] == b"value,headers"


@pytest.mark.parametrize("place", [0, 1, 2])
def test_good_records_proceed_wherever_the_bad_one_stands(place: int) -> None:
    """Law: a bad record changes nothing for the others of its batch."""
    records = [event(0), event(1, "v")]
    rig = Rig()
    messages = rig.handle([*records[:place], bad(7), *records[place:]])
    assert messages[:-1] == Rig().handle(records)
    assert messages[-1].topic == DEAD


def test_a_batch_of_bad_records_alone_is_handled() -> None:
    """Law: with no user to load or store there are still dead letters, and no lists."""
    assert [message.topic for message in Rig().handle([bad(0), bad(1)])] == [DEAD, DEAD]


def test_a_user_whose_point_is_another_users_is_refused() -> None:
    """Law: a collision of hashes is a dead letter; who was there first keeps the point, and the others go on."""
    rig = Rig(CollidingStore(SETTINGS))
    rig.handle([event(0)])
    messages = rig.handle([event(1, "twin"), event(2, "v"), event(3, "twin")])
    reasons = [dict(message.headers).get("tastestream-reason") for message in messages]
    assert reasons == [None, b"user_id_collision", b"user_id_collision"]
    assert user_of(messages[0]) == "v"
    assert rig.store.read(["u"], []).states["u"].count == 1


# What is published


def test_forgetting_publishes_a_tombstone() -> None:
    """Law: a forgotten user's record is null, under a version of its own, and nothing of theirs is stored."""
    rig = Rig()
    rig.handle([event(0)])
    (message,) = rig.handle([event(1, type="forget")])
    assert (message.topic, message.key, message.value, version_of(message)) == (LISTS, b"u", None, "7.2")
    state = rig.store.read(["u"], []).states["u"]
    assert (state.user_id, len(state.history), state.count) == (None, 0, 2)


def test_who_rates_after_forgetting_gets_a_list_again() -> None:
    """Law: the last event of the batch decides between list and tombstone; versions go on."""
    rig = Rig()
    (message,) = rig.handle([event(0), event(1, type="forget"), event(2)])
    assert (version_of(message), value_of(message)["state"]["num_ratings"]) == ("7.3", 1)
    (message,) = rig.handle([event(3), event(4, type="forget")])
    assert (version_of(message), message.value) == ("7.5", None)


def test_a_profile_event_yields_a_list() -> None:
    """Law: whatever changes a user refreshes the list; without ratings it is the popular one."""
    rig = Rig()
    rig.handle([event(0, "v")])
    (message,) = rig.handle([event(1, type="profile", attributes={"age": 30})])
    value = value_of(message)
    assert (value["tier"], [item["item_id"] for item in value["items"]]) == ("popular", [1])
    assert value["state"] == {"epoch": 7, "version": 1, "num_ratings": 0, "avg_rating": None}
    assert rig.store.read(["u"], []).states["u"].attributes == {"age": 30}


def test_a_list_says_what_it_was_made_of() -> None:
    """Law: every field but the ranking itself follows from the event, the state and the deployment."""
    rig = Rig()
    rig.handle([event(0, "v", item_id=1), event(1, "v", item_id=2), event(2, "v", item_id=3)])
    (message,) = rig.handle([event(8, item_id=1, rating=3.0), event(9, item_id=9, rating=4.5, event_id="e-9")])
    value = value_of(message)
    assert value["list_id"] == "u:7.2"
    assert value["state"] == {"epoch": 7, "version": 2, "num_ratings": 2, "avg_rating": 3.75}
    assert value["source"] == {
        "topic": "ratings",
        "topic_id": "topic-id",
        "partition": 0,
        "offset": 9,
        "rated_at": format_time(RATED_MS + 9),
        "event_id": "e-9",
    }
    assert (value["ranking"], value["tier"], value["generated_at"]) == (RULES.label(), "thin", format_time(NOW_MS))
    items = {item["item_id"]: item for item in value["items"]}
    assert items.keys() == {2, 3}
    assert (items[2]["title"], items[2]["genres"], items[2]["support"]) == ("Two", ["Drama", "War"], 1)
    assert "title" not in items[3]


def titles(rig: Rig) -> dict[int | str, str | None]:
    """Rates once more, and returns the titles of the list that answers."""
    rig.handle([event(0, "v", item_id=1), event(1, "v", item_id=2), event(2, "v", item_id=3)])
    rig.offset += 1
    (message,) = rig.handle([event(10 + rig.offset, item_id=1)])
    return {item["item_id"]: item.get("title") for item in value_of(message)["items"]}


def test_a_list_is_named_as_the_catalogue_is_when_it_is_written() -> None:
    """Law: a changed title is in the next list, and what the catalogue lost is named no more, nor listed."""
    rig = Rig()
    assert titles(rig) == {2: "Two", 3: None}
    rig.recommender.catalogue.put(2, CatalogueItem("Two, again"))
    rig.recommender.catalogue.put(3, CatalogueItem(genres=("War",)))
    assert titles(rig) == {2: "Two, again", 3: None}
    rig.recommender.catalogue.remove(2)
    assert titles(rig) == {3: None}
    rig.recommender.catalogue.put(2, CatalogueItem("Back"))
    assert titles(rig) == {2: "Back", 3: None}


def test_an_item_without_a_title_is_called_as_the_deployment_says() -> None:
    """Law: the fallback names what has no title, and nothing else."""
    assert titles(Rig(fallback_title="Movie {item_id}")) == {2: "Two", 3: "Movie 3"}


def test_a_list_is_made_from_the_state_after_the_whole_batch() -> None:
    """Law: what is published is the fold of everything applied, of other users in the batch, too."""
    rig = Rig()
    messages = rig.handle([event(0, item_id=1), event(1, "v", item_id=1), event(2, "v", item_id=5)])
    assert [item["item_id"] for item in value_of(messages[0])["items"]] == [5]


def test_a_state_is_the_fold_of_its_events() -> None:
    """Law: what the handler stores is what the pure fold makes of the same updates."""
    rig = Rig()
    rig.handle([event(0), event(1, rating=2.5)])
    stored = rig.store.read(["u"], []).states["u"]
    ratings = enumerate([4.0, 2.5])
    updates = [Update("topic-id:0", at, "u", Rate(at + 1, rating, RATED_MS + at)) for at, rating in ratings]
    expected = fold(NEW_USER, updates, HistoryLimits())
    assert stored.history.items.tolist() == expected.history.items.tolist()
    assert stored.history.ratings.tolist() == expected.history.ratings.tolist()
    assert stored.history.rated_at.tolist() == expected.history.rated_at.tolist()
    assert (stored.count, stored.offsets) == (expected.count, expected.offsets)


# What is counted


def test_outcomes_add_up_to_the_records() -> None:
    """Law: every live record is applied, a duplicate or a dead letter; lists and tombstones count beside them."""
    rig = Rig()
    rig.handle([event(0), event(1), bad(2), event(3, "v", type="forget")])
    assert rig.outcomes() == {"applied": 3, "dead_letter": 1, "list": 1, "tombstone": 1}
    rig.handle([event(1), bad(2), event(3, "v", type="forget"), event(4, "v")])
    assert rig.outcomes() == {"applied": 4, "duplicate": 2, "dead_letter": 2, "list": 3, "tombstone": 1}


def test_replayed_records_are_counted_as_such_alone() -> None:
    """Law: what was committed before is a replay, whether the store had it, lacked it or it was bad."""
    rig = Rig()
    rig.handle([event(0)])
    before = rig.outcomes()
    rig.handle([*again([event(0), event(1), bad(2)]), event(3)])
    added = {name: count - before.get(name, 0) for name, count in rig.outcomes().items()}
    assert added == {"replayed": 3, "applied": 1, "list": 1}


@settings(max_examples=50)
@given(_events, _cuts)
def test_outcomes_add_up_however_batches_are_cut(
    drawn: list[tuple[str, Mapping[str, Any] | None]], cuts: list[tuple[int, bool, int]]
) -> None:
    """Law: the outcomes of records sum up to the records handled, delivered again or not."""
    topic = Topic(Rig(), records_of(drawn))
    topic.run(cuts)
    found = topic.rig.outcomes()
    assert sum(found.get(name, 0) for name in ("applied", "duplicate", "dead_letter", "replayed")) == topic.handled


# A store that is away


@pytest.mark.parametrize("call", ["nearest", "answer"])
def test_a_batch_that_the_store_interrupted_is_handled_again(call: str) -> None:
    """Law: the same batch once more publishes what it would have published, and no record is counted twice."""
    flaky, calm = Rig(FlakyStore()), Rig()
    records = [event(0), bad(1), event(2, "v"), event(3)]
    assert isinstance(flaky.store, FlakyStore)
    flaky.store.away[call] = 1
    with pytest.raises(StoreUnavailableError):
        flaky.handle(records)
    assert [message.headers for message in flaky.handle(records)] == [m.headers for m in calm.handle(records)]
    assert sum(flaky.outcomes().get(name, 0) for name in ("applied", "duplicate", "dead_letter")) == len(records)


class FlakyTable(MemoryTable):
    """A table that is away at one of its calls."""

    def __init__(self, away_at: int = -1) -> None:
        super().__init__()
        self.calls = 0
        self._away_at = away_at

    def read(self, dimensions: Sequence[int]) -> Mapping[int, str]:
        self._fail()
        return super().read(dimensions)

    def insert(self, ids: Mapping[int, str]) -> None:
        self._fail()
        super().insert(ids)

    def _fail(self) -> None:
        self.calls += 1
        if self.calls - 1 == self._away_at:
            raise StoreUnavailableError("the registry is away")


def of_a_shop(table: FlakyTable) -> tuple[Rig, list[Record]]:
    """A rig that keeps one item's id in memory, so that lists ask for the others; users who share a taste, and one."""
    rig = Rig(item_ids=ItemIds(ItemRegistry(table, cached_items_max=1)))
    rig.store.settings = replace(SETTINGS, catalogue="string")
    taste = [event(3 * n + k, f"u{n}", item_id=f"SKU {k}", rating=4.0 + k / 2) for n in range(3) for k in range(3)]
    return rig, [*taste, event(20, "ann", item_id="SKU 0", rating=4.0), bad(21)]


@pytest.mark.parametrize("away_at", range(6))
def test_a_batch_can_be_handled_again_after_the_registry_was_away(away_at: int) -> None:
    """Law: wherever the registry was away, the same batch then publishes the same lists, and counts no record twice."""
    calm, records = of_a_shop(FlakyTable())
    told = calm.handle(records)
    flaky, records = of_a_shop(table := FlakyTable(away_at))
    with pytest.raises(StoreUnavailableError, match="registry is away"):
        flaky.handle(records)
    assert [(m.key, m.value) for m in flaky.handle(records)] == [(m.key, m.value) for m in told]
    assert table.calls > away_at
    assert sum(flaky.outcomes().get(name, 0) for name in ("applied", "duplicate", "dead_letter")) == len(records)


def test_lists_name_items_as_events_did() -> None:
    """Law: in a catalogue of strings `item_id` is the string of the events, and dimensions are nowhere."""
    rig, records = of_a_shop(FlakyTable())
    lists = {user_of(m): value_of(m) for m in rig.handle(records) if m.topic == LISTS}
    assert {item["item_id"] for item in lists["ann"]["items"]} == {"SKU 1", "SKU 2"}


def test_integers_ask_no_registry() -> None:
    """Law: a catalogue of integers has no registry to ask: an id is its own dimension, in the state as in the list."""
    rig = Rig()
    rig.handle([event(0, item_id=7)])
    assert rig.store.read(["u"], []).states["u"].history.items.tolist() == [7]
    dimensions = [3, 1]
    assert INTEGER_IDS.named(dimensions) is dimensions
    assert INTEGER_IDS.assigned([3, 1]) is INTEGER_IDS.expected([3, 1])


def test_a_registry_that_lost_an_item_is_told() -> None:
    """Law: a dimension that stands in the store and was never given is an error that says what to do."""
    with pytest.raises(StoreError, match=r"no item of dimension 7.*restore both.*tastestream rebuild"):
        ItemIds(ItemRegistry(MemoryTable())).named([7])


def test_popularity_counts_a_batch_that_was_interrupted_while_ranking() -> None:
    """Law: a change of a stored history reaches the statistics once, also where ranking has to be tried again."""
    rig = Rig(FlakyStore())
    assert isinstance(rig.store, FlakyStore)
    rig.store.away["nearest"] = 1
    with pytest.raises(StoreUnavailableError):
        rig.handle([event(0)])
    rig.handle([event(0)])
    assert rig.recommender.statistics.counts.sum() == 1
