"""`tastestream metrics`: what live evaluation found last, worker by worker."""

import time
from collections.abc import Callable

import typer
from rich.table import Table
from rich.text import Text

from consumers.cluster import Cluster
from consumers.commands.context import Json, console, print_json, refuse, settings_of
from consumers.commands.presentation import length_text
from consumers.published_metrics import newest_metrics
from schemas.metrics import HitFigures, LiveMetrics, TimeFigures
from schemas.times import parse_time


def metrics_command(context: typer.Context, json: Json = False) -> None:
    """The newest figures of every worker: how well lists foretell what is rated, what they show, how long they take.

    Of the last ratings and lists (evaluation.window_events), each rating judged by the list that its user had. Figures
    begin anew when a worker starts.
    """
    settings = settings_of(context)
    topic = settings.metrics_topic
    if topic is None:
        refuse("the figures of live evaluation are on /metrics alone: topics.metrics is off")
    Cluster(settings.kafka.client_config(), settings.kafka.request_timeout_s).check_reachable()
    found = newest_metrics(settings, topic)
    if json:
        print_json(found)
    elif found:
        console.print(_table(found))
    else:
        refuse(f"no worker has published figures to {topic} yet")


def _table(found: list[LiveMetrics]) -> Table:
    """A column per worker, a row per figure."""
    now_ms = time.time_ns() // 1_000_000
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("")
    for record in found:
        table.add_column(Text(f"{record['instance']} ({record['preset']})"), justify="right", overflow="fold")
    for name, cell in _ROWS.items():
        table.add_row(name, *(Text(cell(record)) for record in found))
    if any("against" in record for record in found):
        table.add_row("paired z, McNemar", *(Text(_paired(record)) for record in found))
    ages = [length_text(max(0, now_ms - parse_time(record["generated_at"]))) for record in found]
    table.add_row("published", *(f"{age} ago" for age in ages))
    return table


def _number(value: float | None, digits: int = 4) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _hits(found: HitFigures) -> str:
    return "–" if found["hr10"] is None else f"{found['hr10']:.4f} of {found['n']:,}"


def _times(found: TimeFigures | None) -> str:
    return "–" if found is None else f"{found['p50']:,.1f}, {found['p99']:,.1f} ms"


def _paired(found: LiveMetrics) -> str:
    if "against" not in found:
        return ""
    return f"{_number(found['paired_z'], 2)} of {found['paired_ratings']:,} against {found['against']}"


_ROWS: dict[str, Callable[[LiveMetrics], str]] = {
    "ratings, judged": lambda record: f"{record['ratings']:,}, {_share(record['judged_share'])}",
    "HR@10, all": lambda record: _hits(record["all"]),
    "HR@10, ≥ 5 ratings": lambda record: _hits(record["warm"]),
    "HR@10, of those ≥ 4 stars": lambda record: _hits(record["liked"]),
    "HR@10, 1 to 4 ratings": lambda record: _hits(record["cold"]),
    "nDCG@10, all": lambda record: _number(record["all"]["ndcg10"]),
    "MAE of listed items": lambda record: f"{_number(record['mae'], 3)} of {record['n_predicted']:,}",
    "lists": lambda record: f"{record['lists']:,}",
    "coverage of items known": lambda record: f"{_share(record['coverage'])} of {record['items']:,}",
    "diversity": lambda record: _number(record["diversity"], 3),
    "novelty": lambda record: _number(record["novelty"], 2) + ("" if record["novelty"] is None else " bits"),
    "users with a personal list": lambda record: f"{_share(record['user_coverage'])} of {record['users']:,}",
    "items anybody rated": lambda record: _share(record["item_coverage"]),
    "ratings per vector": lambda record: _number(record["vector_size"], 1),
    "search, p50 and p99": lambda record: _times(record["search_ms"]),
    "refresh, p50 and p99": lambda record: _times(record["refresh_ms"]),
}
"""How each figure reads, in the order of the table."""
