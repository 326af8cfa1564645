"""`tastestream demo`: from nothing to fresh lists, on real ratings, with a check at the end."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from consumers.commands.context import Json, errors, print_json
from consumers.demo.play import Play
from consumers.demo.report import figures, worker_figures
from consumers.demo.stage import Stage, stage
from consumers.demo.story import FIRST_TASTE, SECOND_TASTE, VIEWER, Telling, explanation, reason, telling
from consumers.demo.verdict import Verdict
from consumers.exit_codes import ExitCode
from consumers.logs import configure_logs
from consumers.settings_sections import LogSettings
from consumers.topic_reader import TopicReader
from schemas.recommendations import RecommendationList

READER_TIMEOUT_S = 30.0

console = Console()


def demo_command(
    json: Json = False,
    events: Annotated[
        int | None, typer.Option(min=1, help="Take only the first ratings (all 100,836 by default).")
    ] = None,
    folder: Annotated[Path | None, typer.Option(help="Keep the store and the worker's log here.")] = None,
) -> None:
    """Real MovieLens ratings through a real Kafka and the real Qdrant engine, and what comes out, checked.

    Uses a Kafka of its own, or the one that KAFKA_BOOTSTRAP_SERVERS names (with topics of its own, removed at the end).
    """
    configure_logs(LogSettings(level="error"))
    _end_in_order_on_sigterm()
    with _progress_bar(quiet=json) as bar, stage(folder, bar.say) as scene, _reader(scene) as reader:
        play = Play(scene, reader, events, bar.show)
        play.name_items()
        caught_up = play.catch_up()
        freshness_ms = play.live()
        bar.hide()
        if not json:
            _tell(play)
        facts = worker_figures(scene.worker)
        verdict = play.verdict()
        document = {
            "events": len(play.sent),
            "lists": play.audience.lists,
            **figures(caught_up, freshness_ms),
            **facts,
            "verify": {"users": verdict.users, "mismatches": len(verdict.mismatches)},
        }
    _finish(document, verdict, json=json, folder=folder)


class _Bar:
    """The progress, on standard error; silent where a program reads."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._task = None if progress is None else progress.add_task("starting", total=None)

    def say(self, what: str) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, description=what)

    def show(self, what: str, done: int, total: int) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, description=what, completed=done, total=total)

    def hide(self) -> None:
        if self._progress is not None:
            self._progress.stop()


@contextmanager
def _progress_bar(*, quiet: bool) -> Iterator[_Bar]:
    if quiet:
        yield _Bar(None)
        return
    columns = (
        TextColumn("{task.description:<44}"),
        BarColumn(),
        TextColumn("{task.completed:>7,.0f}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=errors, transient=True) as progress:
        yield _Bar(progress)


@contextmanager
def _reader(scene: Stage) -> Iterator[TopicReader]:
    settings = scene.settings
    with TopicReader(settings.kafka.client_config(), [settings.recommendations_topic], READER_TIMEOUT_S) as reader:
        yield reader


def _end_in_order_on_sigterm() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _tell(play: Play) -> None:
    before = _rated(play, telling(play.dataset, FIRST_TASTE), "A new viewer rates", None)
    after = _rated(play, telling(play.dataset, SECOND_TASTE), "Then the same viewer rates", before)
    console.print(f"[bold]The change:[/] {explanation(before, after)}.")
    explained = play.explained(VIEWER)
    if explained and (why := reason(before, explained)) is not None:
        console.print(f"[bold]Why, when asked:[/] {escape(why)}.", highlight=False)
    console.print()


def _rated(play: Play, ratings: Sequence[Telling], what: str, before: RecommendationList | None) -> RecommendationList:
    names = ", ".join(f"{row.item.title} {row.rating:g}" for row in ratings)
    console.print(f"\n[bold]{what}:[/] {names}", highlight=False)
    value = play.rate(VIEWER, ratings)
    known = {item["item_id"] for item in before["items"]} if before else set()
    table = Table(box=None, header_style="dim", pad_edge=False)
    table.add_column("", justify="right", min_width=2)
    table.add_column("the list now", no_wrap=True, overflow="ellipsis", width=38)
    table.add_column("genres", no_wrap=True, overflow="ellipsis", width=20)
    table.add_column("predicted", justify="right", min_width=9)
    for place, item in enumerate(value["items"], 1):
        is_new = bool(known) and item["item_id"] not in known
        title = item.get("title", f"item {item['item_id']}")
        table.add_row(
            str(place),
            f"[bold green]{title}[/]" if is_new else title,
            " ".join(item.get("genres", [])),
            f"{item['predicted_rating']:.1f}",
        )
    console.print(table)
    return value


def _finish(document: dict[str, Any], verdict: Verdict, *, json: bool, folder: Path | None) -> None:
    if json:
        print_json(document)
    else:
        _print_summary(document, folder)
    for user_id, problem in sorted(verdict.mismatches.items()):
        errors.print(f"user {user_id}: {problem}", style="red", markup=False)
    raise typer.Exit(ExitCode.CHECK_FAILED if verdict.mismatches else ExitCode.OK)


def _print_summary(document: dict[str, Any], folder: Path | None) -> None:
    freshness, verify = document["freshness_ms"], document["verify"]
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in (
        ("ratings in", f"{document['events']:,}"),
        ("lists out", f"{document['lists']:,} (one per user and batch)"),
        ("at full speed", f"{document['events_per_s']:,.0f} ratings/s, {document['refreshes_per_s']:,.0f} lists/s"),
        ("freshness at 20 ratings/s", f"p50 {freshness['p50']} ms, p99 {freshness['p99']} ms, sent to readable"),
        ("worker's memory", f"{document['worker_memory_mb']:.0f} MB"),
        ("dead letters", str(document["dead_letters"])),
        ("checked with a batch run", f"{verify['users']} users, {verify['mismatches']} wrong"),
    ):
        table.add_row(f"[dim]{name}[/]", value)
    console.print(table)
    if folder is not None:
        console.print(f"\nThe store is in {folder / 'store'}.")
    console.print(
        "\nWhere to look next: `tastestream --help`, and README.md for your own Kafka and Qdrant.", markup=False
    )
