"""The real service's parts put together for one simulated process, as `consumers.app` does for a real one."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from host import Host
from kafka_broker import Broker
from kafka_clients import SimulatedAdmin, SimulatedAsker, SimulatedConsumer, SimulatedProducer
from oracle import DEAD_LETTERS, LISTS
from shape import Shape
from silence import SilentMetrics
from simulated_store import Place, SimulatedStore

from consumers.batch_size import BatchLimits
from consumers.handler import Door, Handler
from consumers.health import Health
from consumers.lists import ListWriter
from consumers.membership import Membership
from consumers.offsets import Patience
from consumers.pool_upkeep import PoolUpkeep
from consumers.source import KafkaSource, SourceOptions
from consumers.surroundings import Surroundings
from consumers.user_states import StateRules, UserStates
from consumers.watchdog import Watchdog
from consumers.worker import Parts, Worker, WorkerLimits
from producers.sink import SinkOptions, TransactionalSink
from recommender.neighbour_pool import NeighbourPool
from recommender.recommender import Recommender
from recommender.rules import RankingRules
from recommender.store import StoreSettings
from schemas.decode import WireRules, decoder_for

RULES = RankingRules(list_length=3, neighbours=5)
STORE_SETTINGS = StoreSettings("integer", 0.5, 5.0, RULES.value.fingerprint)
_METRICS = SilentMetrics()


@dataclass(frozen=True, slots=True)
class Surrounded:
    """A process and everything it can reach."""

    host: Host
    broker: Broker
    place: Place
    shape: Shape
    consumer_made: Callable[[Host, SimulatedConsumer], None]


def worker_of(around: Surrounded, stack: ExitStack) -> Worker:
    """A worker with everything it needs, let go in the reverse order at the end."""
    host, broker = around.host, around.broker
    host.scheduler.wait(0.0)
    store = SimulatedStore(host, around.place)
    stack.callback(store.close)
    options = SinkOptions(
        f"worker-{host.slot}", transaction_timeout_s=8.0, flush_timeout_s=2.0, commit_timeout_s=4.0, init_timeout_s=4.0
    )
    sink = TransactionalSink({}, options, lambda properties: SimulatedProducer(host, broker, properties))
    stack.callback(sink.close)
    recommender = Recommender(store, RULES, 1 << 20)
    rules = StateRules(RULES.value, around.shape.limits, 1 << 20, pool=NeighbourPool(around.shape.pool_users))
    states = UserStates(store, rules, writer=host.name)
    door = Door(decoder_for("json"), WireRules(), DEAD_LETTERS, "simulation")
    lists = ListWriter(LISTS, "simulation", "simulated", store.settings.epoch)
    handler = Handler(door, states, recommender, lists, _METRICS, broker.now_ms)
    membership = Membership(store, around.shape.store_retry_limit_s, handler.drop_caches)
    membership.partitions_seen({LISTS: 1})
    source = _source(around, membership)
    stack.callback(source.close)
    health = Health(60.0, lambda: host.scheduler.now)
    surroundings = Surroundings(_METRICS, health, Watchdog(60.0, "simulated"), broker.now_ms)
    limits = WorkerLimits(
        around.shape.store_retry_limit_s,
        scan_slice_users=2,
        rescan_interval_s=10.0,
        flush_interval_s=around.shape.flush_interval_s,
    )
    pool = PoolUpkeep(store, states, recommender.known_users)
    return Worker(Parts(source, sink, store, handler, recommender, pool=pool), limits, surroundings)


def _source(around: Surrounded, membership: Membership) -> KafkaSource:
    host, broker = around.host, around.broker

    def consumer(properties: dict[str, Any]) -> SimulatedConsumer | SimulatedAsker:
        if "group.protocol" not in properties:
            return SimulatedAsker(host, broker)
        made = SimulatedConsumer(host, broker)
        around.consumer_made(host, made)
        return made

    options = SourceOptions(
        tuple(around.shape.volume.inputs),
        batch=BatchLimits(max_records=around.shape.batch_max_records),
        poll_timeout_s=0.7,
        patience=Patience(request_timeout_s=2.0, recovery_limit_s=12.0),
        must_hold_all_partitions=around.place.disk.exclusive,
        all_partitions_timeout_s=30.0,
    )
    return KafkaSource({}, options, membership, consumer, lambda _: SimulatedAdmin(host, broker))
