"""`tastestream config`: what the settings are, where they come from, and whether a worker would start with them."""

import typer
from rich.table import Table
from rich.text import Text

from consumers.commands.context import Json, console, print_json, settings_of
from consumers.exit_codes import ExitCode
from consumers.permissions import PermissionRow, worker_permissions
from consumers.preflight import Finding, preflight
from consumers.settings import SettingRow

app = typer.Typer(help="The settings, and what they lead to.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """The settings, and what they lead to."""


@app.command("check")
def check_command(context: typer.Context, json: Json = False) -> None:
    """Every setting with its source; then whether Kafka and the store answer. Ends with the first failure's exit code.

    Nothing is made or changed, and no secret is shown.
    """
    settings = settings_of(context)
    rows, found = settings.described(), preflight(settings)
    if json:
        print_json({"settings": [row._asdict() for row in rows], "checks": [_document(finding) for finding in found]})
    else:
        console.print(_settings_table(rows))
        console.print()
        for finding in found:
            console.print(_line(finding), soft_wrap=True)
    raise typer.Exit(next((finding.code for finding in found if finding.code is not ExitCode.OK), ExitCode.OK))


@app.command("permissions")
def permissions_command(context: typer.Context, json: Json = False) -> None:
    """What the Kafka user of a worker must be allowed to do, where the cluster checks it: these ACLs, and no more."""
    rows = [permission.row() for permission in worker_permissions(settings_of(context))]
    if json:
        print_json([row._asdict() for row in rows])
    else:
        console.print(_permissions_table(rows))


def _permissions_table(rows: list[PermissionRow]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in PermissionRow._fields:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _document(finding: Finding) -> dict[str, object]:
    ok = finding.code is ExitCode.OK
    return {"what": finding.what, "ok": ok, "exit_code": int(finding.code), "detail": finding.detail}


def _settings_table(rows: list[SettingRow]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in SettingRow._fields:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row), style=None if row.source == "default" else "bold")
    return table


def _line(finding: Finding) -> Text:
    ok = finding.code is ExitCode.OK
    verdict = ("ok  ", "green") if ok else ("FAIL", "bold red")
    return Text.assemble(verdict, f"  {finding.what}: {finding.detail}")
