"""From settings to what the core and the wire take."""

from consumers.settings import Settings
from consumers.settings_mapping import history_limits, ranking_rules, store_settings, wire_rules
from recommender.profile import HistoryLimits
from recommender.rules import PRESETS
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
        ranking={"list_length": 7, "neighbours": 9}, limits={"history_max_entries": 3, "seen_max_items": 4}
    )
    assert (ranking_rules(settings).list_length, ranking_rules(settings).neighbours) == (7, 9)
    assert history_limits(settings) == HistoryLimits(3, 4)
    assert store_settings(settings) == store_settings(Settings())
