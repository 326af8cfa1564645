"""`tastestream watch`: lists as they are published, in a live table or as JSON lines."""

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from threading import Event
from typing import Annotated, Any

import typer
from rich.live import Live
from rich.table import Table
from rich.text import Text

from consumers.app import check_cluster
from consumers.commands.context import console, errors, print_json, settings_of
from consumers.commands.presentation import length_text, list_titles, reasons_table
from consumers.explained_lists import NotExplainedError, Reasons, ReasonsAsTheyCome
from consumers.process import on_stop_signal
from consumers.published_lists import PublishedList, age_ms, freshness_ms, list_reader, new_lists
from consumers.settings import Settings
from schemas.identity import POPULAR_USER_ID
from schemas.recommendations import RecommendationList

ROWS_MAX = 15
REFRESHES_PER_S = 4
FRESHNESS_SHOWN_MAX_MS = 86_400_000
"""Over a day between rating and list means that an old rating was replayed, and says nothing of the service."""

Lists = Iterator[PublishedList | None]


@dataclass(slots=True)
class Watch:
    """Whose lists are wanted (no `users`: every user's), and when to stop: after `events` lists or `seconds`."""

    users: Collection[str]
    events: int | None
    seconds: float | None
    seen: int = field(default=0, init=False)
    stopping: Event = field(default_factory=Event, init=False)

    def wanted(self, lists: Lists) -> Lists:
        """The wanted lists as they come, None when there was none for a moment, until it is time to stop."""
        until = None if self.seconds is None else time.monotonic() + self.seconds
        for published in lists:
            if published is None or not self._is_wanted(published.user_id):
                yield None
            else:
                self.seen += 1
                yield published
            if self.stopping.is_set() or self.seen == self.events or (until is not None and time.monotonic() >= until):
                return

    def _is_wanted(self, user_id: str) -> bool:
        return user_id in self.users if self.users else user_id != POPULAR_USER_ID


def watch_command(
    context: typer.Context,
    user: Annotated[
        list[str] | None, typer.Option("--user", help="Only this user's lists, or _popular; repeatable.")
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="Titles per list.")] = 3,
    events: Annotated[int | None, typer.Option("--events", min=1, help="End after so many lists.")] = None,
    seconds: Annotated[float | None, typer.Option("--seconds", min=0, help="End after so many seconds.")] = None,
    why: Annotated[bool, typer.Option("--why", help="Say why the first items are there.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print each list as one line of JSON, for programs.")] = False,
) -> None:
    """Lists as they are published, the newest first; until Ctrl-C, or for so many lists or seconds.

    Age: how long ago the list was made. Freshness: from the rating's own time to its list (none for old ratings).
    Reasons are those that a list carries; of one without, and with a server's store, the user is ranked for anew.
    """
    settings = settings_of(context)
    check_cluster(settings)
    watch = Watch(frozenset(user or ()), events, seconds)
    # Raised inside a callback of the client's, a KeyboardInterrupt would be printed and lost.
    on_stop_signal(watch.stopping.set)
    with list_reader(settings) as reader:
        lists = watch.wanted(new_lists(reader.from_now_on()))
        errors.print(f"watching {settings.recommendations_topic}", style="dim", markup=False, highlight=False)
        if why:
            _print_reasons(settings, lists, top, json=json)
        elif json:
            _print_lines(lists)
        else:
            _show_table(lists, top)


def _print_lines(lists: Lists) -> None:
    for published in lists:
        if published is not None:
            print_json(published.value or _forgotten(published))


def _forgotten(published: PublishedList) -> dict[str, Any]:
    return {"user_id": published.user_id, "forgotten": True}


def _print_reasons(settings: Settings, lists: Lists, top: int, *, json: bool) -> None:
    unexplained = ""
    with ReasonsAsTheyCome(settings, top) as reasons:
        for published in lists:
            if published is None:
                continue
            found: Reasons | None = None
            try:
                found = None if published.value is None else reasons.of(published.value)
            except NotExplainedError as error:
                if not unexplained:
                    unexplained = str(error)
                    errors.print(unexplained, style="yellow", markup=False, highlight=False)
            if json:
                print_json(_with_reasons(published, found))
            elif published.value is not None:
                _print_list(published.value, found, top)


def _with_reasons(published: PublishedList, found: Reasons | None) -> dict[str, Any]:
    if published.value is None:
        return _forgotten(published)
    return {**published.value} if found is None else {**published.value, "why": found.document()}


def _print_list(value: RecommendationList, found: Reasons | None, top: int) -> None:
    console.print(f"\n{value['user_id']}, {value['tier']}", style="bold", markup=False, highlight=False)
    console.print(reasons_table(found.items if found is not None else value["items"][:top]))


def _show_table(lists: Lists, top: int) -> None:
    newest: dict[str, RecommendationList] = {}
    with Live(console=console, refresh_per_second=REFRESHES_PER_S) as live:
        for published in lists:
            if published is not None:
                newest.pop(published.user_id, None)
                if published.value is not None:
                    newest[published.user_id] = published.value
                for user_id in list(newest)[:-ROWS_MAX]:
                    del newest[user_id]
            live.update(_table(list(newest.values())[::-1], top))


def _table(lists: list[RecommendationList], top: int) -> Table:
    now_ms = time.time_ns() // 1_000_000
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("user", "tier", f"first {top} titles", "age", "freshness"):
        table.add_column(column)
    for value in lists:
        table.add_row(
            Text(value["user_id"]),
            value["tier"],
            Text(" · ".join(list_titles(value, top))),
            length_text(age_ms(value, now_ms)),
            _freshness(value),
        )
    return table


def _freshness(value: RecommendationList) -> str:
    found_ms = freshness_ms(value)
    return length_text(found_ms) if found_ms <= FRESHNESS_SHOWN_MAX_MS else "–"
