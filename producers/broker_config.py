"""What a local Kafka broker is told and what its folder records: options, ports, `server.properties`, cluster id.

One node, hence one replica of everything.
"""

import base64
import json
import os
import random
import socket
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from producers.broker_artifacts import BrokerError

CLIENTS, CONTROLLER = "PLAINTEXT", "CONTROLLER"
LOOPBACK = "127.0.0.1"
# Below the ports that systems hand to outgoing connections: none of those can sit on ours while the broker restarts.
PORT_RANGE = range(20_000, 32_000)
PORTS_TRIED = 200

ONE_NODE: Mapping[str, str] = MappingProxyType({
    "process.roles": "broker,controller",
    "node.id": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "4",
    "group.initial.rebalance.delay.ms": "0",
    "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
    "auto.create.topics.enable": "false",
})  # fmt: skip

FAST_RECOVERY: Mapping[str, str] = MappingProxyType({
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "200",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
    "group.consumer.session.timeout.ms": "3000",
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.heartbeat.interval.ms": "500",
    "group.consumer.min.heartbeat.interval.ms": "100",
})  # fmt: skip
"""Properties for tests: a killed broker, transaction or consumer is given up within seconds."""


@dataclass(frozen=True)
class BrokerOptions:
    """How to run a broker.

    Attributes:
        folder: where it lives, made if missing; None is a temporary folder, removed by `stop`.
        properties: further server properties, which win over ours.
        listeners: further listeners, name to security protocol (`{"LOGIN": "SASL_PLAINTEXT"}`); they get free loopback
            ports and are configured by `properties` (`listener.name.login...`).
        heap_mb: limit of the Java heap, in MB; the process is a little larger.
        start_timeout_s: from the start of the process to its first answer, without the download.
        stop_timeout_s: for an orderly end, before the process is killed.
    """

    folder: Path | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    listeners: Mapping[str, str] = field(default_factory=dict)
    heap_mb: int = 256
    start_timeout_s: float = 60.0
    stop_timeout_s: float = 10.0


def server_properties(ports: Mapping[str, int], options: BrokerOptions, data: str = "data") -> dict[str, str]:
    """Kafka's settings for one node, with `data` relative to its folder and `ports` by listener name."""
    addresses = {name: f"{name}://{LOOPBACK}:{port}" for name, port in ports.items()}
    protocols = {name: options.listeners.get(name, "PLAINTEXT") for name in ports}
    return {
        **ONE_NODE,
        "log.dirs": data,
        "listeners": ",".join(addresses.values()),
        "advertised.listeners": ",".join(address for name, address in addresses.items() if name != CONTROLLER),
        "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in protocols.items()),
        "inter.broker.listener.name": CLIENTS,
        "controller.listener.names": CONTROLLER,
        "controller.quorum.bootstrap.servers": f"{LOOPBACK}:{ports[CONTROLLER]}",
        **options.properties,
    }


def write_properties(properties: Mapping[str, str], path: Path) -> None:
    """Write a Java properties file; Java reads the escapes of JSON strings."""
    lines = (f"{name}={json.dumps(value)[1:-1]}\n" for name, value in sorted(properties.items()))
    path.write_text("".join(lines), encoding="ascii")


def free_ports(names: Iterable[str]) -> dict[str, int]:
    """A port for each name that nobody listens on now; somebody may a moment later.

    Raises:
        BrokerError: hardly any port is free.
    """
    wanted = list(names)
    candidates = (port for port in random.SystemRandom().sample(PORT_RANGE, PORTS_TRIED) if port_is_free(port))
    ports = dict(zip(wanted, candidates, strict=False))
    if len(ports) < len(wanted):
        limits = f"{PORT_RANGE.start} and {PORT_RANGE.stop}"
        raise BrokerError(f"found no {len(wanted)} free loopback ports between {limits}: end what holds them")
    return ports


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port, connections that are closing aside."""
    with socket.socket() as server:
        if os.name == "posix":  # elsewhere the option would let two servers share the port
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def new_cluster_id() -> str:
    """A uuid in URL-safe base64, as Kafka writes its own; a leading `-` would read as an option."""
    while (name := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return name


def cluster_id(meta_properties: Path) -> str:
    """The id that Kafka recorded when its data folder was formatted."""
    lines = (line.partition("=") for line in meta_properties.read_text(encoding="ascii").splitlines())
    return next((value for name, _, value in lines if name == "cluster.id"), "")


def read_ports(path: Path) -> dict[str, int]:
    """The ports of the last start; none when the file is missing or spoilt, because new ones do as well."""
    try:
        ports = json.loads(path.read_text(encoding="ascii"))
        return {str(name): int(port) for name, port in ports.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
