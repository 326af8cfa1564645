"""Sends the originals of dead letters back to where they came from, each once, whatever ends it on its way.

- One Kafka transaction holds the originals and, in the partition of their dead letters, the marker that names them:
  both are visible or neither is. What a filter left out has no marker, and can be sent another day.
- The transactional id is one per group and is taken before anything is read: whoever had it can commit no more, and
  what it had begun is decided. Then everything up to the end of the topic is read, open transactions waited for, so
  that no marker is missed. Hence neither two runs at once nor an interrupted one send anything twice.
- After a commit of unknown outcome the topic is read anew: the markers tell.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import structlog
from confluent_kafka import Message as KafkaMessage

from consumers.redrive_letters import Letter, Letters, Place, Selection, headers_of, place_of, read_letters
from producers.sink import MessageTooLargeError, TransactionAbortedError, TransactionalSink
from schemas.dead_letters import size_bytes
from schemas.messages import Message
from schemas.redriven import Origin, redriven_marker, refusal_of, sent_again

BATCH_MAX_RECORDS = 100
BATCH_MAX_BYTES = 8_388_608
SETBACKS_MAX = 5

Verdict = Literal["due", "sent_before", "too_many_attempts", "incomplete", "no_origin", "no_such_input", "too_large"]
Report = Callable[[int, int], None]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RedriveRules:
    """What may be sent again: records handled fewer than `max_attempts` times, to inputs with so many partitions.

    `max_bytes` is the size limit of each input; larger records may fit packed, and are tried alone.
    """

    max_attempts: int
    partitions: Mapping[str, int]
    max_bytes: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Redriven:
    """What was or would be done: the verdict of every dead letter of the selection, and the places that were sent."""

    verdicts: dict[Place, Verdict] = field(default_factory=dict)
    letters: dict[Place, Letter] = field(default_factory=dict)
    sent: set[Place] = field(default_factory=set)

    def count(self, verdict: Verdict) -> int:
        """How many dead letters have this verdict."""
        return sum(found == verdict for found in self.verdicts.values())

    def due(self) -> Counter[tuple[str, str]]:
        """How many are sent, by reason and topic."""
        return Counter(
            (letter.refusal.reason, letter.refusal.origin.topic)
            for place, letter in self.letters.items()
            if self.verdicts[place] == "due" and letter.refusal.origin is not None
        )


def verdict_of(letter: Letter, redriven: Collection[Place], rules: RedriveRules) -> Verdict:
    """Whether a dead letter may be sent again, and if not, why."""
    refusal = letter.refusal
    if letter.place in redriven:
        return "sent_before"
    if refusal.origin is None:
        return "no_origin"
    if refusal.omitted:
        return "incomplete"
    if refusal.origin.partition >= rules.partitions.get(refusal.origin.topic, 0):
        return "no_such_input"
    return "too_many_attempts" if refusal.attempts >= rules.max_attempts else "due"


def planned(letters: Letters, rules: RedriveRules) -> Redriven:
    """What would be done; sends nothing."""
    return Redriven(
        {letter.place: verdict_of(letter, letters.redriven, rules) for letter in letters.selected},
        {letter.place: letter for letter in letters.selected},
    )


@dataclass(frozen=True, slots=True)
class Redriver:
    """Sends; `read` gives the dead-letter topic from its beginning to its end, `origin` is the CloudEvents source."""

    topic: str
    sink: TransactionalSink
    read: Callable[[], Iterator[KafkaMessage]]
    origin: str
    clock_ms: Callable[[], int]

    def run(self, selection: Selection, rules: RedriveRules, report: Report) -> Redriven:
        """Send what is due; returns what was done. `report` hears of (sent, due).

        Raises:
            FencedError: another run took over; what this one had sent stays sent.
            SinkError: it cannot go on; what was sent stays sent, and another run sends the rest.
            ClusterError: the topic cannot be read.
        """
        tried, too_large = set[Place](), set[Place]()
        for setbacks in range(SETBACKS_MAX + 1):
            letters = read_letters(self.read(), selection)
            done = planned(Letters(letters.selected, letters.redriven - tried), rules)
            done.sent |= tried & letters.redriven
            done.verdicts |= dict.fromkeys(too_large, "too_large")
            try:
                self._send_due(done, rules, tried, report)
            except TransactionAbortedError as error:
                if setbacks == SETBACKS_MAX:
                    raise
                log.warning("reading anew what was sent", why=str(error))
            else:
                break
            finally:
                too_large |= {place for place, verdict in done.verdicts.items() if verdict == "too_large"}
        return done

    def _send_due(self, done: Redriven, rules: RedriveRules, tried: set[Place], report: Report) -> None:
        due = {place for place, verdict in done.verdicts.items() if verdict == "due"}
        report(len(done.sent), len(due))
        for batch in _batches(self._wanted(due - done.sent), rules):
            places = [place for place, _ in batch]
            tried |= set(places)
            try:
                self._send(batch)
            except MessageTooLargeError:
                if len(batch) > 1:
                    raise
                done.verdicts[places[0]] = "too_large"
            else:
                done.sent |= set(places)
                report(len(done.sent), len(due))

    def _wanted(self, places: Collection[Place]) -> Iterator[tuple[Place, Message]]:
        missing = set(places)
        messages = self.read() if missing else iter(())
        for found in messages:
            place = place_of(found)
            if place not in missing:
                continue
            missing.discard(place)
            headers = headers_of(found)
            origin = refusal_of(headers).origin
            assert origin is not None  # noqa: S101  # none is due without
            letter = Origin(self.topic, *place)
            yield place, sent_again(origin, found.key(), found.value(), headers, letter)
            if not missing:
                return

    def _send(self, batch: Iterable[tuple[Place, Message]]) -> None:
        offsets: dict[int, list[int]] = {}
        for (partition, offset), _ in batch:
            offsets.setdefault(partition, []).append(offset)
        now_ms = self.clock_ms()
        markers = [redriven_marker(self.topic, p, named, self.origin, now_ms) for p, named in offsets.items()]
        self.sink.begin()
        self.sink.send([*(message for _, message in batch), *markers])
        self.sink.commit({})


Sendable = tuple[Place, Message]


def _batches(rows: Iterable[Sendable], rules: RedriveRules) -> Iterator[list[Sendable]]:
    """Transactions' worth; what may not fit its topic goes alone, so that it takes nothing else along."""
    batch: list[Sendable] = []
    in_batch_bytes = 0
    for row in rows:
        row_bytes = size_bytes(row[1])
        goes_alone = row_bytes > rules.max_bytes.get(row[1].topic, BATCH_MAX_BYTES)
        is_full = len(batch) == BATCH_MAX_RECORDS or in_batch_bytes + row_bytes > BATCH_MAX_BYTES
        if batch and (goes_alone or is_full):
            yield batch
            batch, in_batch_bytes = [], 0
        if goes_alone:
            yield [row]
        else:
            batch.append(row)
            in_batch_bytes += row_bytes
    if batch:
        yield batch
