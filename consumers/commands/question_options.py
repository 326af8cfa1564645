"""Questions as they are typed: likes, conditions and rules on the command line, as the request has them."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import typer

_AROUND = re.compile(r"(-?[0-9.]+)(?:±|\+/?-)([0-9.]+)")
_RANGE = re.compile(r"(-?[0-9.]*)\.\.(-?[0-9.]*)")
_LINKS = ("imdb", "tmdb", "title")

_NEIGHBOUR_CONDITIONS = frozenset({"min_ratings", "active_since"})
_ITEM_LISTS = frozenset({"genres", "tags", "include", "exclude"})
_VOTES = {"votes_since": "since", "votes_within_days": "within_days"}

Fields = dict[str, Any]


def likes(liked: Iterable[str], disliked: Iterable[str]) -> list[Fields]:
    """What `--like` and `--dislike` name: an id, a title, `imdb:` or `tmdb:` and an id; `=` and a rating after it."""
    return [_like(text) for text in liked] + [named_item(text) | {"like": -1} for text in disliked]


def named_item(text: str) -> Fields:
    """An item as it is typed: an id, a title, `imdb:` or `tmdb:` and an id."""
    kind, colon, rest = text.partition(":")
    if colon and kind in _LINKS:
        return {kind: rest.strip()}
    return {"item_id": int(text)} if text.isdecimal() else {"title": text}


def wishes(genres: Sequence[str], tags: Sequence[str]) -> Fields:
    """What `--like-genre` and `--like-tag` name; nothing where they are not given."""
    named = {"genres": list(genres), "tags": list(tags)}
    given = {kind: names for kind, names in named.items() if names}
    return {"wishes": given} if given else {}


def conditions(typed: Iterable[str]) -> Fields:
    """The conditions of a question, as `--filter NAME=CONDITION` gives them.

    Raises:
        typer.BadParameter: one of them has no value, or one that cannot be.
    """
    found: dict[str, Fields] = {}
    for text in typed:
        name, equals, value = text.partition("=")
        if not equals or not value:
            raise typer.BadParameter(f"{text!r} is no condition: NAME=VALUE", param_hint="--filter")
        part, field, wanted = _condition(name.strip(), value.strip())
        found.setdefault(part, {})[field] = wanted
    return _with_attributes(found)


def rules(typed: Iterable[str]) -> Fields:
    """The rules that a question changes, as `--rule NAME=NUMBER` gives them.

    Raises:
        typer.BadParameter: one of them is no number.
    """
    found: Fields = {}
    for text in typed:
        name, _, value = text.partition("=")
        found[name.strip()] = _number(value.strip(), f"{text!r} is no rule: NAME=NUMBER", "--rule")
    return found


def _like(text: str) -> Fields:
    name, equals, rating = text.rpartition("=")
    if equals and _is_number(rating):
        return named_item(name) | {"rating": float(rating)}
    return named_item(text) | {"like": 1}


def _condition(name: str, value: str) -> tuple[str, str, Any]:
    """Part of the question, field and value."""
    if name in _VOTES:
        return "votes", _VOTES[name], _plain(value)
    if name in _NEIGHBOUR_CONDITIONS:
        return "neighbours", name, _plain(value)
    if name in _ITEM_LISTS:
        return "items", name, [_plain(one) if name in {"include", "exclude"} else one for one in _split(value)]
    if name == "popular_now_days":
        return "items", name, _plain(value)
    return ("years", name, value) if name == "years" else ("attributes", name, _attribute(value))


def _with_attributes(found: dict[str, Fields]) -> Fields:
    attributes, years = found.pop("attributes", None), found.pop("years", None)
    if attributes is not None:
        found.setdefault("neighbours", {})["attributes"] = attributes
    if years is not None:
        least, greatest = _range(str(years["years"])) or _bad_years()
        bounds = {"year_from": least, "year_to": greatest}
        found.setdefault("items", {}).update({name: year for name, year in bounds.items() if year is not None})
    return dict(found)


def _attribute(value: str) -> Any:
    if around := _AROUND.fullmatch(value):
        return {"around": _plain(around[1]), "within": _plain(around[2])}
    if (bounds := _range(value)) is not None:
        least, greatest = bounds
        return {name: bound for name, bound in (("min", least), ("max", greatest)) if bound is not None}
    values = [_plain(one) for one in _split(value)]
    return values[0] if len(values) == 1 else values


def _range(value: str) -> tuple[Any, Any] | None:
    found = _RANGE.fullmatch(value)
    if found is None or not (found[1] or found[2]):
        return None
    return (_plain(found[1]) if found[1] else None), (_plain(found[2]) if found[2] else None)


def _bad_years() -> tuple[Any, Any]:
    raise typer.BadParameter("years are a range, as in years=1990..1999", param_hint="--filter")


def _split(value: str) -> Sequence[str]:
    return [part.strip() for part in value.split(",")]


def _plain(text: str) -> Any:
    """A number or a boolean where the text is one."""
    if text in {"true", "false"}:
        return text == "true"
    return _number(text, "", "") if _is_number(text) else text


def _number(text: str, message: str, hint: str) -> int | float:
    if not _is_number(text):
        raise typer.BadParameter(message, param_hint=hint)
    return int(text) if re.fullmatch("-?[0-9]+", text) else float(text)


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?([0-9]+\.?[0-9]*|\.[0-9]+)", text) is not None
