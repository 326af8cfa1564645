"""`tastestream ask`: a question to the running workers, through Kafka, and their answer."""

import uuid
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from consumers.answering.client import ask
from consumers.answering.opening import find_topics
from consumers.commands.answer_tables import error_text, print_answer
from consumers.commands.context import errors, print_json, refuse, settings_of
from consumers.commands.options import command_of
from consumers.commands.question_options import conditions, likes, rules
from consumers.exit_codes import ExitCode
from consumers.settings import Settings

ASK_TIMEOUT_S = 10.0

Texts = list[str]


@dataclass(frozen=True, slots=True)
class AskOptions:
    """What `tastestream ask` takes."""

    user: Annotated[str | None, typer.Argument(help="User id; none where likes are given.")] = None
    like: Annotated[
        Texts | None, typer.Option("--like", help="Item id, title, imdb:ID or tmdb:ID; =RATING after it.")
    ] = None
    dislike: Annotated[Texts | None, typer.Option("--dislike", help="The same, disliked.")] = None
    similar_users: Annotated[bool, typer.Option("--similar-users", help="The nearest users instead of items.")] = False
    filter: Annotated[
        Texts | None,
        typer.Option(
            "--filter",
            help="Neighbours: age=30±5, age=20..30, gender=F, occupation=a,b, min_ratings=20, active_since=TIME. "
            "Votes: votes_since=TIME, votes_within_days=30. "
            "Items: genres=a,b, tags=a,b, years=1990..1999, include=1,2, exclude=3, popular_now_days=30.",
        ),
    ] = None
    rule: Annotated[Texts | None, typer.Option("--rule", help="A rule to ask by, such as neighbours=50.")] = None
    top: Annotated[int, typer.Option("--top", "-n", min=1, help="Items, or users, of the answer.")] = 10
    timeout_s: Annotated[
        float, typer.Option("--timeout-s", min=0.1, max=3_600, help="How long to wait, in seconds.")
    ] = ASK_TIMEOUT_S
    json: Annotated[bool, typer.Option("--json", help="Print the reply itself, for programs.")] = False

    def document(self) -> dict[str, Any]:
        """The request."""
        kind = "similar_users" if self.similar_users else "recommend"
        named = likes(self.like or (), self.dislike or ())
        changed = rules(self.rule or ())
        return {
            "type": kind,
            "n": self.top,
            **({} if self.user is None else {"user_id": self.user}),
            **({"likes": named} if named else {}),
            **conditions(self.filter or ()),
            **({"rules": changed} if changed else {}),
        }


def _ask(context: typer.Context, options: AskOptions) -> None:
    """Ask the running workers for a list, or for the nearest users: of a user, or of likes without a user.

    tastestream ask 42 --filter age=30±5 --filter genres=Comedy

    tastestream ask --like "Heat (1995)" --like 318=4.5 --dislike imdb:tt0113277

    tastestream ask 42 --similar-users
    """
    if options.user is None and not (options.like or options.dislike):
        raise typer.BadParameter("name a user, or what somebody likes (--like)", param_hint="USER")
    settings = settings_of(context)
    if not settings.request_topics:
        refuse("requests are off (topics.requests)")
    find_topics(settings)
    _print(options, _answered(settings, options))


def _answered(settings: Settings, options: AskOptions) -> dict[str, Any]:
    reply = ask(settings, options.document(), uuid.uuid4().hex, options.timeout_s)
    if reply is None:
        refuse(
            f"no worker answered within {options.timeout_s:g} s: does `tastestream run` run, and does its log say "
            "that requests are answered?"
        )
    return reply


def _print(options: AskOptions, reply: dict[str, Any]) -> None:
    if options.json:
        print_json(reply)
    elif "error" not in reply:
        print_answer(reply)
    if "error" not in reply:
        return
    if not options.json:
        errors.print(error_text(reply["error"]), style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(ExitCode.CHECK_FAILED)


ask_command = command_of(AskOptions, _ask)
