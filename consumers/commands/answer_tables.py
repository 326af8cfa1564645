"""How answers look on a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from rich.table import Table
from rich.text import Text

from consumers.commands.context import console
from consumers.commands.presentation import item_title, list_table, reasons_table, similar_items_table
from schemas.recommendations import RecommendationList

Answer = Mapping[str, Any]


def print_answer(answer: Answer) -> None:
    """An answer: whom it is about, and what was found for them."""
    console.print(_heading(answer), style="bold", markup=False, highlight=False)
    match answer["type"]:
        case "similar_users":
            console.print(_users_table(answer["users"]))
        case "similar_items":
            console.print(similar_items_table(answer["items"]))
        case _:
            _print_list(answer)
    for name, text in (("widened", "conditions were widened"), ("unknown_items", "nobody knows")):
        if name in answer:
            console.print(f"{text}: {answer[name]}", markup=False, highlight=False)


def error_text(error: Answer) -> str:
    """What is wrong with a request, and the items that an ambiguous name may mean."""
    lines = [f"tastestream: {error['message']}"]
    for candidates in error.get("candidates", {}).values():
        lines += [f"  {one['item_id']}  {one.get('title', '')}" for one in candidates]
    return "\n".join(lines)


def _print_list(answer: Answer) -> None:
    console.print(list_table(cast("RecommendationList", answer), len(answer["items"])))
    if explained := [item for item in answer["items"] if "why" in item]:
        console.print("\nwhy", style="bold")
        console.print(reasons_table(explained))


def _heading(answer: Answer) -> str:
    if answer["type"] == "similar_items":
        return f"items like {item_title(answer['item'])}, by {answer['by']}"
    asker = answer["asker"]
    whom = f"user {asker['user_id']}" if "user_id" in asker else "somebody with these likes"
    mean = "" if asker["avg_rating"] is None else f", mean {asker['avg_rating']:.2f}"
    known = "" if asker["known"] or "user_id" not in asker else ", not known: what is popular"
    tier = f"{answer['tier']}, " if "tier" in answer else ""
    return f"{whom} ({asker['num_ratings']} ratings{mean}{known}): {tier}{answer['ranking']}"


def _users_table(users: Sequence[Answer]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("", "similarity", "shared", "ratings", "mean"):
        table.add_column(column, justify="right")
    names = list(dict.fromkeys(name for user in users for name in user["attributes"]))
    for column in (*(["user"] if any("user_id" in user for user in users) else []), *names):
        table.add_column(column)
    for place, user in enumerate(users, 1):
        mean = "" if user["avg_rating"] is None else f"{user['avg_rating']:.2f}"
        row = [str(place), f"{user['similarity']:.4f}", str(user["overlap"]), str(user["num_ratings"]), mean]
        shown = [user["user_id"]] if "user_id" in user else []
        shown += [str(user["attributes"].get(name, "")) for name in names]
        table.add_row(*row, *(Text(text) for text in shown))
    return table
