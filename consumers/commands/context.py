"""What every command shares: the configuration file, and how results and settings are read and printed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console

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
