"""Redriving over a topic in memory: each dead letter once, whatever becomes of its transactions."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from confluent_kafka import Message as KafkaMessage
from hypothesis import given
from hypothesis import strategies as st

from consumers import redrive
from consumers.cluster import ClusterError
from consumers.redrive import Redriven, Redriver, RedriveRules, planned
from consumers.redrive_letters import Selection, letter_of, parse_place, read_letters
from producers.sink import MessageTooLargeError, TransactionAbortedError, TransactionalSink
from schemas.dead_letters import REDRIVEN_HEADER, RefusedRecord, dead_letter
from schemas.messages import Message
from schemas.reasons import MalformedRecordError, Reason

DLQ, INPUT = "ratings.dlq", "ratings"
AT_MS = 1_700_000_000_000
RULES = RedriveRules(3, {INPUT: 4}, {INPUT: 1_000})
LARGE = b"x" * 2_000


class KilledError(BaseException):
    """The process ended in the middle of a commit that did not come about."""


@dataclass
class Topics:
    """The dead-letter topic and what was sent to the input; a sink whose commits end as `outcomes` say, in turn.

    "lost": aborted, nothing is visible. "unknown": committed, but the answer says aborted. "large": values of `LARGE`
    do not fit the input. "killed": the process ends.
    """

    letters: list[Message] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)
    sent: list[Message] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    open: list[Message] = field(default_factory=list)

    def begin(self) -> None:
        self.open = []

    def send(self, messages: list[Message]) -> None:
        self.open = list(messages)

    def commit(self, _: object) -> None:
        outcome = self.outcomes.pop(0) if self.outcomes else "done"
        if outcome == "killed":
            raise KilledError
        if outcome == "large" and any(message.value == LARGE for message in self.open):
            raise MessageTooLargeError("too large")
        if outcome != "lost":
            self.letters += [message for message in self.open if message.topic == DLQ]
            taken = [message for message in self.open if message.topic == INPUT]
            self.sent += taken
            self.batches.append(len(taken))
        if outcome in {"lost", "unknown"}:
            raise TransactionAbortedError("aborted")

    def read(self) -> Iterator[KafkaMessage]:
        ends: Counter[int] = Counter()
        for message in self.letters:
            partition = message.partition or 0
            yield stored(message, partition, ends[partition])
            ends[partition] += 1

    def run(self, selection: Selection | None = None, rules: RedriveRules = RULES) -> Redriven:
        redriver = Redriver(DLQ, cast("TransactionalSink", self), self.read, "tests", lambda: AT_MS)
        return redriver.run(selection or Selection(), rules, lambda *_: None)


def stored(message: Message, partition: int, offset: int) -> KafkaMessage:
    fields: dict[str, Any] = {"key": message.key, "value": message.value, "headers": list(message.headers)}
    return KafkaMessage(topic=message.topic, partition=partition, offset=offset, timestamp=(1, AT_MS), **fields)


def letter(number: int, value: bytes = b"{", reason: Reason = "not_json", **changed: Any) -> Message:
    place: dict[str, Any] = {"topic": INPUT, "partition": number % 4, "offset": number} | changed
    record = RefusedRecord(**place, key=b"%d" % number, value=value)
    return dead_letter(DLQ, record, MalformedRecordError(reason, "because"), "tests", AT_MS)


@given(count=st.integers(0, 450), outcomes=st.lists(st.sampled_from(["done", "lost", "unknown"]), max_size=5))
def test_each_is_sent_once_whatever_becomes_of_a_commit(count: int, outcomes: list[str]) -> None:
    """Law: an abort sends again what it took back, and a commit whose answer is lost sends nothing twice."""
    topics = Topics([letter(number) for number in range(count)], list(outcomes))
    done = topics.run()
    assert [message.key for message in topics.sent] == [b"%d" % number for number in range(count)]
    assert (len(done.sent), done.count("due")) == (count, count)
    assert topics.run().count("sent_before") == count


@given(done=st.integers(0, 4), reasons=st.lists(st.sampled_from(["not_json", "bad_time"]), max_size=300))
def test_what_an_earlier_run_left_is_sent_by_the_next(done: int, reasons: list[Reason]) -> None:
    """Law: filters and an end in the middle leave each dead letter to exactly one run."""
    topics = Topics([letter(n, reason=reason) for n, reason in enumerate(reasons)])
    topics.outcomes = ["done"] * done + ["killed"]
    with suppress(KilledError):
        topics.run(Selection(frozenset({"not_json"})))
    assert all(reasons[int(message.key or b"")] == "not_json" for message in topics.sent)
    topics.outcomes = []
    topics.run()
    assert Counter(message.key for message in topics.sent) == Counter(b"%d" % n for n in range(len(reasons)))


def test_an_abort_every_time_ends_the_run() -> None:
    """Law: what fails always is not tried for ever."""
    topics = Topics([letter(0)], ["lost"] * 100)
    with pytest.raises(TransactionAbortedError):
        topics.run()
    assert len(topics.outcomes) == 100 - redrive.SETBACKS_MAX - 1


def test_what_may_not_fit_takes_nothing_else_along() -> None:
    """Law: a record larger than its topic is tried alone and in its place; if it does not fit, the others are sent."""
    topics = Topics([letter(0), letter(1, LARGE), letter(2)], ["large"] * 3)
    done = topics.run()
    assert ([m.key for m in topics.sent], done.count("too_large")) == ([b"0", b"2"], 1)
    assert len(done.sent) == 2
    assert [m.key for m in topics.sent] == [b"0", b"2"]
    topics.run()
    assert ([m.key for m in topics.sent], topics.batches) == ([b"0", b"2", b"1"], [1, 1, 1])


def test_a_record_too_large_stays_so_after_an_abort() -> None:
    """Law: reading anew does not forget what did not fit."""
    topics = Topics([letter(0, LARGE), letter(1)], ["large", "unknown"])
    done = topics.run()
    assert (done.count("too_large"), len(done.sent), len(topics.sent)) == (1, 1, 1)


def test_transactions_are_bounded() -> None:
    """Law: neither more records nor more bytes than a transaction's worth go together."""
    topics = Topics([letter(number) for number in range(2 * redrive.BATCH_MAX_RECORDS + 1)])
    topics.run()
    assert topics.batches == [redrive.BATCH_MAX_RECORDS] * 2 + [1]
    half = b"x" * (redrive.BATCH_MAX_BYTES // 2)
    topics = Topics([letter(number, half) for number in range(3)])
    topics.run(rules=RedriveRules(3, {INPUT: 4}))
    assert topics.batches == [1, 1, 1]


def test_what_cannot_be_sent_again_says_why() -> None:
    """Law: attempts used up, bytes left out, no origin, and an origin that is no input each have their own verdict."""
    error = MalformedRecordError("not_json", "because")
    tried = RefusedRecord(INPUT, 0, 1, b"k", b"v", (("tastestream-attempts", b"2"),))
    large = RefusedRecord(INPUT, 0, 1, b"k", LARGE)
    letters = [
        letter(0),
        dead_letter(DLQ, tried, error, "tests", AT_MS),
        dead_letter(DLQ, large, error, "tests", AT_MS, 1_000),
        Message(DLQ, b"k", b"somebody else's"),
        letter(0, topic="elsewhere"),
        letter(0, partition=4),
    ]
    found = planned(read_letters(Topics(letters).read(), Selection()), RULES)
    expected = ["due", "too_many_attempts", "incomplete", "no_origin", "no_such_input", "no_such_input"]
    assert list(found.verdicts.values()) == expected
    assert found.due() == {("not_json", INPUT): 1}


def test_a_selection_takes_what_all_its_filters_take() -> None:
    """Law: reasons, times (the end excluded) and places; an empty filter takes all."""
    (message,) = Topics([letter(0)]).read()
    found = letter_of(message)
    assert Selection().takes(found)
    assert Selection(frozenset({"not_json"}), AT_MS, AT_MS + 1, frozenset({(0, 0)})).takes(found)
    assert not Selection(frozenset({"bad_time"})).takes(found)
    assert not Selection(since_ms=AT_MS + 1).takes(found)
    assert not Selection(until_ms=AT_MS).takes(found)
    assert not Selection(places=frozenset({(0, 1)})).takes(found)


def test_a_marker_that_cannot_be_read_stops_everything() -> None:
    """Law: where it is not known what was sent, nothing is sent."""
    topics = Topics([letter(0), Message(DLQ, None, b"{", ((REDRIVEN_HEADER, b"1"),), 1)])
    with pytest.raises(ClusterError, match=r"ratings.dlq \[1\] at offset 0"):
        topics.run()
    assert topics.sent == []


@pytest.mark.parametrize("text", ["", "1", "1:", ":1", "a:1", "-1:2", "1:2:3"])
def test_a_place_is_partition_and_offset(text: str) -> None:
    """Law: what is no place is refused."""
    assert parse_place("12:345") == (12, 345)
    with pytest.raises(ValueError, match="PARTITION:OFFSET"):
        parse_place(text)
