"""Requests on the wire: what is taken, what is refused with which code, and that nothing else ever comes out."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from recommender.rules import RankingRules
from schemas.json_schema import schemas
from schemas.questions import QUESTION_MODELS, Question, Recommend, SimilarItems
from schemas.request_conditions import OneOfValues, QueryRules, ValueRange
from schemas.request_errors import ERROR_CODES, RequestError
from schemas.requests import Request, RequestLimits, decode_request

LIMITS = RequestLimits()
VALIDATOR = Draft202012Validator(schemas()["request"])
Drawn = st.SearchStrategy[Any]


def decoded(document: Any, limits: RequestLimits = LIMITS) -> Request:
    return decode_request(orjson.dumps(document), limits)


def question(document: Any) -> Question:
    (found,) = decoded(document).questions
    assert not isinstance(found, RequestError)
    return found


def refused(document: Any, limits: RequestLimits = LIMITS) -> RequestError:
    with pytest.raises(RequestError) as error:
        decoded(document, limits)
    return error.value


def test_a_question_needs_no_more_than_somebody() -> None:
    """Everything but whom it is about has a default; an integer stands for its decimal string."""
    found = question({"user_id": 42})
    assert isinstance(found, Recommend)
    assert (found.user_id, found.n, found.neighbours.attributes) == ("42", 10, {})


def test_conditions_on_attributes_have_four_forms_and_keep_their_order() -> None:
    """A value, several values, bounds, and a middle with a tolerance; the first is the most important."""
    conditions = {"age": {"around": 30, "within": 5}, "gender": "F", "job": ["a", 1, True], "height": {"min": 1.5}}
    about = question({"user_id": "a", "neighbours": {"attributes": conditions}})
    assert isinstance(about, Recommend)
    found = about.neighbours.attributes
    assert list(found) == list(conditions)
    assert list(found.values()) == [
        ValueRange(25, 35),
        OneOfValues(("F",)),
        OneOfValues(("a", 1, True)),
        ValueRange(1.5, float("inf")),
    ]


@pytest.mark.parametrize(
    "condition",
    [{}, [], None, {"min": "1"}, {"min": True}, {"around": 1}, {"around": 1, "within": -1}, {"min": 2, "max": 1}, [[]]],
)
def test_a_condition_that_cannot_hold_or_be_read_is_refused(condition: Any) -> None:
    """Half a range, a range upside down, and what is neither value nor range."""
    assert refused({"user_id": "a", "neighbours": {"attributes": {"age": condition}}}).code == "bad_filter"


@pytest.mark.parametrize(
    ("like", "code"),
    [
        ({"item_id": 1}, "missing_field"),
        ({"like": 1}, "missing_field"),
        ({"item_id": 1, "like": 1, "rating": 5}, "contradiction"),
        ({"item_id": 1, "title": "x", "like": 1}, "contradiction"),
        ({"item_id": 1, "like": 2}, "wrong_type"),
        ({"item_id": 1, "like": True}, "wrong_type"),
        ({"item_id": 1, "like": "1"}, "wrong_type"),
        ({"item_id": 1, "rating": "5"}, "wrong_type"),
        ({"item_id": -1, "like": 1}, "bad_item_id"),
        ({"item_id": 1, "like": 1, "weight": 2}, "unknown_field"),
    ],
)
def test_a_like_has_one_name_and_one_judgement(like: dict[str, Any], code: str) -> None:
    """Two or none of either, or what is none, is refused, and the refusal says which like it is."""
    error = refused({"likes": [{"item_id": 9, "like": -1}, like]})
    assert error.code == code
    assert "likes.1" in str(error)


def test_limits_are_the_deployment_s() -> None:
    """Bytes, questions, likes and the length of an answer, each with its limit and what exceeds it."""
    small = RequestLimits(request_max_bytes=200, questions_max=2, likes_max=1, n_max=5)
    like = {"item_id": 1, "like": 1}
    assert refused({"user_id": "a" * 200}, small).code == "request_too_large"
    assert refused({"type": "batch", "questions": [{"user_id": "a"}] * 3}, small).code == "limit_exceeded"
    assert refused({"likes": [like, like]}, small).code == "limit_exceeded"
    assert refused({"user_id": "a", "n": 6}, small).code == "limit_exceeded"


def test_all_items_that_a_request_has_explained_are_limited_together() -> None:
    """However they are divided among its questions: each of them costs searches while ratings wait."""
    small = RequestLimits(explain_max=4)
    halves = {"type": "batch", "questions": [{"user_id": "a", "explain": 2}, {"user_id": "b", "explain": 2}]}
    assert len(decoded(halves, small).questions) == 2
    halves["questions"].append({"user_id": "c", "explain": 1})  # type: ignore[attr-defined]  # a list of questions
    assert refused(halves, small).code == "limit_exceeded"
    assert refused({"user_id": "a", "explain": 5}, small).code == "limit_exceeded"


@pytest.mark.parametrize("name", [{"item_id": 6}, {"title": "Heat (1995)"}, {"imdb": "tt0113277"}, {"tmdb": "949"}])
def test_a_question_about_an_item_names_it_once(name: dict[str, Any]) -> None:
    """By one name; by none, by two, or with somebody whom it could be about, it is refused."""
    assert isinstance(found := question({"type": "similar_items", **name}), SimilarItems)
    assert (found.name, found.by, found.n) == (next(iter(name.items())), "content", 10)
    assert refused({"type": "similar_items"}).code == "missing_field"
    assert refused({"type": "similar_items", "item_id": 1, "title": "x"}).code == "contradiction"
    assert refused({"type": "similar_items", **name, "user_id": "a"}).code == "unknown_field"
    assert refused({"type": "similar_items", **name, "by": "taste"}).code == "wrong_type"


def test_a_question_of_a_batch_that_cannot_be_read_is_an_error_of_its_own() -> None:
    """The others are read, in order."""
    request = decoded({"type": "batch", "questions": [{"user_id": "a"}, 3, {"n": 1}, {"likes": []}, {"user_id": "b"}]})
    assert request.is_batch
    codes = [one.code if isinstance(one, RequestError) else one.model_dump()["user_id"] for one in request.questions]
    assert codes == ["a", "not_an_object", "missing_field", "empty_likes", "b"]


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ({"type": "batch"}, "missing_field"),
        ({"type": "batch", "questions": []}, "missing_field"),
        ({"type": "batch", "questions": [{"user_id": "a"}], "n": 5}, "unknown_field"),
        ({"type": "batch", "questions": [{"user_id": "a"}], "schema": 2}, "unsupported_schema"),
        ({"type": "batch", "questions": [{"user_id": "a"}], "schema": True}, "unsupported_schema"),
        ({"type": ["x"], "user_id": "a"}, "unknown_type"),
    ],
)
def test_a_batch_is_as_strict_as_a_question(document: dict[str, Any], code: str) -> None:
    """What is missing, unknown or of a later schema is refused as a whole."""
    assert refused(document).code == code


def test_batches_are_not_nested() -> None:
    """A batch within a batch is no kind of question."""
    (inner,) = decoded({"type": "batch", "questions": [{"type": "batch", "questions": []}]}).questions
    assert isinstance(inner, RequestError)
    assert inner.code == "unknown_type"


def test_the_rules_of_a_request_are_rules_of_the_ranking() -> None:
    """Each names a field of the rules; what decides about the store is not among them."""
    names = set(QueryRules.model_fields)
    assert names <= {*RankingRules.__dataclass_fields__}
    assert not names & {"value", "idf", "list_length"}


def test_a_refusal_keeps_nothing_of_its_request_alive() -> None:
    """No traceback of the validator, and with it no request, hangs on an error."""
    error = refused({"user_id": "a", "n": "x"})
    assert error.__cause__ is None
    assert error.__context__ is None


VALUES: Drawn = st.sampled_from(
    [None, True, False, 0, 1, -1, 5, 2**70, 1.5, "", "F", "x" * 300, [], [1], ["a"], {}, {"min": 1}, {"around": 1}]
)
LIKES: Drawn = st.lists(
    st.dictionaries(st.sampled_from(["item_id", "title", "imdb", "tmdb", "like", "rating", "x"]), VALUES, max_size=3),
    max_size=3,
)
PARTS: Drawn = st.dictionaries(
    st.sampled_from(["attributes", "min_ratings", "active_since", "since", "genres", "year_from", "include", "x"]),
    VALUES,
    max_size=3,
)
DOCUMENTS: Drawn = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from([*QUESTION_MODELS, "batch", "x", 1, None]),
        "user_id": VALUES,
        "likes": st.one_of(LIKES, VALUES),
        "n": VALUES,
        "neighbours": st.one_of(PARTS, VALUES),
        "votes": st.one_of(PARTS, VALUES),
        "items": st.one_of(PARTS, VALUES),
        "rules": st.one_of(st.dictionaries(st.sampled_from(["neighbours", "position_floor"]), VALUES), VALUES),
        "questions": VALUES,
        "schema": VALUES,
    },
)
MANY = settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.too_slow])


def asked(value: bytes) -> Request | RequestError:
    """What bytes are."""
    try:
        return decode_request(value, LIMITS)
    except RequestError as error:
        return error


@MANY
@given(st.binary(max_size=60))
def test_bytes_are_a_request_or_an_error(value: bytes) -> None:
    """No other exception leaves the decoder, whatever the bytes, and every error has a code of the list."""
    found = asked(value)
    assert isinstance(found, Request) or found.code in ERROR_CODES


@MANY
@given(DOCUMENTS)
def test_what_is_decoded_is_valid_by_the_schema(document: dict[str, Any]) -> None:
    """The published schema takes every request that the decoder takes; every refusal has a code and a sentence."""
    found = asked(json.dumps(document).encode())
    if isinstance(found, RequestError):
        assert found.code in ERROR_CODES
        assert str(found)
    elif not any(isinstance(one, RequestError) for one in found.questions):
        VALIDATOR.validate(document)


def test_what_is_not_asked_for_is_shared() -> None:
    """Conditions are frozen, so two questions that name none have the same ones: none are made anew per request."""
    first, second = (question({"user_id": "42"}) for _ in range(2))
    assert isinstance(first, Recommend)
    assert isinstance(second, Recommend)
    assert first.neighbours is second.neighbours
    assert first.rules is second.rules
    assert first.items is second.items
