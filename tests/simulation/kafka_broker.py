"""A simulated Kafka: logs, one consumer group as KIP-848 has it, and transactions with epochs, fencing and timeouts.

- A member keeps its epoch until it has given up what it must; a partition goes to nobody before its owner let it go,
  left, or was silent for a session.
- Offsets of an open transaction are pending: whoever asks for committed offsets waits for its end.
- A new producer of a transactional id, or the transaction's timeout, raises the epoch; whatever an older epoch still
  sends is refused.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from confluent_kafka import KafkaError, KafkaException
from scheduler import Scheduler

from schemas.messages import Headers

SESSION_TIMEOUT_S = 3.0
EPOCH_MS = 1_700_000_000_000

Place = tuple[str, int]


class FencedMemberError(Exception):
    """The group knows no such member, or not under this epoch."""


@dataclass(eq=False, slots=True)
class Transaction:
    """What a producer wrote between begin and end."""

    transactional_id: str
    state: Literal["open", "committed", "aborted"] = "open"
    offsets: dict[Place, int] = field(default_factory=dict)
    written: list[str] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Stored:
    """A record in a log; without a transaction it is there for good."""

    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int
    transaction: Transaction | None = None


@dataclass(slots=True)
class Topic:
    """A topic: its id, and its partitions' logs."""

    topic_id: str
    logs: list[list[Stored]]


@dataclass(eq=False, slots=True)
class Member:
    """A member: `owned` is what it may hold still, `target` what it is to hold."""

    epoch: int
    owned: set[Place] = field(default_factory=set)
    target: set[Place] = field(default_factory=set)


class Group:
    """The one consumer group; `together`: partitions of one number go to one member, as the range assignor has it."""

    def __init__(self, places: Sequence[Place], *, together: bool) -> None:
        self.epoch = 0
        self.members: dict[str, Member] = {}
        self.committed: dict[Place, int] = {}
        self._places = sorted(places)
        self._together = together

    def join(self, member_id: str) -> int:
        """Come in, as a new member; returns its epoch."""
        self.members[member_id] = Member(0)
        self._rebalance()
        self.members[member_id].epoch = self.epoch
        return self.epoch

    def leave(self, member_id: str) -> None:
        """Be gone, with everything that was owned."""
        if self.members.pop(member_id, None) is not None:
            self._rebalance()

    def heartbeat(self, member_id: str, epoch: int) -> tuple[int, set[Place], set[Place]]:
        """The member's epoch from now on, what it must give up, and what it gets.

        Raises:
            FencedMemberError: it is no member any more.
        """
        self.check(member_id, epoch)
        member = self.members[member_id]
        if revoked := member.owned - member.target:
            return member.epoch, revoked, set()
        member.epoch = self.epoch
        others = [other.owned for other in self.members.values() if other is not member]
        assigned = member.target - member.owned - set().union(*others)
        member.owned |= assigned
        return member.epoch, set(), assigned

    def let_go(self, member_id: str, epoch: int, places: set[Place]) -> int:
        """A member gave up what it was told to, and says so in a heartbeat: returns its epoch from now on."""
        member = self.members.get(member_id)
        if member is None or member.epoch != epoch:
            return epoch
        member.owned -= places
        if not member.owned - member.target:
            member.epoch = self.epoch
        return member.epoch

    def check(self, member_id: str, epoch: int) -> None:
        """See that a member is one, under this epoch.

        Raises:
            FencedMemberError: it is not.
        """
        member = self.members.get(member_id)
        if member is None or member.epoch != epoch:
            raise FencedMemberError

    def _rebalance(self) -> None:
        # Where a partition goes changes with every epoch, as nothing may rely on its staying.
        self.epoch += 1
        names = sorted(self.members)
        for member in self.members.values():
            member.target = set()
        for at, place in enumerate(self._places if names else ()):
            number = place[1] if self._together else at
            self.members[names[(number + self.epoch) % len(names)]].target.add(place)


@dataclass(slots=True)
class _Producing:
    epoch: int = -1
    transaction: Transaction | None = None


class Broker:
    """The brokers together."""

    def __init__(
        self, scheduler: Scheduler, inputs: Mapping[str, int], outputs: Sequence[str], *, together: bool
    ) -> None:
        counts = dict(inputs) | dict.fromkeys(outputs, 1)
        self.topics = {name: Topic(f"id-{name}", [[] for _ in range(n)]) for name, n in counts.items()}
        self.group = Group(
            [(name, partition) for name, n in inputs.items() for partition in range(n)], together=together
        )
        self.on_commit: Callable[[Mapping[Place, int]], None] = lambda _: None
        self.tell: Callable[[str], None] = lambda _: None
        self._scheduler = scheduler
        self._producing: dict[str, _Producing] = {}

    def now_ms(self) -> int:
        """The brokers' clock, in epoch milliseconds."""
        return EPOCH_MS + int(self._scheduler.now * 1000)

    def append(self, place: Place, key: bytes | None, value: bytes | None) -> int:
        """A record from outside; returns its offset."""
        log = self.topics[place[0]].logs[place[1]]
        log.append(Stored(key, value, (), self.now_ms()))
        return len(log) - 1

    def committed_records(self, topic: str) -> Iterator[Stored]:
        """What a read_committed reader sees of a topic in the end."""
        for log in self.topics[topic].logs:
            yield from (r for r in log if r.transaction is None or r.transaction.state == "committed")

    def init(self, transactional_id: str) -> int:
        """A new producer: the older ones are fenced, what they left open is aborted; returns the epoch."""
        producing = self._producing.setdefault(transactional_id, _Producing())
        self._end(producing, "aborted")
        producing.epoch += 1
        return producing.epoch

    def open(self, transactional_id: str, epoch: int, timeout_s: float) -> Transaction:
        """The transaction in hand, a new one if there is none."""
        producing = self._checked(transactional_id, epoch)
        if producing.transaction is None:
            producing.transaction = transaction = Transaction(transactional_id)
            self._scheduler.at(self._scheduler.now + timeout_s, lambda: self._time_out(producing, transaction))
        return producing.transaction

    def send_offsets(self, transaction: Transaction, offsets: Mapping[Place, int], metadata: tuple[str, int]) -> None:
        """Add offsets to a transaction.

        Raises:
            KafkaException: whoever read up to there owns nothing any more.
        """
        try:
            self.group.check(*metadata)
        except FencedMemberError:
            raise error(KafkaError.ILLEGAL_GENERATION, "no such member", txn_requires_abort=True) from None
        transaction.offsets |= offsets

    def end(self, transactional_id: str, epoch: int, state: Literal["committed", "aborted"]) -> None:
        """Commit or abort the transaction in hand."""
        self._end(self._checked(transactional_id, epoch), state)

    def end_late(self, transactional_id: str, epoch: int, transaction: Transaction) -> None:
        """A commit that was long on its way: it counts if its transaction is still the one in hand."""
        producing = self._producing[transactional_id]
        if producing.epoch == epoch and producing.transaction is transaction:
            self._end(producing, "committed")

    def is_open(self, transactional_id: str) -> bool:
        """Whether the producer has a transaction in hand."""
        return self._producing[transactional_id].transaction is not None

    def pending(self, places: Sequence[Place]) -> bool:
        """Whether an open transaction holds offsets of these partitions."""
        opened = [p.transaction for p in self._producing.values() if p.transaction is not None]
        return any(place in transaction.offsets for transaction in opened for place in places)

    def anything_open(self) -> bool:
        """Whether any transaction is open."""
        return any(p.transaction is not None for p in self._producing.values())

    def _checked(self, transactional_id: str, epoch: int) -> _Producing:
        producing = self._producing[transactional_id]
        if producing.epoch != epoch:
            raise error(KafkaError._FENCED, "fenced", fatal=True)  # librdkafka's own codes are named so
        return producing

    def _time_out(self, producing: _Producing, transaction: Transaction) -> None:
        if producing.transaction is transaction:
            self._end(producing, "aborted")
            producing.epoch += 1

    def _end(self, producing: _Producing, state: Literal["committed", "aborted"]) -> None:
        transaction, producing.transaction = producing.transaction, None
        if transaction is None:
            return
        transaction.state = state
        self.tell(f"{transaction.transactional_id} {state}: {transaction.offsets} {transaction.written}")
        if state == "committed":
            self.group.committed |= transaction.offsets
            self.on_commit(transaction.offsets)


def error(code: int, text: str, **flags: bool) -> KafkaException:
    """An error as librdkafka raises it."""
    kafka_error: Any = KafkaError(code, text, **flags)
    return KafkaException(kafka_error)
