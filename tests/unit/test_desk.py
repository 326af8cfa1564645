"""The desk over fakes that write down what they are asked: a reply first, then its request's offset."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any, cast

import pytest

from consumers.answering.answers import Answers
from consumers.answering.desk import FIRST_MAX, Desk, DeskParts
from consumers.answering.request_source import RequestSource
from consumers.metrics import Metrics
from consumers.records import Batch, Record
from producers.acknowledged_sink import AcknowledgedSink, NotDeliveredError
from producers.sink import SinkError
from recommender.store import StoreError, StoreUnavailableError
from schemas.messages import Message

BUDGET_S = 0.05


def batch(*offsets: int) -> Batch:
    return Batch([Record("requests", 0, offset, "requests:0", b"r", b"{}") for offset in offsets])


@dataclass
class World:
    """Everything around a desk; `failures` are raised by the calls of a name, in turn."""

    batches: list[Batch] = field(default_factory=list)
    failures: dict[str, list[Exception]] = field(default_factory=dict)
    calls: list[Any] = field(default_factory=list)
    now_s: float = 0.0
    cost_s: list[float] = field(default_factory=list)
    """What the request at each offset takes; none: no time."""
    sizes: list[int] = field(default_factory=list)
    """How many requests were answered together, each time."""

    def called(self, name: str, *arguments: object) -> None:
        self.calls.append((name, *arguments) if arguments else name)
        if waiting := self.failures.get(name):
            raise waiting.pop(0)

    def poll(self, _wait_s: float) -> Batch:
        self.called("poll")
        return self.batches.pop(0) if self.batches else Batch()

    def rewind(self) -> None:
        self.called("rewind")

    def answer(self, records: list[Record]) -> list[Message]:
        self.called("answer")
        self.sizes.append(len(records))
        self.now_s += sum(self.cost_s[record.offset] for record in records) if self.cost_s else 0.0
        return [Message("replies", b"r", b"%d" % record.offset) for record in records]

    def deliver(self, messages: list[Message]) -> None:
        self.called("deliver", *(message.value for message in messages))

    def commit(self, next_offsets: Mapping[tuple[str, int], int]) -> None:
        self.called("commit", dict(next_offsets))

    def close(self) -> None:
        self.called("close")


def desk_of(world: World) -> Desk:
    source, sink, answers = (cast("Any", world) for _ in range(3))
    parts = DeskParts(
        cast("RequestSource", source),
        cast("AcknowledgedSink", sink),
        cast("Answers", answers),
        Metrics(),
        lambda: 0,
    )
    return Desk(parts, BUDGET_S, setbacks_in_a_row_max=2)


def committed(world: World) -> list[int]:
    """The offsets that were committed, in order; each step commits one partition's."""
    return [call[1]["requests", 0] for call in world.calls if call[0] == "commit"]


def replied(world: World) -> list[int]:
    """The requests that were replied to, by offset, in order."""
    return [int(value) for call in world.calls if call[0] == "deliver" for value in call[1:]]


def test_a_request_is_done_with_once_its_reply_is_there() -> None:
    """Answered, delivered and only then committed, with the offset after the last request."""
    world = World([batch(3, 4)])
    desk_of(world).step(0)
    assert world.calls == ["poll", "answer", "answer", ("deliver", b"3", b"4"), ("commit", {("requests", 0): 5})]


def test_closing_leaves_the_group_and_lets_the_producer_go() -> None:
    """The offsets of what was answered are told before anybody else gets the partitions."""
    world = World()
    desk_of(world).close()
    assert world.calls == ["close", "close"]


def test_without_requests_nothing_is_sent() -> None:
    """An idle desk writes nothing."""
    world = World()
    desk_of(world).step(0)
    assert world.calls == ["poll"]


def test_requests_whose_replies_may_not_be_there_are_read_again() -> None:
    """Nothing of them is committed, so they come once more; too often in a row ends the worker."""
    undelivered = [NotDeliveredError("x") for _ in range(3)]
    world = World([batch(1), batch(1), batch(1)], {"deliver": [*undelivered]})
    desk = desk_of(world)
    for _ in range(2):
        desk.step(0)
        assert world.calls[-1] == "rewind"
    with pytest.raises(NotDeliveredError):
        desk.step(0)
    assert committed(world) == []


def test_a_delivery_ends_a_row_of_setbacks() -> None:
    """Setbacks count only one after the other."""
    world = World([batch(1)] * 4)
    desk = desk_of(world)
    for _ in range(2):
        world.failures["deliver"] = [NotDeliveredError("x")]
        desk.step(0)
        desk.step(0)
    assert [call for call in world.calls if call == "rewind"] == ["rewind"] * 2


def test_a_store_that_is_away_lets_requests_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read again after a pause, in which nothing is asked."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    world = World([batch(1), batch(1)], {"answer": [StoreUnavailableError("away", 3.0)]})
    desk = desk_of(world)
    desk.step(0)
    assert world.calls == ["poll", "answer", "rewind"]
    now[0] += 2.9
    desk.step(0)
    assert world.calls[-1] == "rewind"
    now[0] += 0.2
    desk.step(0)
    assert world.calls[-1] == ("commit", {("requests", 0): 2})


@pytest.mark.parametrize(
    ("name", "failure"), [("deliver", SinkError("x")), ("answer", StoreError("x")), ("poll", RuntimeError("x"))]
)
def test_what_cannot_pass_ends_the_worker(name: str, failure: Exception) -> None:
    """Kafka refuses, or a store that cannot be used: nothing is committed, and nothing is hidden."""
    world = World([batch(1)], {name: [failure]})
    with pytest.raises(type(failure)):
        desk_of(world).step(0)
    assert "rewind" not in world.calls


@pytest.mark.parametrize(
    "cost_s", [[0.01] * 64, [1.0] * 5, [0.0] * 64, [0.001] * 20 + [0.2] * 20, [0.2, 0.001] * 20, [0.03] * 7]
)
def test_a_step_keeps_to_its_budget(cost_s: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever requests cost: at least one a step, no further ones once the time is up, each answered once, in order.

    What is answered last in a step began within its budget; what was polled is answered before anything else is polled.
    """
    world = World([batch(*range(len(cost_s)))], cost_s=cost_s)
    monkeypatch.setattr(time, "monotonic", lambda: world.now_s)
    desk = desk_of(world)
    while desk.step(0):
        pass
    assert replied(world) == list(range(len(cost_s)))
    assert committed(world)[-1] == len(cost_s)
    ends = [*accumulate(world.sizes)]
    for begin, end in pairwise([0, *committed(world)]):
        last = max((one for one in ends if begin < one < end), default=begin)
        assert end > begin
        assert sum(cost_s[begin:last]) < BUDGET_S
    assert [call for call in world.calls if call == "poll"] == ["poll"] * 2


def test_equal_requests_are_never_over_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 requests of 7 ms are seven a step, answered 1, 2 and 4 at a time; cheap ones are all answered in one step."""
    dear, cheap = World([batch(*range(64))], cost_s=[0.007] * 64), World([batch(*range(64))], cost_s=[0.0001] * 64)
    for world in (dear, cheap):
        with monkeypatch.context() as patch:
            patch.setattr(time, "monotonic", lambda world=world: world.now_s)
            assert desk_of(world).step(0)
    assert (dear.sizes, committed(dear)) == ([1, 2, 4], [7])
    assert (cheap.sizes, committed(cheap)) == ([1, 2, 4, 8, 16, 32, 1], [64])


def test_a_step_begins_with_what_the_last_one_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    """One request at first, then as many as fit by what the last ones took, but never more than a few unseen."""
    cost_s = [0.001] * 4 + [0.02] * 4 + [0.2] * 4 + [0.001] * 20
    batches = [batch(*range(begin, end)) for begin, end in pairwise([0, 4, 8, 10, 12, 13, 32])]
    world = World(batches, cost_s=cost_s)
    monkeypatch.setattr(time, "monotonic", lambda: world.now_s)
    desk = desk_of(world)
    while desk.step(0):
        pass
    # Of 1 ms, as one finds out; of 20 ms, four where more were expected to fit; of 200 ms, two, then one by one.
    assert world.sizes == [1, 2, 1, 4, 2, 1, 1, 1, FIRST_MAX, 11]


@pytest.mark.parametrize("failure", [NotDeliveredError("x"), StoreUnavailableError("away", 0.0)])
def test_what_waits_is_read_again_after_a_setback(failure: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second step fails: what was polled is forgotten, and comes again from where the first step had committed."""
    world = World([batch(0, 1, 2), batch(1, 2)], cost_s=[1.0] * 3)
    monkeypatch.setattr(time, "monotonic", lambda: world.now_s)
    desk = desk_of(world)
    assert desk.step(0)
    world.failures["deliver" if isinstance(failure, NotDeliveredError) else "answer"] = [failure]
    assert desk.step(0)
    assert world.calls[-1] == "rewind"
    world.now_s += 2.0
    while desk.step(0):
        pass
    assert world.calls[world.calls.index("rewind") + 1] == "poll"
    assert committed(world)[-2:] == [2, 3]
    assert world.calls.count("poll") == 3
