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
from consumers.commands.question_options import conditions, likes, named_item, rules, wishes
from consumers.exit_codes import ExitCode
from consumers.settings import Settings
from recommender.similar_items import Likeness

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
    like_genre: Annotated[
        Texts | None, typer.Option("--like-genre", help="A genre that would be liked now, user or not.")
    ] = None
    like_tag: Annotated[Texts | None, typer.Option("--like-tag", help="A tag that would be liked now.")] = None
    similar_users: Annotated[bool, typer.Option("--similar-users", help="The nearest users instead of items.")] = False
    similar_items: Annotated[
        str | None, typer.Option("--similar-items", help="The items most like this one: id, title, imdb:ID or tmdb:ID.")
    ] = None
    by: Annotated[Likeness, typer.Option("--by", help="What makes items similar.")] = "content"
    why: Annotated[bool, typer.Option("--why", help="Say why the items are there, as many as may be asked for.")] = (
        False
    )
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

    def document(self, explain_max: int) -> dict[str, Any]:
        """The request; at most so many items are explained."""
        if self.similar_items is not None:
            return {"type": "similar_items", "n": self.top, **named_item(self.similar_items), "by": self.by}
        kind = "similar_users" if self.similar_users else "recommend"
        named = likes(self.like or (), self.dislike or ())
        changed = rules(self.rule or ())
        return {
            "type": kind,
            "n": self.top,
            **({} if self.user is None else {"user_id": self.user}),
            **({"likes": named} if named else {}),
            **wishes(self.like_genre or (), self.like_tag or ()),
            **conditions(self.filter or ()),
            **({"rules": changed} if changed else {}),
            **({"explain": min(self.top, explain_max)} if self.why else {}),
        }

    def refuse_nobody(self) -> None:
        """Check that the question is about somebody or something, and not about both.

        Raises:
            typer.BadParameter: it is not.
        """
        about_somebody = self.user is not None or bool(self.like or self.dislike or self.like_genre or self.like_tag)
        if self.similar_items is None and not about_somebody:
            raise typer.BadParameter(
                "name a user, or what somebody likes (--like, --like-genre, --like-tag)", param_hint="USER"
            )
        if self.similar_items is not None and (about_somebody or self.similar_users or self.why):
            raise typer.BadParameter("a question about an item is about nobody", param_hint="--similar-items")
        if self.similar_users and self.why:
            raise typer.BadParameter("users are not explained, items are", param_hint="--why")


def _ask(context: typer.Context, options: AskOptions) -> None:
    """Ask the running workers for a list or for the nearest users, of a user or of likes; or for items like an item.

    tastestream ask 42 --filter age=30±5 --filter genres=Comedy

    tastestream ask --like "Heat (1995)" --like 318=4.5 --dislike imdb:tt0113277

    tastestream ask --like-genre Noir --like-tag heist

    tastestream ask 42 --why

    tastestream ask 42 --similar-users

    tastestream ask --similar-items "Heat (1995)" --by ratings
    """
    options.refuse_nobody()
    settings = settings_of(context)
    if not settings.request_topics:
        refuse("requests are off (topics.requests)")
    find_topics(settings)
    _print(options, _answered(settings, options))


def _answered(settings: Settings, options: AskOptions) -> dict[str, Any]:
    document = options.document(settings.requests.explain_items_max)
    reply = ask(settings, document, uuid.uuid4().hex, options.timeout_s)
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
