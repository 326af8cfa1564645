"""`tastestream topics`: the topics and the groups as tastestream needs them."""

from typing import Annotated

import typer

from consumers.cluster import Cluster
from consumers.commands.context import Json, console, print_json, settings_of
from consumers.exit_codes import ExitCode
from consumers.settings_mapping import topic_plan
from consumers.topics import differences, group_differences, make

app = typer.Typer(help="The topics and the groups' timings.", no_args_is_help=True)


@app.command("create")
def create(
    context: typer.Context,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit 1 where the cluster differs.")] = False,
    json: Json = False,
) -> None:
    """Make the topics (partitions, compaction, retention) and set the groups' timings; safe to repeat."""
    settings = settings_of(context)
    cluster = Cluster(settings.kafka.client_config(), settings.kafka.request_timeout_s)
    cluster.check_reachable()
    specs, groups = topic_plan(settings)
    if check:
        found = differences(cluster.topics([spec.name for spec in specs]), specs)
        found += [problem for group in groups for problem in group_differences(cluster, group)]
        _print({"differences": found}, found or ["the cluster is as it should be"], json=json)
        raise typer.Exit(ExitCode.CHECK_FAILED if found else ExitCode.OK)
    done = make(cluster, specs, groups, settings.topics.replication_factor)
    _print({"done": done}, done, json=json)


def _print(document: dict[str, list[str]], lines: list[str], *, json: bool) -> None:
    if json:
        print_json(document)
    else:
        console.print("\n".join(lines), markup=False, highlight=False)
