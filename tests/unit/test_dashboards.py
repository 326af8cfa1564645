"""The dashboard, and what scrapes and shows it: every expression asks for what a worker serves."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_args
from urllib.parse import urlsplit

import pytest
import yaml

from consumers.metric_names import MetricName
from consumers.metrics import Metrics
from consumers.settings import load_settings

ROOT = Path(__file__).parents[2]
DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy/grafana/tastestream.json").read_text())
PANELS: dict[str, dict[str, Any]] = {panel["title"]: panel for panel in DASHBOARD["panels"]}
EXPRESSIONS = [target["expr"] for panel in PANELS.values() for target in panel["targets"]]
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
COLUMNS = 24
SCRAPED_LABELS = {"instance", "job"}
"""Prometheus' own."""
SUFFIXES = {"counter": ("",), "gauge": ("",), "info": ("_info",), "histogram": ("_bucket", "_sum", "_count")}
"""Of the samples of a metric, beyond its name here; a counter's name ends in _total already."""


class Served(NamedTuple):
    kind: str
    labels: frozenset[str]


def served() -> dict[str, Served]:
    """Every sample that a worker may serve, by its name."""
    found = {}
    collectors: Iterable[Any] = Metrics()._registry._collector_to_names
    for collector in collectors:
        if not hasattr(collector, "_labelnames"):
            continue
        kind, name = collector._type, collector._name
        name = f"{name}_total" if kind == "counter" else name
        assert name in get_args(MetricName)
        for suffix in SUFFIXES[kind]:
            labels = {*collector._labelnames, *({"le"} if suffix == "_bucket" else ())}
            found[name + suffix] = Served(kind, frozenset(labels))
    return found


SERVED = served()


def document(path: str) -> Any:
    return yaml.safe_load((ROOT / "deploy" / path).read_text())


def asked(expression: str) -> set[str]:
    """The names of our samples in an expression."""
    return set(re.findall(r"tastestream_\w+", expression))


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_metric_is_one_that_workers_serve(expression: str) -> None:
    """A name that nobody serves would be an empty panel that nobody misses."""
    assert asked(expression) <= SERVED.keys()
    assert asked(expression) or "process_resident_memory_bytes" in expression


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_metric_is_asked_for_as_what_it_is(expression: str) -> None:
    """Counters and histograms only grow, so their rate or increase is shown; a gauge is shown as it is."""
    for name in asked(expression):
        grows = SERVED[name].kind in {"counter", "histogram"}
        assert (re.search(rf"(rate|increase)\({name}\b", expression) is not None) == grows
    assert ("histogram_quantile" in expression) == any(name.endswith("_bucket") for name in asked(expression))


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_label_is_one_of_the_metric(expression: str) -> None:
    """What is selected and summed by is there; a sum for quantiles keeps the buckets apart."""
    known = {label for name in asked(expression) for label in SERVED[name].labels} | SCRAPED_LABELS
    chosen = {label for inner in re.findall(r"{([^{}]*)}", expression) for label in re.findall(r"(\w+)\s*[=!]", inner)}
    kept = {label.strip() for inner in re.findall(r"by \(([^)]*)\)", expression) for label in inner.split(",")}
    assert chosen | kept <= known
    assert ("le" in kept) == ("histogram_quantile" in expression)


@pytest.mark.parametrize("title", PANELS)
def test_legends_name_labels_that_are_left(title: str) -> None:
    """A label that was summed away would stand in the legend as nothing."""
    for target in PANELS[title]["targets"]:
        left = {label.strip() for inner in re.findall(r"by \(([^)]*)\)", target["expr"]) for label in inner.split(",")}
        named = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
        assert named <= (left or SCRAPED_LABELS)


def test_the_dashboard_shows_what_it_is_for() -> None:
    """How fresh, how far behind, how many, how long, what became of it, how good, how large, and what was refused."""
    shown = {name for expression in EXPRESSIONS for name in asked(expression)}
    assert shown >= {
        "tastestream_freshness_seconds_bucket",
        "tastestream_lag_records",
        "tastestream_outcomes_total",
        "tastestream_step_seconds_bucket",
        "tastestream_live_hit_rate",
        "tastestream_live_shadow_hit_rate",
        "tastestream_live_paired_z",
        "tastestream_cache_bytes",
        "tastestream_dead_letters_total",
        "tastestream_request_seconds_bucket",
    }


def test_panels_lie_side_by_side() -> None:
    """Each has a number and a title of its own and a unit, and no two cover each other."""
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(PANELS) == len(DASHBOARD["panels"])
    assert all(panel["fieldConfig"]["defaults"]["unit"] for panel in PANELS.values())
    covered = [cell for panel in PANELS.values() for cell in cells(panel["gridPos"])]
    assert len(set(covered)) == len(covered)
    assert max(x for x, _ in covered) < COLUMNS


def cells(place: Mapping[str, int]) -> Iterator[tuple[int, int]]:
    for x in range(place["x"], place["x"] + place["w"]):
        for y in range(place["y"], place["y"] + place["h"]):
            yield x, y


def test_what_is_scraped_is_the_worker() -> None:
    """The target is a service at the port of its metrics, and no scrape outlasts the time between two."""
    found = document("prometheus/prometheus.yml")
    (job,) = found["scrape_configs"]
    (target,) = (one for group in job["static_configs"] for one in group["targets"])
    host, _, port = target.partition(":")
    environment = {name: str(value) for name, value in SERVICES[host]["environment"].items()}
    assert int(port) == load_settings(environment=environment, folder=ROOT / "deploy").http.port
    interval, timeout = (int(found["global"][name].removesuffix("s")) for name in ("scrape_interval", "scrape_timeout"))
    assert timeout < interval
    assert (job["job_name"], "metrics_path" in job) == ("tastestream", False)


def test_the_dashboard_finds_what_it_asks() -> None:
    """The data source is the scraping service, the default one, and its shortest window follows the scrapes."""
    (source,) = document("grafana/provisioning/datasources/prometheus.yml")["datasources"]
    (variable,) = (one for one in DASHBOARD["templating"]["list"] if one["type"] == "datasource")
    assert (source["type"], source["isDefault"]) == (variable["query"], True)
    assert urlsplit(source["url"]).hostname in SERVICES
    assert f"127.0.0.1:{urlsplit(source['url']).port}:9090" in SERVICES["prometheus"]["ports"]
    scraped = document("prometheus/prometheus.yml")["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == scraped
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in PANELS.values())


def test_the_dashboard_is_where_it_is_looked_for() -> None:
    """The folder that is provisioned holds the mounted file, which is also what is shown first."""
    (provider,) = document("grafana/provisioning/dashboards/tastestream.yml")["providers"]
    mounted = dict(volume.split(":")[:2] for volume in SERVICES["grafana"]["volumes"])
    place = mounted["./deploy/grafana/tastestream.json"]
    assert Path(place).parent == Path(provider["options"]["path"])
    assert SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == place
    assert mounted["./deploy/grafana/provisioning"] == "/etc/grafana/provisioning"


def test_dashboards_are_there_for_whoever_asks() -> None:
    """Both services run in a profile of their own; everything else starts without it and does not wait for them."""
    inside = {name for name, service in SERVICES.items() if service.get("profiles")}
    assert inside == {"prometheus", "grafana"}
    assert {profile for name in inside for profile in SERVICES[name]["profiles"]} == {"dashboards"}
    assert not any(inside & set(SERVICES[name].get("depends_on", {})) for name in set(SERVICES) - inside)
