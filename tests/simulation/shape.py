"""The shape of a run, drawn from its seed: which store, how many workers, what load, which faults, how often."""

import random
from dataclasses import dataclass, replace
from typing import Literal

from host import AFTER, BEFORE
from kafka_clients import MAX_POLL_INTERVAL_S
from simulated_store import SERVER_READ_FAULTS, SERVER_WRITE_FAULTS
from workload import Volume

from recommender.profile import HistoryLimits

Mode = Literal["server", "edge", "replicas"]
QUIET_S = 20.0
"""After so many seconds nothing goes wrong any more."""
POOL_SEEDS, POOL_USERS = 4, 2
"""Of so many seeds one has a neighbour pool, of so few users that not all are in it."""
KAFKA_FAULTS = (
    *("broker_away", "init_away", "flush_stuck", "offsets_lost", "offsets_unanswered"),
    *("commit_lost", "commit_unanswered", "commit_late", "abort_lost"),
)
OPERATIONS = {
    "server": ("bounce", "kill", "snapshot", "restore"),
    "replicas": ("bounce", "kill"),
    "edge": ("bounce", "power", "power", "snapshot", "restore"),
}
"""A loss of power that takes nothing is a kill, so Edge needs none beside it."""
FLUSH_INTERVALS_S = (0.5, 3.0, 1_000.0)
"""Often, now and then, and only at an orderly end."""


@dataclass(frozen=True, slots=True)
class Operation:
    """Something an operator or the machine does to the workers at a time."""

    at_s: float
    kind: str
    amount: float


@dataclass(frozen=True, slots=True)
class Shape:
    """What a seed decides before anything runs."""

    mode: Mode
    replicas: int
    workers: int
    volume: Volume
    limits: HistoryLimits
    batch_max_records: int
    kinds: frozenset[str]
    rate: float
    operations: tuple[Operation, ...]
    store_retry_limit_s: float
    writer_must_live: bool
    """Whether a run counts only if no writer died: with plain reads, only it knows that two replicas may differ."""
    pool_users: int = 0
    """The size of the neighbour pool, in and out of which users go between batches; 0: there is none."""
    flush_interval_s: float = 0.5
    """How long the writes of an Edge store wait for a flush."""
    together: bool = True
    """Whether the partitions of one number, of all topics, go to one worker: a user has one owner only so."""


def shape_of(seed: int) -> Shape:
    """The shape of a seed."""
    dice = random.Random(seed)  # noqa: S311  # no secret
    modes: tuple[Mode, ...] = ("server", "edge", "replicas")
    mode = dice.choices(modes, (6, 2, 2))[0]
    two_topics = mode != "replicas" and dice.random() < 0.12
    topics = ("ratings", "more") if two_topics else ("ratings",)
    volume = Volume(
        inputs=dict.fromkeys(topics, dice.choice((1, 1, 2, 3))),
        users=dice.choice((1, 2, 4)),
        records=dice.choice((6, 12, 25, 40)),
        seconds=dice.choice((4.0, 12.0)),
        malformed=dice.choice((0.0, 0.1, 0.3)),
    )
    # Of several topics, which entries fall out of a history would depend on the order in which they are read.
    limits = HistoryLimits(3, 2) if dice.choice((False, False, True)) and not two_topics else HistoryLimits()
    replicas = dice.choice((2, 3)) if mode == "replicas" else 1
    operations = tuple(_operation(dice, mode, two_topics) for _ in range(dice.choice((0, 0, 1, 2, 4))))
    kinds = _kinds(dice)
    if replicas > 1:
        kinds |= {"split"}
    workers = dice.choice((1, 2)) if mode == "edge" else dice.choice((2, 3, 3))
    if replicas == 2:
        # With plain reads of two replicas only the writer that got the error knows that they may differ: it must live.
        kinds, operations, workers = kinds & {"split", "unanswered", "lost", "read_fails"}, (), 1
    return Shape(
        mode=mode,
        replicas=replicas,
        workers=workers,
        volume=volume,
        limits=limits,
        batch_max_records=dice.choice((1, 2, 4, 8, 20)),
        kinds=kinds,
        rate=dice.choice((0.01, 0.03, 0.06, 0.12)),
        operations=operations,
        store_retry_limit_s=100.0 if replicas == 2 else MAX_POLL_INTERVAL_S + 3,
        writer_must_live=replicas == 2,
        pool_users=POOL_USERS if seed % POOL_SEEDS == 0 else 0,
        flush_interval_s=FLUSH_INTERVALS_S[seed % len(FLUSH_INTERVALS_S)],
    )


def polite(shape: Shape) -> Shape:
    """The same without any fault: one server, and workers that come and go in an orderly way."""
    operations = tuple(replace(operation, kind="bounce") for operation in shape.operations)
    return replace(shape, mode="server", replicas=1, workers=3, kinds=frozenset(), operations=operations)


def _kinds(dice: random.Random) -> frozenset[str]:
    every = (*BEFORE, *AFTER, *KAFKA_FAULTS, *SERVER_WRITE_FAULTS, *SERVER_READ_FAULTS, "split")
    share = dice.choice((0.15, 0.4, 0.8))
    return frozenset(kind for kind in every if dice.random() < share)


def _operation(dice: random.Random, mode: Mode, two_topics: bool) -> Operation:
    # A restored store counts a user's events of several topics in another order, so versions would come twice.
    kinds = [kind for kind in OPERATIONS[mode] if not (two_topics and kind == "restore")]
    return Operation(1 + dice.random() * 14, dice.choice(kinds), dice.randrange(1000) / 1000)
