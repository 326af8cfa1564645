"""The receipt of a forgotten user: what was known and went, how it is proven, and what stays where it is.

It claims only what can be said from outside: what was known is read before the event (from the store, or folded from
the topics while a worker holds the store), that it is gone follows from the tombstone, which is committed after the
store's write was read back. What a loss of power takes of an Edge store's writes comes again before anything new does.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from consumers.cluster import Topic
from consumers.existing_store import store_place
from consumers.forgetting import Forgetting
from consumers.published_lists import current_list
from consumers.remains import RecordRange, Records, Remains, kept_for, retention
from consumers.settings import Settings
from consumers.settings_mapping import ranking_rules
from consumers.user_reading import read_user
from recommender.vector import user_vector


@dataclass(frozen=True, slots=True)
class Known:
    """What was known of a user before the event, and where that was read; all zero and empty for a stranger."""

    user_id: str
    place: str
    from_store: bool
    events: int
    ratings: int
    retractions: int
    seen_items: int
    attributes: tuple[str, ...]
    vector_items: int
    list_id: str | None

    def summary(self) -> str:
        """What there is, in a few words."""
        counts = {
            "ratings": self.ratings,
            "retractions": self.retractions,
            "ids of items seen": self.seen_items,
            f"attributes ({', '.join(self.attributes)})": len(self.attributes),
            "coordinates of the vector": self.vector_items,
            "current list": 0 if self.list_id is None else 1,
        }
        return ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "nothing"


@dataclass(frozen=True, slots=True)
class Receipt:
    """Everything a receipt is written from."""

    known: Known
    done: Forgetting
    remains: Remains
    topics: dict[str, Topic]


def known_of(settings: Settings, user_id: str) -> Known:
    """What the store knows of a user, or the topics while a worker holds it.

    Raises:
        StoreError: the store cannot be used, or was made with other settings.
        ClusterError: the brokers do not answer in time.
    """
    reading = read_user(settings, user_id)
    state, rated = reading.state, reading.state.history.rated()
    vector = user_vector(state.history, ranking_rules(settings).value)
    value = current_list(settings, user_id)
    return Known(
        user_id,
        reading.place,
        reading.from_store,
        state.count,
        len(rated),
        len(state.history) - len(rated),
        len(state.seen),
        tuple(sorted(state.attributes)),
        0 if vector is None else len(vector.indices),
        None if value is None else value["list_id"],
    )


def receipt_document(receipt: Receipt, settings: Settings) -> dict[str, Any]:
    """The receipt for programs."""
    known, done = receipt.known, receipt.done
    removed = asdict(known)
    del removed["user_id"]
    remains = receipt.remains
    return {
        "user_id": known.user_id,
        "removed": removed,
        "seconds": round(done.seconds, 6),
        "topic": done.event.topic if done.event else None,
        "partition": done.event.partition if done.event else None,
        "offset": done.event.offset if done.event else None,
        "answer": None if done.answer is None else {"kind": done.answer.kind, **done.answer.place._asdict()},
        "cannot_remove": {
            "events": _rows(remains.events),
            "lists": _rows(remains.lists),
            "dead_letters": [place._asdict() | {"reason": reason} for place, reason in remains.dead_letters],
            "retention": {name: retention(topic) for name, topic in receipt.topics.items()},
            "elsewhere": list(_elsewhere(settings)),
        },
    }


def receipt_lines(receipt: Receipt, settings: Settings) -> Iterator[str]:
    """The receipt for people."""
    known, done, remains = receipt.known, receipt.done, receipt.remains
    yield f"forgotten: user {known.user_id!r}, in {done.seconds * 1000:.0f} ms from sending to readable"
    yield f"  the event     {done.event}"
    if done.answer is not None:
        yield f"  the answer    {done.answer.place}, a {done.answer.kind}{_afresh(done)}"
    yield f"  removed       {known.summary()}"
    yield f"  as read from  {known.place}"
    yield "not removed:"
    for (topic, partition), found in remains.events.items():
        yield _line(topic, partition, found, "events, the wish to be forgotten among them", receipt.topics)
    for (topic, partition), found in remains.lists.items():
        yield _line(topic, partition, found, "lists and tombstones", receipt.topics)
    for place, reason in remains.dead_letters:
        yield f"  {place}: a dead letter ({reason}), kept {kept_for(retention(receipt.topics[place.topic]))}"
    if not remains.dead_letters:
        yield f"  {settings.dead_letter_topic}: no dead letter holds the user"
    yield from (f"  {sentence}" for sentence in _elsewhere(settings))


def _line(topic: str, partition: int, found: RecordRange, what: str, topics: dict[str, Topic]) -> str:
    kept, place = (
        kept_for(retention(topics[topic])),
        f"{topic} [{partition}] @ {found.first_offset}..{found.last_offset}",
    )
    return f"  {place}: {found.records} {what}, kept {kept}"


def _afresh(done: Forgetting) -> str:
    return " that starts afresh: the user was back at once" if done.answer and done.answer.kind == "list" else ""


def _rows(records: Records) -> list[dict[str, Any]]:
    return [{"topic": topic, "partition": partition} | asdict(found) for (topic, partition), found in records.items()]


def _elsewhere(settings: Settings) -> Iterator[str]:
    """What no reading of Kafka can find."""
    yield (
        f"the files of {store_place(settings)} (write-ahead log, segments) keep old bytes until Qdrant rewrites them; "
        "the point that stays holds no id, no rating and no attribute, only offsets and a count"
    )
    yield "backups, snapshots and the stores that a rebuild left behind hold the user as they were"
    yield "readers of the lists may have copied them"
    if settings.qdrant.store == "server":
        yield (
            "other workers' memory may hold the user's ratings, without the id and never used again, until they count "
            f"popularity anew ({settings.limits.rescan_interval_s:g} s, limits.rescan_interval_s); their popularity "
            "figures count those ratings as long"
        )
