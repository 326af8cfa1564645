"""Questions as they are typed on the command line."""

from typing import Any

import orjson
import pytest
import typer

from consumers.commands.ask import AskOptions
from consumers.commands.question_options import conditions, likes, rules, wishes
from schemas.request_errors import RequestError
from schemas.requests import RequestLimits, decode_request


@pytest.mark.parametrize(
    ("text", "like"),
    [
        ("318", {"item_id": 318, "like": 1}),
        ("318=4.5", {"item_id": 318, "rating": 4.5}),
        ("Heat (1995)", {"title": "Heat (1995)", "like": 1}),
        ("Heat (1995)=2", {"title": "Heat (1995)", "rating": 2.0}),
        ("title:1917", {"title": "1917", "like": 1}),
        ("imdb:tt0113277", {"imdb": "tt0113277", "like": 1}),
        ("tmdb:949=-1", {"tmdb": "949", "rating": -1.0}),
        ("E=mc²", {"title": "E=mc²", "like": 1}),
        ("Alien: Covenant", {"title": "Alien: Covenant", "like": 1}),
    ],
)
def test_a_like_is_an_id_a_title_or_an_id_elsewhere(text: str, like: dict[str, Any]) -> None:
    """Digits are an id, a number after the last = is a rating, everything else is a title."""
    assert likes([text], []) == [like]


def test_what_is_disliked_is_never_a_rating() -> None:
    """A dislike is −1."""
    assert likes([], ["318", "Heat (1995)"]) == [{"item_id": 318, "like": -1}, {"title": "Heat (1995)", "like": -1}]


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("age=30±5", {"around": 30, "within": 5}),
        ("age=30+-5", {"around": 30, "within": 5}),
        ("age=30+/-2.5", {"around": 30, "within": 2.5}),
        ("age=20..30", {"min": 20, "max": 30}),
        ("age=..30", {"max": 30}),
        ("age=-5..", {"min": -5}),
        ("gender=F", "F"),
        ("premium=true", True),
        ("job=engineer, writer", ["engineer", "writer"]),
    ],
)
def test_an_attribute_is_a_value_several_a_range_or_around_a_middle(text: str, condition: Any) -> None:
    """Any name that is no condition of its own is an attribute."""
    (name, *_) = text.split("=")
    assert conditions([text]) == {"neighbours": {"attributes": {name: condition}}}


def test_wishes_are_genres_and_tags() -> None:
    """Only what is named stands in the request, and wishes alone are a question."""
    assert wishes(["Noir"], ["heist", "rain"]) == {"wishes": {"genres": ["Noir"], "tags": ["heist", "rain"]}}
    assert wishes([], ["heist"]) == {"wishes": {"tags": ["heist"]}}
    assert wishes([], []) == {}
    decode_request(orjson.dumps(AskOptions(like_genre=["Noir"]).document(0)), RequestLimits())


def test_all_conditions_together() -> None:
    """Each goes to its part of the question."""
    typed = ["gender=F", "min_ratings=20", "active_since=2020-01-01T00:00:00Z", "votes_within_days=30"]
    typed += ["genres=Crime,Drama", "tags=heist", "years=1990..1999", "include=1,2", "exclude=3", "popular_now_days=9"]
    assert conditions(typed) == {
        "neighbours": {"attributes": {"gender": "F"}, "min_ratings": 20, "active_since": "2020-01-01T00:00:00Z"},
        "votes": {"within_days": 30},
        "items": {
            "genres": ["Crime", "Drama"],
            "tags": ["heist"],
            "year_from": 1990,
            "year_to": 1999,
            "include": [1, 2],
            "exclude": [3],
            "popular_now_days": 9,
        },
    }


@pytest.mark.parametrize("typed", ["age", "age=", "years=1990"])
def test_what_is_no_condition_is_refused(typed: str) -> None:
    """Without a value, and years that are no range."""
    with pytest.raises(typer.BadParameter):
        conditions([typed])


def test_a_rule_is_a_number() -> None:
    """By its name; anything else is refused here, unknown names by the worker."""
    assert rules(["neighbours=50", "position_floor=.5"]) == {"neighbours": 50, "position_floor": 0.5}
    with pytest.raises(typer.BadParameter):
        rules(["neighbours=many"])


@pytest.mark.parametrize(
    "options",
    [
        AskOptions("42"),
        AskOptions("42", similar_users=True, top=3),
        AskOptions("42", why=True, top=30),
        AskOptions(similar_items="imdb:tt0113277", by="ratings"),
        AskOptions(like=["Heat (1995)", "318=4.5"], dislike=["5"]),
        AskOptions("42", filter=["age=30±5", "gender=F", "genres=Crime", "years=1990.."], rule=["neighbours=9"]),
    ],
)
def test_what_is_typed_is_a_request(options: AskOptions) -> None:
    """The worker's own decoder takes it."""
    (question,) = decode_request(orjson.dumps(options.document(explain_max=20)), RequestLimits()).questions
    assert not isinstance(question, RequestError)
