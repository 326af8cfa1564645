"""Settings: where they come from, what is refused, and what is never shown."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from consumers.settings import Settings, load_settings
from consumers.settings_kafka import GUARDED_PROPERTIES
from consumers.settings_sources import SettingsError, is_mapping, setting_fields, variable_of, variables_layer

CANARY = "hunter2-do-not-print"
NAMES = list(setting_fields(Settings))


class Place:
    """A folder to start from, with whatever files a test writes, and an environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(
        self,
        environment: Mapping[str, str] | None = None,
        given: Mapping[str, Any] | None = None,
        config_file: Path | None = None,
    ) -> Settings:
        return load_settings(config_file, given, environment or {}, self.folder)

    def problems(
        self, environment: Mapping[str, str] | None = None, given: Mapping[str, Any] | None = None
    ) -> list[str]:
        with pytest.raises(SettingsError) as caught:
            self.load(environment, given)
        return list(caught.value.problems)

    def toml(self, text: str, name: str = "tastestream.toml") -> Path:
        (self.folder / name).write_text(text)
        return self.folder / name

    def dotenv(self, text: str) -> None:
        (self.folder / ".env").write_text(text)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def sources(settings: Settings) -> dict[str, str]:
    return {row.name: row.source for row in settings.described()}


def test_without_any_source_everything_has_its_default(place: Place) -> None:
    """Law: nothing need be set; every setting is listed once, as a default."""
    rows = place.load().described()
    assert [row.name for row in rows] == NAMES
    assert {row.source for row in rows} == {"default"}


def test_the_highest_source_wins(place: Place) -> None:
    """Law: command line over environment over .env over TOML over default, and each value knows its source."""
    file = place.toml("[limits]\n" + "\n".join(f"{name} = 4" for name in LADDER))
    place.dotenv("\n".join(f"{variable_of('limits.' + name)}=3" for name in LADDER[1:]))
    environment = {variable_of("limits." + name): "2" for name in LADDER[2:]}
    settings = place.load(environment, {"limits": {LADDER[3]: 1}})
    assert [getattr(settings.limits, name) for name in LADDER] == [4, 3, 2, 1]
    found = sources(settings)
    assert [found["limits." + name] for name in LADDER] == [
        str(file),
        ".env",
        f"environment {variable_of('limits.' + LADDER[2])}",
        "command line",
    ]


LADDER = ["batch_max_records", "history_max_entries", "seen_max_items", "scan_slice_users"]


@pytest.mark.parametrize(("file", "start"), [("", "environment TASTESTREAM_"), (".env", ".env")])
def test_every_setting_can_be_set_by_its_variable(file: str, start: str) -> None:
    """Law: each setting has one variable of its own, in the environment and in .env alike."""
    fields = setting_fields(Settings)
    texts = {name: '{"a": "b"}' if is_mapping(info) else "1" for name, info in fields.items()}
    layer = variables_layer({variable_of(name): text for name, text in texts.items()}, fields, file)
    assert layer.problems == []
    assert list(layer.values) == NAMES
    assert all(place.startswith(start) for place in layer.places.values())


def test_the_toml_file_is_the_chosen_one_the_named_one_or_the_one_at_hand(place: Place) -> None:
    """Law: --config over TASTESTREAM_CONFIG over ./tastestream.toml; only the last may be missing."""
    chosen, named = place.toml('instance = "chosen"', "a.toml"), place.toml('instance = "named"', "b.toml")
    assert place.load().instance not in {"chosen", "named"}
    place.toml('instance = "at-hand"')
    assert place.load().instance == "at-hand"
    assert place.load({"TASTESTREAM_CONFIG": str(named)}).instance == "named"
    assert place.load({"TASTESTREAM_CONFIG": str(named)}, config_file=chosen).instance == "chosen"
    with pytest.raises(SettingsError, match=r"missing\.toml: cannot be read: No such file"):
        place.load(config_file=place.folder / "missing.toml")


def test_tables_and_lists_can_be_written_in_every_source(place: Place) -> None:
    """Law: topics are a list or separated by commas; properties merge key by key, dotted or quoted, and are text."""
    place.toml(
        '[topics]\nratings = ["a", "b"]\n'
        '[kafka.properties]\nsocket.timeout.ms = 1000\n"log.connection.close" = false\nclient.id = "toml"'
    )
    assert place.load().input_topics == ("a", "b")
    environment = {"TASTESTREAM_TOPICS__RATINGS": "c, d"}
    environment["TASTESTREAM_KAFKA__PROPERTIES"] = json.dumps({"client.id": "env"})
    settings = place.load(environment)
    assert settings.input_topics == ("c", "d")
    config = settings.kafka.client_config()
    assert (config["socket.timeout.ms"], config["log.connection.close"], config["client.id"]) == (
        "1000",
        "false",
        "env",
    )
    found = sources(settings)
    assert found["kafka.properties.client.id"] == "environment TASTESTREAM_KAFKA__PROPERTIES"
    assert found["kafka.properties.socket.timeout.ms"].endswith("tastestream.toml")


def test_a_lost_broker_is_asked_again_as_soon_as_the_setting_says(place: Place) -> None:
    """Law: within a second by default, where librdkafka itself may wait for ten."""
    assert place.load().kafka.client_config()["reconnect.backoff.max.ms"] == "1000"
    own = place.load({"TASTESTREAM_KAFKA__RECONNECT_BACKOFF_MAX_MS": "250"}).kafka
    assert (
        own.consumer_config()["reconnect.backoff.max.ms"] == own.producer_config()["reconnect.backoff.max.ms"] == "250"
    )


def test_an_empty_variable_counts_as_not_set(place: Place) -> None:
    """Law: what compose passes on as an empty string neither counts nor hides what lower sources say."""
    place.dotenv("TASTESTREAM_KAFKA__GROUP=from-dotenv")
    settings = place.load({"TASTESTREAM_KAFKA__GROUP": "", "TASTESTREAM_NAMESPACE": ""})
    assert (settings.group, settings.namespace) == ("from-dotenv", None)


def test_an_option_that_was_not_given_counts_as_not_given(place: Place) -> None:
    """Law: None from the command line leaves the other sources their say."""
    assert place.load({"TASTESTREAM_LOG__LEVEL": "error"}, {"log": {"level": None}}).log.level == "error"


def test_an_unknown_key_is_refused_in_every_source_by_its_full_name(place: Place) -> None:
    """Law: one line per unknown key, of all sources at once, each with the nearest known name, none with a value."""
    place.toml(f'[kafka]\ngrup = "{CANARY}"\n[kafak]\nx = 1')
    place.dotenv(f"TASTESTREAM_KAFKA__SASL_PASSWROD={CANARY}\nPOSTGRES_PASSWORD=other")
    problems = place.problems({"TASTESTREAM_HTTP__PROT": CANARY, "tastestream_log__level": "x"}, {"limits": {"x_s": 1}})
    expected = [
        ("limits.x_s (command line)", "limits."),
        ("TASTESTREAM_HTTP__PROT (environment)", "TASTESTREAM_HTTP__PORT"),
        ("tastestream_log__level (environment)", "TASTESTREAM_"),
        ("TASTESTREAM_KAFKA__SASL_PASSWROD (.env)", "TASTESTREAM_KAFKA__SASL_PASSWORD"),
        ("kafka.grup (", "kafka.group"),
        ("kafak (", ""),
    ]
    assert len(problems) == len(expected)
    for problem, (start, nearest) in zip(problems, expected, strict=True):
        assert problem.startswith(start)
        assert f"there is no such setting; the nearest is {nearest}" in problem
    assert CANARY not in "".join(problems)


@pytest.mark.parametrize("name", ["TASTESTREAM_CONFIG", "TASTESTREAM_KAFKA_CACHE", "TASTESTREAM_MAVEN_MIRROR"])
def test_variables_that_are_no_settings_are_left_alone(place: Place, name: str) -> None:
    """Law: the variables of other parts of the project are no unknown keys."""
    value = str(place.toml("")) if name == "TASTESTREAM_CONFIG" else "x"
    assert place.load({name: value, "PATH": "/bin", "KAFKA_HEAP": "1"}) == place.load()


def test_a_variable_that_kubernetes_adds_says_how_to_be_rid_of_it(place: Place) -> None:
    """Law: a Service called tastestream does not leave the operator guessing."""
    assert all(
        "enableServiceLinks: false" in place.problems({name: "tcp://10.0.0.1:80"})[0]
        for name in ("TASTESTREAM_PORT", "TASTESTREAM_SERVICE_HOST", "TASTESTREAM_PORT_9464_TCP_ADDR")
    )


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"TASTESTREAM_LIMITS__POLL_TIMEOUT_S": "0.3"}, "limits.poll_timeout_s (environment TASTESTREAM_LIMITS__POLL"),
        ({"TASTESTREAM_LIMITS__STEP_TIMEOUT_S": "nan"}, "limits.step_timeout_s (environment"),
        ({"TASTESTREAM_RANKING__LIST_LENGTH": "501"}, "ranking.list_length (environment"),
        ({"TASTESTREAM_RANKING__LIST_LENGTH": "many"}, "ranking.list_length (environment"),
        ({"TASTESTREAM_RANKING__PRESET": "best"}, "ranking.preset (environment"),
        ({"TASTESTREAM_HTTP__PORT": "65536"}, "http.port (environment"),
        ({"TASTESTREAM_NAMESPACE": "a b"}, "namespace (environment"),
        ({"TASTESTREAM_INSTANCE": "a b"}, "instance (environment"),
        ({"TASTESTREAM_TOPICS__RATINGS": "a,b c"}, "topics.ratings (environment"),
        ({"TASTESTREAM_TOPICS__RATINGS": "a,a"}, "topics: topic 'a' is named twice"),
        ({"TASTESTREAM_TOPICS__DEAD_LETTERS": "ratings"}, "topics: topic 'ratings' is named twice"),
        ({"TASTESTREAM_TOPICS__HEARTBEAT_INTERVAL_MS": "45000"}, "topics: heartbeat_interval_ms"),
        ({"TASTESTREAM_CATALOGUE__SCALE_MIN": "6"}, "catalogue: the rating scale"),
        ({"TASTESTREAM_QDRANT__STORE": "server"}, "qdrant: store = server needs url"),
        ({"TASTESTREAM_QDRANT__URL": f"http://me:{CANARY}@host"}, "qdrant.url (environment"),
        ({"TASTESTREAM_LIMITS__COMMIT_TIMEOUT_S": "60"}, "limits: commit_timeout_s"),
        ({"TASTESTREAM_KAFKA__SASL_PASSWORD": CANARY}, "kafka: sasl_password has no use"),
        ({"TASTESTREAM_KAFKA__SSL_CA_LOCATION": "ca.pem"}, "kafka: ssl_ca_location has no use"),
        ({"TASTESTREAM_KAFKA__SECURITY_PROTOCOL": "SASL_SSL"}, "kafka: security_protocol SASL_SSL needs"),
        ({"TASTESTREAM_KAFKA__PROPERTIES": "client.id=x"}, "kafka.properties (environment"),
        ({"TASTESTREAM_NAMESPACE": "n" * 64, "TASTESTREAM_TOPICS__RATINGS": "t" * 200}, "'" + "n" * 64),
    ],
)
def test_a_bad_value_is_one_line_that_names_the_setting(place: Place, environment: dict[str, str], line: str) -> None:
    """Law: ranges and contradictions are found before anything starts, and say which setting and where it stands."""
    problems = place.problems(environment)
    assert len(problems) == 1
    assert problems[0].startswith(line)
    assert CANARY not in problems[0]


@pytest.mark.parametrize("broken", ["[kafka", "a = 1\na = 2", '"'])
def test_a_file_that_cannot_be_read_is_named(place: Place, broken: str) -> None:
    """Law: neither broken TOML nor a broken line of .env passes in silence."""
    place.toml(broken)
    assert "tastestream.toml: is not TOML" in place.problems()[0]
    place.toml("")
    place.dotenv("TASTESTREAM_KAFKA__GROUP=x\n'broken\n")
    assert ".env (line 2): is no NAME=VALUE" in place.problems()[0]
    place.dotenv("TASTESTREAM_KAFKA__GROUP\n")
    assert "TASTESTREAM_KAFKA__GROUP (.env): has no value" in place.problems()[0]


def test_a_section_is_no_value(place: Place) -> None:
    """Law: one value where a table belongs is refused by name."""
    place.toml(f'kafka = "{CANARY}"')
    assert "kafka (" in place.problems()[0]
    assert CANARY not in place.problems()[0]


@pytest.mark.parametrize("section", ["properties", "consumer_properties", "producer_properties"])
@pytest.mark.parametrize("name", GUARDED_PROPERTIES)
def test_what_the_guarantee_rests_on_cannot_be_set_aside(place: Place, section: str, name: str) -> None:
    """Law: a guarded librdkafka property is refused wherever it is passed, by name and with the reason."""
    problems = place.problems({variable_of(f"kafka.{section}"): json.dumps({name: CANARY, "linger.ms": 1})})
    where = f"kafka.{section}.{name} (environment {variable_of('kafka.' + section)})"
    assert problems == [f"{where}: cannot be set here: {GUARDED_PROPERTIES[name]}"]


@pytest.mark.parametrize(
    "name",
    [
        "enable.auto.commit",
        "group.protocol",
        "isolation.level",
        "enable.idempotence",
        "transactional.id",
        "partitioner",
        "auto.offset.reset",
        "session.timeout.ms",
        "heartbeat.interval.ms",
        "partition.assignment.strategy",
    ],
)
def test_the_guard_knows_these(name: str) -> None:
    """Law: the properties without which exactly once breaks, or which KIP-848 refuses, are guarded."""
    assert name in GUARDED_PROPERTIES


def secretive(place: Place) -> Settings:
    place.toml(f'[kafka.consumer_properties]\n"ssl.key.pem" = "{CANARY}"\n"sasl.oauthbearer.config" = "{CANARY}"')
    environment = {
        "TASTESTREAM_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
        "TASTESTREAM_KAFKA__SASL_MECHANISM": "PLAIN",
        "TASTESTREAM_KAFKA__SASL_USERNAME": "me",
        "TASTESTREAM_KAFKA__SASL_PASSWORD": CANARY,
        "TASTESTREAM_KAFKA__SSL_KEY_PASSWORD": CANARY,
        "TASTESTREAM_QDRANT__API_KEY": CANARY,
    }
    return place.load(environment)


def test_secrets_reach_the_clients_and_nothing_else(place: Place) -> None:
    """Law: no repr, text, dump or listing of the settings holds a secret; the client's configuration does."""
    settings = secretive(place)
    rows = {row.name: row.value for row in settings.described()}
    shown = [repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump()), str(rows)]
    assert not [text for text in shown if CANARY in text]
    assert [name for name, value in rows.items() if value == "***"] == [
        "kafka.sasl_password",
        "kafka.ssl_key_password",
        "kafka.consumer_properties.ssl.key.pem",
        "kafka.consumer_properties.sasl.oauthbearer.config",
        "qdrant.api_key",
    ]
    config = settings.kafka.consumer_config()
    assert [config[name] for name in ("sasl.password", "ssl.key.password", "ssl.key.pem")] == [CANARY] * 3
    assert "ssl.key.pem" not in settings.kafka.producer_config()


def test_secrets_are_in_no_error(place: Place) -> None:
    """Law: a secret of the wrong type, or beside a mistake, is not quoted back."""
    place.toml(f'[qdrant]\napi_key = ["{CANARY}"]\n[kafka]\nproperties = "{CANARY}"')
    problems = place.problems({"TASTESTREAM_KAFKA__SASL_PASSWORD": CANARY})
    assert [problem.split(" ")[0] for problem in problems] == ["kafka.properties", "qdrant.api_key"]
    assert CANARY not in "".join(problems)
    with pytest.raises(ValidationError) as caught:
        Settings(kafka={"sasl_password": CANARY, "group": ""})
    assert CANARY not in str(caught.value)


def test_the_namespace_prefixes_all_that_is_shared() -> None:
    """Law: topics, group, transactional id, collection and Edge folder carry the namespace, and nothing without one."""
    settings = Settings(namespace="blue", instance="w-0", topics={"ratings": "a,b"}, qdrant={"edge_path": "x/edge"})
    assert settings.input_topics == ("blue.a", "blue.b")
    assert settings.recommendations_topic == "blue.recommendations"
    assert settings.dead_letter_topic == "blue.ratings.dlq"
    assert settings.metrics_topic == "blue.metrics"
    assert (settings.group, settings.transactional_id) == ("blue.tastestream", "blue.tastestream.w-0")
    assert (settings.collection, settings.edge_folder) == ("blue.users", Path("x/blue.edge"))
    plain = Settings(instance="w-0")
    assert (plain.input_topics, plain.group, plain.collection) == (("ratings",), "tastestream", "users")
    assert (plain.transactional_id, plain.edge_folder) == ("tastestream.w-0", Path(".tastestream/edge"))


def test_settings_never_change() -> None:
    """Law: neither a setting nor a setting of a section can be assigned."""
    settings = Settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.namespace = "other"
    with pytest.raises(ValidationError, match="frozen"):
        settings.http.port = 1


def test_settings_made_directly_read_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Law: only `load_settings` looks at the surroundings."""
    monkeypatch.setenv("TASTESTREAM_KAFKA__GROUP", "from-the-environment")
    assert Settings().group == "tastestream"
    assert load_settings().group == "from-the-environment"


@pytest.mark.parametrize("off", ["off", "none", "OFF"])
def test_the_port_can_be_switched_off(place: Place, off: str) -> None:
    """Law: off is no port at all, 0 is any."""
    assert place.load({"TASTESTREAM_HTTP__PORT": off}).http.port is None
    assert place.load({"TASTESTREAM_HTTP__PORT": "0"}).http.port == 0


def test_the_topic_of_figures_can_be_switched_off(place: Place) -> None:
    """Law: off is no topic, also within a namespace, and never the name of one; another name is one like any other."""
    environment = {"TASTESTREAM_TOPICS__METRICS": "off", "TASTESTREAM_NAMESPACE": "blue"}
    assert place.load(environment).metrics_topic is None
    assert place.load({"TASTESTREAM_TOPICS__METRICS": "figures"}).metrics_topic == "figures"
    for name in ("ratings", "no topic"):
        assert place.problems({"TASTESTREAM_TOPICS__METRICS": name})
