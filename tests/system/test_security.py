"""A cluster that lets nobody in unseen: each way to log in works end to end, and each refusal says what to do.

Nothing is written by whoever is refused, and what an operator is told to allow is all that a worker needs.
"""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import qdrant_double
from certificates import Authority
from confluent_kafka import Producer
from confluent_kafka.admin import AclOperation, ResourceType
from deployment import Deployment
from guarded_broker import PLAIN_PASSWORD, PLAIN_USER, GuardedBroker
from qdrant_process import QdrantProcess
from sample_ratings import ratings
from service_process import WAIT_S, WorkerProcess
from topic_truth import assert_exactly_once, published

import consumers.app
from consumers.app import service
from consumers.cluster import ClusterError
from consumers.exit_codes import ExitCode
from consumers.offsets import SourceError
from consumers.permissions import (
    Permission,
    check_permissions,
    request_permissions,
    required_permissions,
    worker_permissions,
)
from consumers.settings import Settings
from producers.sink import SinkError
from schemas.events import Rated

EVENTS = 100
PASSWORD = "right-5f2c"  # noqa: S105 - of users that live as long as the test
KEY_PASSWORD = "right-for-the-key-5f2c"  # noqa: S105 - as above
WRONG = "wrong-5f2c"
SCRAM = "SCRAM-SHA-512"
NAME_MAX_CHARS = 64
"""Of the common name of a certificate."""
QUICK = {"kafka__request_timeout_s": "3"}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedBroker]:
    with GuardedBroker(tmp_path_factory.mktemp("guarded") / "authority") as broker:
        yield broker


@pytest.fixture
def deployment(guarded: GuardedBroker, topic_prefix: str, tmp_path: Path) -> Iterator[Deployment]:
    """Topics with ratings in them, which only the operator may use so far."""
    with Deployment(guarded.servers, topic_prefix, tmp_path) as made:
        made.make_topics().produce(ratings(EVENTS))
        yield made


@pytest.fixture
def user(guarded: GuardedBroker, topic_prefix: str) -> str:
    """A user of this test alone, who may log in with `PASSWORD`, and do nothing yet."""
    name = topic_prefix.strip("-")[-NAME_MAX_CHARS:]
    guarded.add_user(name, PASSWORD)
    return name


def login(guarded: GuardedBroker, way: str, user: str) -> dict[str, str]:
    """The settings with which a user comes in, by one of the three ways."""
    if way == "mTLS":
        return guarded.by_certificate(user, PASSWORD)
    return guarded.by_password(way, user, PLAIN_PASSWORD if way == "PLAIN" else PASSWORD)


def refusal(worker: WorkerProcess) -> str:
    """The line with which Kafka's refusal ends a worker; no secret stands in anything it said."""
    assert worker.await_exit() == ExitCode.KAFKA, worker.stderr
    assert not [secret for secret in (PASSWORD, PLAIN_PASSWORD, WRONG) if secret in worker.stderr]
    return worker.refusal()


def assert_untouched(deployment: Deployment) -> None:
    """Nothing was committed, nothing published."""
    assert not any(deployment.committed().values())
    assert published(deployment) == {}


@pytest.mark.parametrize("way", ["PLAIN", SCRAM, "mTLS"])
def test_a_worker_works_over_tls_with_the_listed_permissions(
    guarded: GuardedBroker, deployment: Deployment, user: str, way: str
) -> None:
    """Logged in each way, and allowed exactly what `config permissions` lists, it turns ratings into lists."""
    name = PLAIN_USER if way == "PLAIN" else user
    guarded.allow(name, worker_permissions(deployment.settings))
    worker = deployment.worker(**login(guarded, way, name)).start()
    deployment.await_lag(0, worker)
    assert worker.stop() == ExitCode.OK
    assert_exactly_once(deployment)


@pytest.mark.parametrize("way", ["PLAIN", SCRAM])
def test_a_wrong_password(guarded: GuardedBroker, deployment: Deployment, user: str, way: str) -> None:
    """The settings of the login are named, the password is not."""
    name = PLAIN_USER if way == "PLAIN" else user
    said = refusal(deployment.worker(**guarded.by_password(way, name, WRONG), **QUICK).start())
    assert "refuses the login (kafka.sasl_mechanism, kafka.sasl_username, kafka.sasl_password)" in said
    assert_untouched(deployment)


def test_a_mechanism_that_the_broker_lacks(guarded: GuardedBroker, deployment: Deployment, user: str) -> None:
    """The setting is named, and what the broker would take."""
    said = refusal(deployment.worker(**guarded.by_password("SCRAM-SHA-256", user, PASSWORD), **QUICK).start())
    assert "kafka.sasl_mechanism" in said
    assert f"PLAIN,{SCRAM}" in said


def test_a_broker_that_is_not_trusted(
    guarded: GuardedBroker, deployment: Deployment, user: str, tmp_path: Path
) -> None:
    """With another authority's certificate the password is not even sent: the setting of the authorities is named."""
    stranger = Authority(tmp_path / "stranger")
    trusting = guarded.by_password(SCRAM, user, PASSWORD) | {"kafka__ssl_ca_location": str(stranger.file)}
    said = refusal(deployment.worker(**trusting, **QUICK).start())
    assert "shows no certificate that we trust (kafka.ssl_ca_location)" in said
    assert_untouched(deployment)


def test_no_certificate(guarded: GuardedBroker, deployment: Deployment) -> None:
    """Where the broker wants one, the settings of our own certificate are named."""
    said = refusal(deployment.worker(**guarded.without_certificate(), **QUICK).start())
    assert "kafka.ssl_certificate_location, kafka.ssl_key_location" in said
    assert_untouched(deployment)


def test_a_certificate_that_the_broker_does_not_trust(
    guarded: GuardedBroker, deployment: Deployment, user: str, tmp_path: Path
) -> None:
    """One that another authority signed is as good as none."""
    certificate, key = Authority(tmp_path / "stranger").client(user, PASSWORD)
    forged = {
        "kafka__ssl_certificate_location": str(certificate),
        "kafka__ssl_key_location": str(key),
        "kafka__ssl_key_password": PASSWORD,
    }
    said = refusal(deployment.worker(**guarded.without_certificate(), **forged, **QUICK).start())
    assert "kafka.ssl_certificate_location, kafka.ssl_key_location" in said
    assert_untouched(deployment)


def test_a_key_that_does_not_open(guarded: GuardedBroker, deployment: Deployment, user: str) -> None:
    """A wrong password of our own key ends the worker before it connects."""
    locked = guarded.by_certificate(user, PASSWORD) | {"kafka__ssl_key_password": WRONG}
    assert "ssl.key.location" in refusal(deployment.worker(**locked, **QUICK).start())


def test_plain_text_to_a_tls_listener(guarded: GuardedBroker, deployment: Deployment, user: str) -> None:
    """Without TLS nothing is understood: address and protocol are named."""
    servers = guarded.by_password(SCRAM, user, PASSWORD)["kafka__bootstrap_servers"]
    said = refusal(deployment.worker(kafka__bootstrap_servers=servers, **QUICK).start())
    assert "speaks PLAINTEXT (kafka.security_protocol)" in said


LISTED = [str(permission) for permission in required_permissions(Settings())]


@pytest.mark.parametrize("which", LISTED)
def test_each_listed_permission_is_needed(
    guarded: GuardedBroker, deployment: Deployment, user: str, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it the look before the start refuses, and names it; and were there no such look, Kafka itself would."""
    needed = required_permissions(deployment.settings)
    missing = needed[LISTED.index(which)]
    guarded.allow(user, [permission for permission in needed if permission is not missing])
    settings = deployment.settings_with(**guarded.by_password(SCRAM, user, PASSWORD), http__port="off")
    if missing.kind is not ResourceType.TRANSACTIONAL_ID:
        with pytest.raises(ClusterError, match=re.escape(str(missing))):
            check_permissions(settings)
    monkeypatch.setattr(consumers.app, "check_permissions", lambda _: None)
    with pytest.raises((ClusterError, SourceError, SinkError)):
        work_off(deployment, settings)
    assert_untouched(deployment)


def work_off(deployment: Deployment, settings: Settings) -> None:
    """Take all that stands in the input, a record that makes a dead letter included, with a worker of this process."""
    producer = Producer({"bootstrap.servers": deployment.servers})
    producer.produce(deployment.topic, key=b"nobody", value=b"no JSON")
    producer.flush(WAIT_S)
    deadline = time.monotonic() + WAIT_S
    with service(settings, {}) as worker:
        while deployment.lag():
            assert time.monotonic() < deadline
            worker.step()


def test_a_transactional_id_that_is_forbidden(guarded: GuardedBroker, deployment: Deployment, user: str) -> None:
    """Kafka does not tell beforehand; the worker ends when it asks for it, and names the id."""
    needed = [p for p in worker_permissions(deployment.settings) if p.kind is not ResourceType.TRANSACTIONAL_ID]
    guarded.allow(user, needed)
    said = refusal(deployment.worker(**guarded.by_password(SCRAM, user, PASSWORD)).start())
    assert f"allow Write on transactional id '{deployment.settings.transactional_id}'" in said
    assert_untouched(deployment)


def test_nothing_is_allowed(guarded: GuardedBroker, deployment: Deployment, user: str) -> None:
    """All that is missing is said at once."""
    said = refusal(deployment.worker(**guarded.by_password(SCRAM, user, PASSWORD)).start())
    for permission in required_permissions(deployment.settings):
        assert str(permission) in said or permission.kind is ResourceType.TRANSACTIONAL_ID
    assert_untouched(deployment)


def test_what_a_worker_can_do_without(guarded: GuardedBroker, deployment: Deployment, user: str) -> None:
    """Neither may it read the catalogue nor publish figures: it does without, and says what to allow."""
    guarded.allow(user, required_permissions(deployment.settings))
    worker = deployment.worker(**guarded.by_password(SCRAM, user, PASSWORD)).start()
    deployment.await_lag(0, worker)
    (told,) = [line for line in worker.stderr.splitlines() if "there is no catalogue" in line]
    assert f"Read on topic '{deployment.settings.items_topic}'" in told
    (told,) = [line for line in worker.stderr.splitlines() if "the figures of live evaluation" in line]
    assert f"Write on topic '{deployment.settings.metrics_topic}'" in told
    assert worker.stop() == 0


@pytest.mark.parametrize("at", range(len(request_permissions(Settings()))))
def test_without_a_permission_of_requests_a_worker_does_all_the_rest(
    guarded: GuardedBroker, deployment: Deployment, user: str, at: int
) -> None:
    """It answers no requests, says once which permission is missing, and keeps lists fresh."""
    missing = request_permissions(deployment.settings)[at]
    guarded.allow(user, [one for one in worker_permissions(deployment.settings) if one != missing])
    worker = deployment.worker(**guarded.by_password(SCRAM, user, PASSWORD)).start()
    deployment.await_lag(0, worker)
    assert worker.stop() == ExitCode.OK
    assert worker.events().count("requests are not answered") == 1
    assert str(missing) in worker.stderr
    assert_exactly_once(deployment)


TAKEN_AWAY: dict[str, Callable[[Settings], Permission]] = {
    "lists": lambda names: Permission(ResourceType.TOPIC, names.recommendations_topic, AclOperation.WRITE),
    "input": lambda names: Permission(ResourceType.TOPIC, names.input_topics[0], AclOperation.READ),
    "group": lambda names: Permission(ResourceType.GROUP, names.group, AclOperation.READ),
}


@pytest.mark.parametrize("what", TAKEN_AWAY)
def test_a_permission_that_is_taken_away(guarded: GuardedBroker, deployment: Deployment, user: str, what: str) -> None:
    """A running worker ends, says so, and has committed nothing that it did not publish; allowed again, it goes on."""
    guarded.allow(user, worker_permissions(deployment.settings))
    worker = deployment.worker(**guarded.by_password(SCRAM, user, PASSWORD)).start()
    deployment.await_lag(0, worker)
    taken = TAKEN_AWAY[what](deployment.settings)
    guarded.forbid(user, taken)
    deployment.produce(ratings(2 * EVENTS))
    said = refusal(worker)
    assert taken.row().operation in said
    assert taken.name in said
    assert deployment.lag() == 2 * EVENTS
    guarded.allow(user, [taken])
    deployment.await_lag(0, worker.start())
    assert worker.stop() == ExitCode.OK
    assert_exactly_once(deployment)


# Secrets, and Qdrant

API_KEY = "right-key-5f2c"
TLS = Path(qdrant_double.__file__).parent / "tls"
USER = "canary-user-5f2c"


@pytest.fixture
def qdrant(tmp_path: Path) -> Iterator[QdrantProcess]:
    """A store that asks for a key, over TLS."""
    identity = ("--certificate", str(TLS / "certificate.pem"), "--private-key", str(TLS / "private_key.pem"))
    with QdrantProcess(tmp_path / "qdrant", "--api-key", API_KEY, *identity) as guarded_store:
        yield guarded_store


@pytest.fixture
def secretive(
    guarded: GuardedBroker, deployment: Deployment, user: str, qdrant: QdrantProcess
) -> Callable[..., WorkerProcess]:
    """Makes workers that have every secret there is, and say all that they can."""
    guarded.allow(user, worker_permissions(deployment.settings))
    secrets = guarded.by_certificate(user, KEY_PASSWORD) | guarded.by_password(SCRAM, user, PASSWORD)
    store = {
        "qdrant__store": "server",
        "qdrant__url": f"https://localhost:{qdrant.port}",
        "qdrant__ca_file": str(TLS / "certificate.pem"),
        "qdrant__api_key": API_KEY,
    }
    everything = {"log__level": "debug", "kafka__properties": '{"debug": "all"}'}

    def made(**changed: str) -> WorkerProcess:
        return deployment.worker(**{**secrets, **store, **everything, **changed})

    return made


def assert_no_secret(text: str) -> None:
    assert not [secret for secret in (PASSWORD, KEY_PASSWORD, API_KEY, WRONG) if secret in text]


def test_a_worker_keeps_its_secrets_while_it_works(
    deployment: Deployment, secretive: Callable[..., WorkerProcess]
) -> None:
    """Over TLS on both sides ratings become lists; no secret is in log, metrics or command line, no user in metrics."""
    deployment.produce([Rated(user_id=USER, item_id=1, rating=4.0)])
    worker = secretive().start()
    deployment.await_lag(0, worker)
    metrics, command = worker.metrics(), psutil.Process(worker.pid).cmdline()
    assert worker.stop() == ExitCode.OK
    assert_no_secret("\n".join([worker.stderr, metrics, *command]))
    assert USER in published(deployment)
    assert "tastestream_outcomes_total" in metrics
    assert USER not in metrics


STAGES = {
    "Kafka's login": ({"kafka__sasl_password": WRONG, **QUICK}, ExitCode.KAFKA, "kafka.sasl_password"),
    "our key": ({"kafka__ssl_key_password": WRONG}, ExitCode.KAFKA, "ssl.key.location"),
    "Qdrant's login": ({"qdrant__api_key": WRONG}, ExitCode.STORE, "qdrant.api_key"),
    "Qdrant's certificate": ({"qdrant__ca_file": ""}, ExitCode.STORE, "not trusted"),
    "Qdrant without TLS": ({"qdrant__url": "", "qdrant__ca_file": ""}, ExitCode.STORE, "whether with TLS (qdrant.url)"),
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_start_that_fails_keeps_the_secrets(
    deployment: Deployment, secretive: Callable[..., WorkerProcess], qdrant: QdrantProcess, stage: str
) -> None:
    """Wherever a start ends: the sentence names the setting, and no secret is in anything that was said."""
    changed, code, setting = STAGES[stage]
    if "qdrant__url" in changed:
        changed = {**changed, "qdrant__url": f"http://localhost:{qdrant.port}"}
    worker = secretive(**changed).start()
    assert worker.await_exit() == code, worker.stderr
    # Around it the Kafka client says all that it can, as it was asked to.
    (sentence,) = [line for line in worker.stderr.splitlines() if line.startswith("tastestream: ")]
    assert setting in sentence
    assert "Traceback" not in worker.stderr
    assert_no_secret(worker.stderr)
    assert_untouched(deployment)
