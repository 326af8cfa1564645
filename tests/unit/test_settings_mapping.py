"""From settings to what the core and the wire take."""

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from consumers.settings import Settings
from consumers.settings_mapping import history_limits, ranking_rules, store_settings, wanted_indexes, wire_rules
from recommender.item_filters import ItemFilter
from recommender.profile import HistoryLimits
from recommender.rules import PRESETS
from recommender.standing_filters import StandingFilters
from schemas.decode import WireRules
from schemas.scale import Scale


def test_default_settings_are_the_defaults_of_core_and_wire() -> None:
    """Law: the default of a setting and the default in the code it feeds are the same number."""
    settings = Settings()
    assert ranking_rules(settings) == PRESETS["default"]
    assert wire_rules(settings) == WireRules()
    assert history_limits(settings) == HistoryLimits()


def test_another_scale_reaches_rules_wire_and_store() -> None:
    """Law: the scale maps onto five stars in the value rule, and so names another vector in the store."""
    settings = Settings(
        catalogue={"scale_min": -1, "scale_max": 1, "item_ids": "string", "refuse_unknown_fields": True}
    )
    rules = ranking_rules(settings)
    assert (rules.value.slope, rules.value.intercept) == Scale(-1, 1).five_star_affine()
    assert (rules.scale_min, rules.scale_max) == (-1, 1)
    assert wire_rules(settings) == WireRules(Scale(-1, 1), "string", refuse_unknown_fields=True)
    store = store_settings(settings)
    assert (store.catalogue, store.scale_min, store.scale_max) == ("string", -1, 1)
    assert store.value_rule == rules.value.fingerprint != store_settings(Settings()).value_rule


def test_lengths_come_from_the_settings() -> None:
    """Law: query-side numbers follow the settings and leave the store's own settings alone."""
    settings = Settings(
        ranking={"list_length": 7, "neighbours": 9, "diversity": 0.2},
        limits={"history_max_entries": 3, "seen_max_items": 4},
    )
    rules = ranking_rules(settings)
    assert (rules.list_length, rules.neighbours, rules.diversity) == (7, 9, 0.2)
    assert history_limits(settings) == HistoryLimits(3, 4)
    assert store_settings(settings) == store_settings(Settings())


@pytest.mark.parametrize(
    ("setting", "value", "rule", "expected"),
    [
        ("query_events", 0, "query_events", 0),
        ("query_half_life_events", 3, "query_half_life", 3),
        ("similarity_exponent", 1, "similarity_exponent", 1),
        ("score", "mean", "score", "mean"),
        ("position_floor", 1, "position_floor", 1),
        ("votes_within_days", 30, "votes_within_days", 30),
        ("cold_popularity", 0.3, "cold_popularity", 0.3),
        ("votes", "similarities", "vote_slope", 0),
        ("votes", "similarities", "vote_offset", 1),
        ("votes", "ratings", "vote_slope", 1),
        ("trend", False, "tuning_every_lists", 0),
        ("trend", True, "tuning_every_lists", 4),
        ("idf", True, "idf", True),
    ],
)
def test_each_technique_of_a_list_has_a_setting(setting: str, value: object, rule: str, expected: object) -> None:
    """Law: it changes that number of the rules, and what is stored stays what it is."""
    rules = ranking_rules(Settings(ranking={setting: value}))
    assert getattr(rules, rule) == expected
    assert rules.value == PRESETS["default"].value


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("value_offset", 0, {"offset": 0}),
        ("norm_damping", "off", {"damping": None}),
        ("norm_damping", 5, {"damping": 5}),
        ("norm_power", 1, {"norm_power": 1}),
        ("prune_below", 0.1, {"prune_below": 0.1}),
        ("decay_per_year", 0.95, {"decay_per_year": 0.95}),
        ("duplicates", "mean", {"duplicates": "mean"}),
    ],
)
def test_each_technique_of_what_is_stored_has_a_setting(setting: str, value: object, expected: dict[str, Any]) -> None:
    """Law: it changes the value rule, and so names another vector in the store."""
    settings = Settings(ranking={setting: value})
    assert ranking_rules(settings).value == replace(PRESETS["default"].value, **expected)
    assert store_settings(settings).value_rule != store_settings(Settings()).value_rule
    assert history_limits(settings).averages == (setting == "duplicates")


def test_z_scores_are_measured_in_stars_whatever_the_scale() -> None:
    """Law: the mean maps onto five stars as ratings do, the deviation by the slope alone; the user's mean goes back."""
    ten = {"scale_min": 0, "scale_max": 10}
    z_scores = {"preset": "article", "global_mean": 7, "global_deviation": 2}
    rule = ranking_rules(Settings(catalogue=ten, ranking=z_scores)).value
    assert (rule.centre, rule.spread) == (3.5, 1.0)
    rule = ranking_rules(Settings(ranking={"centre": "global", "global_mean": 3, "global_deviation": 2})).value
    assert (rule.centre, rule.spread) == (3, 2)
    assert ranking_rules(Settings(ranking={"preset": "article", "centre": "user"})).value.centre is None


def test_a_store_is_made_for_the_weighing_of_its_preset() -> None:
    """Law: the first article's preset weighs rare items more, the default does not, and the setting overrules both."""
    assert not store_settings(Settings()).idf
    assert store_settings(Settings(ranking={"preset": "tutorial"})).idf
    assert not store_settings(Settings(ranking={"preset": "tutorial", "idf": False})).idf


def test_a_server_indexes_and_edge_does_not_unless_told() -> None:
    """Law: on Edge every index adds to each commit, so only whoever asks for them gets them."""
    always = [("num_ratings", "integer"), ("active_at_ms", "integer")]
    usual = [("attributes.age", "float"), ("attributes.gender", "keyword"), ("attributes.occupation", "keyword")]
    server = {"store": "server", "url": "http://localhost:6334"}
    assert indexes({}) == indexes({**server, "payload_indexes": False}) == []
    assert indexes(server) == indexes({"payload_indexes": True}) == always + usual
    assert indexes({**server, "indexed_attributes": "vip:bool, city:keyword"}) == [
        *always,
        ("attributes.vip", "bool"),
        ("attributes.city", "keyword"),
    ]


@pytest.mark.parametrize("declared", ["age", "age:integer", "a.b:float", ":float", "age:float:x", ""])
def test_an_index_that_cannot_be_made_is_refused_at_the_start(declared: str) -> None:
    """Law: the sentence says how to write it; integers would hide the floats among them."""
    with pytest.raises(ValidationError, match="write name:kind, such as age:float, where kind is keyword, float, bool"):
        Settings(qdrant={"indexed_attributes": [declared]})


def indexes(qdrant: dict[str, Any]) -> list[tuple[str, str]]:
    return [(index.path, index.kind) for index in wanted_indexes(Settings(qdrant=qdrant))]


def test_standing_filters_reach_the_rules() -> None:
    """Law: each setting of a filter is one of the ranking's, and none leaves the rules as they are."""
    given = {
        "near": "age:10, income:5000",
        "same": "gender",
        "min_ratings": 20,
        "active_within_days": 90,
        "tags": "noir",
    }
    filters = ranking_rules(Settings(filters=given)).filters
    assert filters == StandingFilters((("age", 10), ("income", 5000)), ("gender",), 20, 90, ItemFilter(tags=("noir",)))
    years = {"genres": ["War"], "year_from": 1990, "year_to": 1999, "popular_within_days": 7}
    assert ranking_rules(Settings(filters=years)).filters.items == ItemFilter(
        ("War",), (), 1990, 1999, popular_now_days=7
    )


@pytest.mark.parametrize(
    "given",
    [{"near": "age"}, {"near": "age:-1"}, {"near": "age:x"}, {"same": "no name"}, {"year_from": 2, "year_to": 1}],
)
def test_filters_that_nobody_could_meet_are_refused(given: dict[str, Any]) -> None:
    """Law: a setting that makes no filter is an error, not a filter that quietly finds nothing."""
    with pytest.raises(ValidationError):
        Settings(filters=given)


def test_weights_reach_the_rules_and_the_store() -> None:
    """A weight on content gives the store its vector, and the lists another label."""
    mixed = Settings(ranking={"content_weight": 0.3})
    (spec,) = store_settings(mixed).further.values()
    assert (spec.dimensions, ranking_rules(mixed).content_weight) == (128, 0.3)
    assert ranking_rules(mixed).label() != ranking_rules(Settings()).label()
    assert not store_settings(Settings()).further


@pytest.mark.parametrize(
    "given",
    [
        {"ranking": {"content_weight": 0.6, "factors_weight": 0.5, "factors_file": "f.npz"}},
        {"ranking": {"factors_weight": 0.5}},
        {"ranking": {"content_weight": 0.3}, "topics": {"items": "off"}},
    ],
)
def test_weights_that_nothing_stands_behind_are_refused(given: dict[str, Any]) -> None:
    """More than everything, factors without a file, content without a catalogue."""
    with pytest.raises(ValidationError, match="weight"):
        Settings(**given)
