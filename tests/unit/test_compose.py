import json
import re
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from consumers.settings import Settings, load_settings
from consumers.settings_sources import SettingsError
from producers.broker_artifacts import KAFKA_VERSION

ROOT = Path(__file__).parents[2]
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
VOLUMES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["volumes"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OURS = [name for name, service in SERVICES.items() if "build" in service]
ONE_SHOT = [name for name, service in SERVICES.items() if service["restart"] == "no"]
LISTENER = re.compile(r"(\w+)://([\w.]*):(\d+)")


def instructions() -> list[tuple[str, str]]:
    """What the Dockerfile says, in order, as keyword and rest."""
    text = (ROOT / "deploy/Dockerfile").read_text().replace("\\\n", "")
    lines = (line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#"))
    return [(keyword, rest) for keyword, rest in lines]


def last_stage() -> list[tuple[str, str]]:
    found = instructions()
    start = max(index for index, (keyword, _) in enumerate(found) if keyword == "FROM")
    return found[start:]


def worker_settings(folder: Path, **further: str) -> Settings:
    environment = {name: str(value) for name, value in SERVICES["worker"]["environment"].items()}
    return load_settings(environment=environment | further, folder=folder)


def seconds(duration: str) -> float:
    assert duration.endswith("s")
    return float(duration.removesuffix("s"))


def kafka_listeners(variable: str) -> dict[str, tuple[str, int]]:
    listeners = LISTENER.findall(SERVICES["kafka"]["environment"][variable])
    return {name: (host, int(port)) for name, host, port in listeners}


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_is_pinned(name: str) -> None:
    """No service runs whatever is newest: each image has a tag with a version in it."""
    repository, _, tag = SERVICES[name]["image"].partition(":")
    assert repository
    assert re.fullmatch(r"v?\d+\.\d+\.\d+", tag)


@pytest.mark.parametrize("name", SERVICES)
def test_every_port_is_on_loopback(name: str) -> None:
    """Nothing without a password is reachable from another machine."""
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)


def test_no_port_of_the_machine_is_taken_twice() -> None:
    """All services can run at once."""
    ports = [port.split(":")[1] for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(set(ports)) == len(ports)


@pytest.mark.parametrize("name", sorted(set(SERVICES) - set(ONE_SHOT)))
def test_every_lasting_service_has_a_health_check(name: str) -> None:
    """A service that stays is asked how it is; ours by the question that their image asks."""
    check = SERVICES[name]["healthcheck"]
    assert {"interval", "timeout", "retries", "start_period"} <= set(check)
    assert ("test" in check) == (name not in OURS)
    assert seconds(check["timeout"]) <= seconds(check["interval"])


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_waited_for_can_come(name: str) -> None:
    """Health is awaited only of services that have a health check, an end only of those that end."""
    for other, wanted in SERVICES[name].get("depends_on", {}).items():
        ends = other in ONE_SHOT
        assert wanted == {"condition": "service_completed_successfully" if ends else "service_healthy"}


def test_the_worker_waits_for_everything_it_needs() -> None:
    """Topics, Kafka and Qdrant are there before the worker starts."""
    assert set(SERVICES["worker"]["depends_on"]) == {"topics", "kafka", "qdrant"}


def test_volumes_are_declared_and_used() -> None:
    """What Kafka and Qdrant keep outlives their containers; every volume is declared, and none for nothing."""
    mounted = {name: [volume.split(":") for volume in service.get("volumes", [])] for name, service in SERVICES.items()}
    sources = {source for volumes in mounted.values() for source, *_ in volumes}
    assert {source for source in sources if not source.startswith("./")} == set(VOLUMES)
    assert [target for _, target in mounted["kafka"]] == [SERVICES["kafka"]["environment"]["KAFKA_LOG_DIRS"]]
    assert [target for _, target in mounted["qdrant"]] == ["/qdrant/storage"]


def test_what_is_mounted_is_there_and_stays_as_it_is() -> None:
    """Files of this repository that a container reads exist, and it cannot write them."""
    mounted = [volume.split(":") for service in SERVICES.values() for volume in service.get("volumes", [])]
    for source, target, *mode in (volume for volume in mounted if volume[0].startswith("./")):
        assert (ROOT / source).exists()
        assert target.startswith("/")
        assert mode == ["ro"]


@pytest.mark.parametrize("name", OURS)
def test_our_environment_is_made_of_settings(name: str, tmp_path: Path) -> None:
    """Every variable of ours names a setting, and the whole is accepted; a variable that names none is refused."""
    assert SERVICES[name]["environment"] == SERVICES["worker"]["environment"]
    worker_settings(tmp_path)
    with pytest.raises(SettingsError, match="there is no such setting"):
        worker_settings(tmp_path, TASTESTREAM_KAFKA__BOOTSTRAP="kafka:19092")


def test_the_worker_finds_kafka(tmp_path: Path) -> None:
    """The bootstrap address is a service, and one that the broker tells its clients to come back to."""
    (address,) = worker_settings(tmp_path).kafka.bootstrap_servers.split(",")
    host, _, port = address.partition(":")
    assert host in SERVICES
    assert (host, int(port)) in kafka_listeners("KAFKA_ADVERTISED_LISTENERS").values()
    assert SERVICES["ui"]["environment"]["KAFKA_CLUSTERS_0_BOOTSTRAPSERVERS"] == address


def test_the_worker_finds_qdrant(tmp_path: Path) -> None:
    """The state is kept on the server, whose address is a service."""
    qdrant = worker_settings(tmp_path).qdrant
    assert qdrant.store == "server"
    assert urlsplit(qdrant.url).hostname in SERVICES
    assert urlsplit(qdrant.url).port == 6334


def test_the_broker_names_addresses_that_it_listens_on() -> None:
    """Advertised are all listeners but the controller's, with their ports; the machine's is the published one."""
    listening, advertised = kafka_listeners("KAFKA_LISTENERS"), kafka_listeners("KAFKA_ADVERTISED_LISTENERS")
    ports = {name: port for name, (_, port) in listening.items()}
    controller = SERVICES["kafka"]["environment"]["KAFKA_CONTROLLER_LISTENER_NAMES"]
    assert {name: port for name, (_, port) in advertised.items()} | {controller: ports[controller]} == ports
    host, port = advertised["MACHINE"]
    assert SERVICES["kafka"]["ports"] == [f"{host}:{port}:{port}"]


def test_kafka_is_the_version_that_the_tests_run_on() -> None:
    """The broker of the containers and the broker of demo and tests are one version."""
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}"


def test_our_image_is_our_version() -> None:
    """The image's tag follows the project's version."""
    assert {SERVICES[name]["image"] for name in OURS} == {f"{PROJECT['name']}:{PROJECT['version']}"}


def test_health_and_metrics_are_published(tmp_path: Path) -> None:
    """The port that the worker serves on is the published one, and the one that the image's health check asks."""
    http = worker_settings(tmp_path).http
    assert SERVICES["worker"]["ports"] == [f"127.0.0.1:{http.port}:{http.port}"]
    (check,) = (rest for keyword, rest in last_stage() if keyword == "HEALTHCHECK")
    command = json.loads(check[check.index("[") :])
    assert str(http.port) in command[-1]
    assert "/livez" in command[-1]
    compile(command[-1], "HEALTHCHECK", "exec")


def test_the_worker_has_time_to_stop(tmp_path: Path) -> None:
    """A container is killed only after the worker's own limit for the batch in hand."""
    limits = worker_settings(tmp_path).limits
    assert seconds(SERVICES["worker"]["stop_grace_period"]) > limits.shutdown_timeout_s


@pytest.mark.parametrize("name", OURS)
def test_our_containers_may_do_little(name: str) -> None:
    """No root, no capabilities, no new privileges, nothing to write to but a scratch folder in memory."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]  # noqa: S108  # inside the container
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    (user,) = (rest for keyword, rest in last_stage() if keyword == "USER")
    assert all(int(number) > 0 for number in user.split(":"))


def test_the_image_stands_on_a_python_that_the_project_supports() -> None:
    """The first stage pins a slim Python by its minor version; the others stand on it."""
    bases = [rest.split()[0] for keyword, rest in instructions() if keyword == "FROM"]
    pinned = re.fullmatch(r"python:(\d+\.\d+)-slim-\w+", bases[0])
    assert pinned
    assert Version(pinned[1]) in SpecifierSet(PROJECT["requires-python"])
    assert set(bases[1:]) == {"python"}


def test_the_image_runs_the_worker() -> None:
    """The image's command line is ours, and does `run` unless told otherwise."""
    said = dict(last_stage())
    assert json.loads(said["ENTRYPOINT"]) == list(PROJECT["scripts"])
    assert json.loads(said["CMD"]) == SERVICES["worker"]["command"]


def test_the_builder_is_sent_what_it_copies() -> None:
    """Everything that the Dockerfile copies is there and passes .dockerignore, which keeps all the rest out."""
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    copied = {source for keyword, rest in instructions() if keyword == "COPY" for source in rest.split()[:-1]}
    assert ignored[0] == "*"
    assert {line.removeprefix("!") for line in ignored if line.startswith("!")} == copied
    assert all((ROOT / source).exists() for source in copied)
