"""`tastestream run`: the service."""

from typing import Annotated

import typer

from consumers.app import AcceptedGaps, run
from consumers.commands.context import settings_of
from consumers.logs import configure_logs

GapOption = Annotated[
    list[str] | None,
    typer.Option(
        "--accept-gap",
        metavar="TOPIC:PARTITION",
        help="Go on although events that the store lacks are gone from this partition; may be repeated.",
    ),
]

ShadowOption = Annotated[
    str | None,
    typer.Option(
        "--shadow",
        metavar="PRESET",
        help="Judge a second preset on the same ratings, without publishing its lists; see `tastestream metrics`.",
    ),
]


def run_command(context: typer.Context, accept_gap: GapOption = None, shadow: ShadowOption = None) -> None:
    """Consume ratings, keep the store up to date, publish fresh lists; until SIGTERM or Ctrl-C."""
    settings = settings_of(context, {"evaluation": {"shadow": shadow}})
    configure_logs(settings.log)
    run(settings, accepted_gaps(accept_gap or []))


def accepted_gaps(texts: list[str]) -> AcceptedGaps:
    """Partitions by topic.

    Raises:
        BadParameter: a text is not TOPIC:PARTITION.
    """
    gaps: AcceptedGaps = {}
    for text in texts:
        topic, _, partition = text.rpartition(":")
        if not topic or not partition.isdigit():
            raise typer.BadParameter(f"{text!r} is not TOPIC:PARTITION", param_hint="--accept-gap")
        gaps.setdefault(topic, []).append(int(partition))
    return gaps
