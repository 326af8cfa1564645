"""Secrets go to the clients that need them and nowhere else: not into what is printed, logged, raised or shown.

The secrets are found by walking the settings, so that one that is added later is tried, too.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import pytest
from pydantic import SecretStr

import consumers.permissions
from consumers.cli import _ended
from consumers.cluster import Cluster
from consumers.exit_codes import ExitCode
from consumers.settings import Settings, load_settings
from consumers.settings_mapping import server_options
from consumers.settings_sources import SettingsError, is_mapping, is_secret, setting_fields, variable_of
from consumers.stores.server_connection import Connection
from consumers.topic_reader import TopicReader
from producers.broker_config import LOOPBACK, free_ports

FIELDS = setting_fields(Settings)
CANARY = "canary-do-not-print"
# What librdkafka takes secrets under; `ssl.key.pem` would have to be a key, and fails with what it is not.
SECRET_PROPERTIES = (
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.config",
    "sasl.oauthbearer.assertion.private.key.passphrase",
    "ssl.keystore.password",
)
SOUNDS_SECRET = re.compile(r"passw|secret|token|api_?key|credential|private", re.IGNORECASE)
COMMANDS = (
    "config check",
    "config check --json",
    "config permissions",
    "run",
    "rate ann 1 4",
    "show ann",
    "watch",
    "forget ann",
    "topics create",
    "verify",
    "dead-letters list",
    "rebuild",
)


def secrets() -> dict[str, str]:
    """A canary for every secret there is, by the environment variable it comes in; each tells where it came from."""
    found = {variable_of(name): f"{CANARY}-{name}" for name, info in FIELDS.items() if is_secret(info)}
    tables = [name for name, info in FIELDS.items() if is_mapping(info)]
    for name in tables:
        properties = {key: f"{CANARY}-{name}-{key}" for key in SECRET_PROPERTIES}
        found[variable_of(name)] = json.dumps(properties)
    return found


def environment(protocol: str = "SASL_SSL") -> dict[str, str]:
    """Every secret, and what has to be set beside them; nobody listens at either address."""
    ports = free_ports(["kafka", "qdrant"])
    kafka = {"bootstrap_servers": f"{LOOPBACK}:{ports['kafka']}", "request_timeout_s": "0.2"}
    login = {"security_protocol": protocol, "sasl_mechanism": "PLAIN", "sasl_username": "ann"}
    qdrant = {"store": "server", "url": f"http://{LOOPBACK}:{ports['qdrant']}", "timeout_s": "1"}
    named = {f"kafka.{key}": value for key, value in (kafka | login).items()}
    named |= {f"qdrant.{key}": value for key, value in qdrant.items()}
    plain = {variable_of(name): value for name, value in named.items()}
    return plain | secrets() | {variable_of("log.level"): "debug"}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(environment=environment(), folder=tmp_path)


@pytest.fixture
def _in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All secrets are in the environment, and logs go where pytest captures them."""
    monkeypatch.chdir(tmp_path)
    for name, value in environment().items():
        monkeypatch.setenv(name, value)


def test_the_walk_finds_the_secrets() -> None:
    """The known ones are among those that are found, and in every table of further properties."""
    known = {"kafka.sasl_password", "kafka.ssl_key_password", "qdrant.api_key"}
    tables = {"kafka.properties", "kafka.consumer_properties", "kafka.producer_properties"}
    assert {variable_of(name) for name in known | tables} <= secrets().keys()


def test_what_sounds_secret_is_one() -> None:
    """A setting by the name of password, secret, token or key is hidden by its type."""
    assert [name for name, info in FIELDS.items() if SOUNDS_SECRET.search(name) and not is_secret(info)] == []


def test_secrets_reach_the_clients(settings: Settings) -> None:
    """What is hidden is there: every secret of Kafka is in a client's configuration, that of Qdrant in its options."""
    kafka = settings.kafka
    given = {str(value) for config in (kafka.consumer_config(), kafka.producer_config()) for value in config.values()}
    given.add(str(server_options(settings).api_key))
    texts = "\n".join(given)
    values = {name: value for name, value in secrets().items() if not value.startswith("{")}
    assert [name for name, value in values.items() if value not in texts] == []
    assert all(key in kafka.consumer_config() for key in SECRET_PROPERTIES)


def built_from(settings: Settings) -> Iterator[object]:
    """Everything that a command makes of settings and that knows a secret."""
    kafka = settings.kafka
    plain = {name: value for name, value in kafka.client_config().items() if name not in SECRET_PROPERTIES}
    yield from (settings, *(getattr(settings, name) for name in type(settings).model_fields))
    yield server_options(settings)
    yield Connection(server_options(settings))
    yield Cluster(plain, 1)
    with TopicReader(plain, ["ratings"], 1) as reader:
        yield reader


def test_no_text_of_an_object_shows_a_secret(settings: Settings) -> None:
    """Neither `repr` nor `str`, nor the dump of a model, of anything that is made of the settings."""
    for made in built_from(settings):
        assert CANARY not in f"{made!r} {made!s}", type(made)
    assert CANARY not in str(settings.model_dump()) + settings.model_dump_json()
    assert CANARY not in str(settings.described())


@pytest.mark.usefixtures("_in_the_environment")
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_shows_a_secret(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    """At the level debug, with Kafka and Qdrant away: neither its answer, nor its log, nor its error."""
    code = _ended(command.split())
    shown = capfd.readouterr()
    assert code in (ExitCode.OK, ExitCode.KAFKA, ExitCode.USAGE, ExitCode.STORE), shown.err
    assert (shown.out + shown.err).strip()
    assert CANARY not in shown.out + shown.err


@pytest.mark.usefixtures("_in_the_environment")
def test_config_check_lists_every_secret_as_stars(capfd: pytest.CaptureFixture[str]) -> None:
    """Each is listed, so that an operator sees that it is set; its value is three stars."""
    assert _ended(["config", "check", "--json"]) == ExitCode.KAFKA
    rows = {row["name"]: row["value"] for row in json.loads(capfd.readouterr().out)["settings"]}
    hidden = [name for name, info in FIELDS.items() if is_secret(info)]
    hidden += [f"{name}.{key}" for name, info in FIELDS.items() if is_mapping(info) for key in SECRET_PROPERTIES]
    assert {rows[name] for name in hidden} == {"***"}


def _break(properties: Mapping[str, Any], timeout_s: float) -> NoReturn:
    """Fail as nobody foresaw, with every secret of Kafka in the local variables of this frame and of its caller."""
    revealed = {key: SecretStr(str(value)).get_secret_value() for key, value in properties.items()}
    message = f"{len(revealed)} properties, {timeout_s} s"
    raise ZeroDivisionError(message)


@pytest.mark.usefixtures("_in_the_environment")
@pytest.mark.parametrize("form", ["console", "json"])
def test_no_traceback_shows_a_secret(
    form: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """An internal error is logged with its traceback, whose frames hold secrets in their variables: none is shown."""
    monkeypatch.setenv(variable_of("log.format"), form)
    monkeypatch.setattr(consumers.permissions, "Cluster", _break)
    assert _ended(["run"]) == ExitCode.INTERNAL
    said = capfd.readouterr().err
    assert "ZeroDivisionError" in said
    assert "_break" in said
    assert CANARY not in said


@pytest.mark.usefixtures("_in_the_environment")
def test_a_key_that_is_none_is_not_quoted(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """Where a client cannot use a secret it is given, the property is named, and its value is not."""
    monkeypatch.setenv(variable_of("kafka.properties"), json.dumps({"ssl.key.pem": CANARY}))
    assert _ended(["run"]) == ExitCode.KAFKA
    said = capfd.readouterr().err
    assert "ssl.key" in said
    assert CANARY not in said


@pytest.mark.parametrize("name", ["qdrant.url", "qdrant.node_urls"])
@pytest.mark.parametrize("address", [f"http://me:{CANARY}@host:6334", f"https://host:6334/?api-key={CANARY}"])
def test_a_login_in_an_address_is_refused_and_not_repeated(name: str, address: str, tmp_path: Path) -> None:
    """Addresses are shown; whoever writes a secret into one is told where it belongs."""
    with pytest.raises(SettingsError, match=r"set qdrant\.api_key") as refused:
        load_settings(environment={variable_of(name): address}, folder=tmp_path)
    assert CANARY not in str(refused.value)
