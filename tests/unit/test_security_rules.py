"""What must never be in code that ships, whoever writes it: each rule is checked on source or real objects."""

import ast
import ipaddress
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from consumers.health import Health, HealthServer
from consumers.metrics import Metrics, VerifyMetrics
from consumers.settings import Settings

ROOT = Path(__file__).parents[2]
PACKAGES = ("schemas", "recommender", "producers", "consumers")
# What turns bytes of others into code: there is orjson for data, and packed arrays for states.
MODULES_THAT_RUN_DATA = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml", "imp", "code", "pty"}
CALLS_THAT_RUN_TEXT = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "subprocess.getoutput"}
OPTIONS_THAT_RUN_TEXT = {"shell", "allow_pickle"}
LABELS = {
    "step",
    "outcome",
    "reason",
    "cache",
    "topic",
    "partition",
    "state",
    "audience",
    "kind",
    "part",
    "quantile",
    "preset",
    "against",
}
"""All that a metric may tell its samples apart by; none of them grows with users or items."""


def shipped() -> dict[str, ast.Module]:
    paths = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]


def calls(tree: ast.AST) -> Iterator[tuple[str, set[str]]]:
    """Every call as its dotted name, and the options that are not plainly switched off."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            off = {word.arg for word in node.keywords if isinstance(word.value, ast.Constant) and not word.value.value}
            yield ast.unparse(node.func), {word.arg for word in node.keywords if word.arg} - off


def broken_rules(tree: ast.AST) -> list[str]:
    """What a module does that none may."""
    found = sorted(MODULES_THAT_RUN_DATA & set(imported(tree)))
    for name, options in calls(tree):
        if name in CALLS_THAT_RUN_TEXT:
            found.append(name)
        found += sorted(OPTIONS_THAT_RUN_TEXT & options)
    return found


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from marshal import loads",
        "import yaml.reader",
        "eval('1')",
        "exec(text)",
        "os.system('ls')",
        "subprocess.run('ls', shell=True)",
        "np.load(file, allow_pickle=wanted)",
    ],
)
def test_the_rule_sees_what_it_forbids(text: str) -> None:
    """Each way to run what came from elsewhere is seen."""
    assert broken_rules(ast.parse(text))


def test_nothing_from_elsewhere_is_run() -> None:
    """No pickle and its like, no text turned into code, no shell."""
    modules = shipped()
    assert len(modules) > len(PACKAGES)
    assert broken_rules(ast.parse("re.compile(text); subprocess.run(command, shell=False)")) == []
    assert {name: found for name, tree in modules.items() if (found := broken_rules(tree))} == {}


def label_names(registry: CollectorRegistry) -> set[str]:
    collectors = registry._collector_to_names  # all that are registered, also those without a sample yet
    return {label for collector in collectors for label in getattr(collector, "_labelnames", ())}


def test_no_metric_tells_users_or_items_apart() -> None:
    """Labels are of a closed list: one user more is no series more, and nobody's id is on a dashboard."""
    assert label_names(Metrics()._registry) == LABELS
    assert label_names(VerifyMetrics()._registry) == set()


def test_health_and_metrics_are_for_this_machine_alone() -> None:
    """Unless `http.host` says otherwise they are bound to the loopback address, which is what the server then does."""
    host = Settings().http.host
    assert ipaddress.ip_address(host).is_loopback
    with HealthServer(host, 0, Health(1), Metrics()) as server:
        bound = server._server.socket.getsockname()[0]
    assert ipaddress.ip_address(bound).is_loopback


def test_no_code_binds_to_every_address() -> None:
    """An address that all networks reach stands in no module: whoever wants it sets `http.host`."""
    texts = {
        node.value
        for tree in shipped().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert "127.0.0.1" in texts
    assert not texts & {"0.0.0.0", "[::]"}  # noqa: S104 - what must not be there
