"""What every command shares: the configuration file, and how results and settings are read and printed."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn, Protocol

import orjson
import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from consumers.exit_codes import ExitCode
from consumers.settings import Settings, load_settings

console = Console()
errors = Console(stderr=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


@dataclass(frozen=True, slots=True)
class CommandContext:
    """What stands before the command's name."""

    config_file: Path | None = None

    def settings(self, given: Mapping[str, Any] | None = None) -> Settings:
        """The settings from every source, with what the command line gives on top.

        Raises:
            SettingsError: they cannot be used.
        """
        return load_settings(self.config_file, given)


def settings_of(context: typer.Context, given: Mapping[str, Any] | None = None) -> Settings:
    """The settings for a command."""
    shared: CommandContext = context.obj
    return shared.settings(given)


def print_json(document: Any) -> None:
    """One JSON document on one line of standard output."""
    typer.echo(orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY).decode())


def refuse(message: str) -> NoReturn:
    """End the command because what was asked for is not there: one line, exit code 1."""
    errors.print(f"tastestream: {message}", style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(ExitCode.CHECK_FAILED)


class _SpeedColumn(ProgressColumn):
    """How much is done per second, lately."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s", style="progress.data.speed")


class ProgressReport(Protocol):
    """Tells how much is done, of how much (None: not known), and what is being done where that changes."""

    def __call__(self, done: int, total: int | None, doing: str | None = None, /) -> None:
        """Show it."""


@contextmanager
def progress_bar(description: str) -> Iterator[ProgressReport]:
    """A bar on standard error, where that is a terminal, moved by what this gives."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _SpeedColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=errors, disable=not errors.is_terminal, transient=True) as progress:
        task = progress.add_task(description, total=None)

        def report(done: int, total: int | None, doing: str | None = None, /) -> None:
            shown = f"{description}: {doing}" if doing else description
            progress.update(task, completed=done, total=total, description=shown)

        yield report
