"""`tastestream verify`: every user of the store against the events that made them, once or every so often."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from consumers.app import check_cluster
from consumers.commands.context import Json, console, print_json, progress_bar, settings_of
from consumers.existing_store import Visited, store_place, visited_store
from consumers.exit_codes import ExitCode
from consumers.item_ids import ItemIds
from consumers.judgement import Making
from consumers.named_datasets import HELP, named_dataset
from consumers.scheduled_check import check_every
from consumers.settings import Settings
from consumers.settings_mapping import has_text_ids, history_limits, ranking_rules, rating_scale
from consumers.state_check import Report, Selection, StateCheck
from consumers.topic_states import Events, FileEvents, Progress, TopicEvents
from consumers.verify_report import report_document, report_lines
from producers.replay import ReplayPlan
from recommender.store import StoreBusyError, StoreError, point_id


@dataclass(frozen=True, slots=True)
class _Verification:
    """What is compared, and how it is told."""

    settings: Settings
    file: ReplayPlan | None
    users: tuple[str, ...]
    sample: int | None
    json: bool

    def once(self, from_id: int = 0) -> Report:
        ids = frozenset(map(point_id, self.users)) if self.users else None
        with _store(self.settings) as (store, items), _progress(self.json) as progress:
            events = self._events(items)
            rule, carriers = ranking_rules(self.settings).value, store.settings.carriers
            making = Making(history_limits(self.settings), rule, carriers)
            report = StateCheck(store, events, making).run(Selection(ids, from_id, self.sample), progress)
        if self.json:
            print_json(report_document(report, events.named))
        else:
            for line in report_lines(report, events.named):
                console.print(line, markup=False, highlight=False, soft_wrap=True)
        return report

    def _events(self, items: ItemIds) -> Events:
        return TopicEvents(self.settings, items) if self.file is None else FileEvents(self.file, items)


def verify_command(
    context: typer.Context,
    file: Annotated[str | None, typer.Option("--file", help=f"Compare with a data set, not the topics. {HELP}")] = None,
    user: Annotated[list[str] | None, typer.Option("--user", help="Only this user; may be repeated.")] = None,
    sample: Annotated[
        int | None, typer.Option("--sample", min=1, help="Only so many users, by a hash of their ids.")
    ] = None,
    every: Annotated[
        float | None, typer.Option("--every", min=1, help="Go on, with a check every so many seconds.")
    ] = None,
    metrics_port: Annotated[
        int | None, typer.Option("--metrics-port", min=0, max=65_535, help="With --every: where to serve metrics.")
    ] = None,
    json: Json = False,
) -> None:
    """Rebuild every user from the topics, compare with the store bit for bit; reads only, exit code 1 if one differs.

    It may run beside workers of a Qdrant server; a store of Qdrant Edge must be at rest. Memory: about 1 kB for a user
    and 20 bytes for a kept rating; --sample bounds it.
    """
    settings = settings_of(context, {"verify": {"interval_s": every, "sample_users": sample}})
    interval_s = settings.verify.interval_s
    _refuse_contradictions(settings, user, metrics_port)
    if file is None:
        check_cluster(settings)
    verification = _Verification(
        settings, _plan(settings, file), tuple(user or ()), settings.verify.sample_users or None, json
    )
    if interval_s:
        signal.signal(signal.SIGTERM, _leave)
        port = settings.http.port if metrics_port is None else metrics_port
        check_every(interval_s, verification.once, None if port is None else (settings.http.host, port))
    if verification.once().mismatch_count:
        raise typer.Exit(ExitCode.CHECK_FAILED)


def _refuse_contradictions(settings: Settings, user: list[str] | None, metrics_port: int | None) -> None:
    if user and settings.verify.sample_users:
        raise typer.BadParameter("name users or take a sample, not both", param_hint="--user / --sample")
    if metrics_port is not None and not settings.verify.interval_s:
        raise typer.BadParameter("goes with --every", param_hint="--metrics-port")
    if settings.verify.interval_s and settings.qdrant.store == "edge":
        raise typer.BadParameter(
            "a check every so often runs beside the worker, and a Qdrant Edge store has room for one process: use a "
            "Qdrant server, or verify while the worker is stopped",
            param_hint="--every / verify.interval_s",
        )


def _plan(settings: Settings, file: str | None) -> ReplayPlan | None:
    if file is None:
        return None
    return ReplayPlan(named_dataset(file, rating_scale(settings)), text_ids=has_text_ids(settings))


@contextmanager
def _store(settings: Settings) -> Iterator[Visited]:
    try:
        with visited_store(settings) as visited:
            if visited is None:
                raise StoreError(f"there is no store yet at {store_place(settings)}: `tastestream run` makes it")
            yield visited
    except StoreBusyError as error:
        raise StoreBusyError(
            f"{error}. To verify, stop the worker first: a copy of its folder, taken while it runs, is of no one moment"
        ) from error


@contextmanager
def _progress(json: bool) -> Iterator[Progress]:
    if json:
        yield lambda _done, _total: None
        return
    with progress_bar("verifying") as report:
        yield report


def _leave(*_: Any) -> None:
    raise SystemExit(ExitCode.OK)
