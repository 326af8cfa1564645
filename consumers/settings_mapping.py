"""From settings to what the core and the wire take; pure."""

from dataclasses import replace

from consumers.dead_letter_limits import DeadLetterTolerance
from consumers.settings import Settings
from recommender.profile import HistoryLimits
from recommender.rules import PRESETS, RankingRules
from recommender.store import StoreSettings
from schemas.decode import WireRules
from schemas.scale import Scale


def rating_scale(settings: Settings) -> Scale:
    """The scale of legal ratings."""
    return Scale(settings.catalogue.scale_min, settings.catalogue.scale_max)


def wire_rules(settings: Settings) -> WireRules:
    """What this deployment accepts."""
    catalogue = settings.catalogue
    return WireRules(rating_scale(settings), catalogue.item_ids, catalogue.refuse_unknown_fields)


def ranking_rules(settings: Settings) -> RankingRules:
    """The preset's rules, on this catalogue's scale and with the lengths that the settings name."""
    rules = PRESETS[settings.ranking.preset]
    scale = rating_scale(settings)
    slope, intercept = scale.five_star_affine()
    return replace(
        rules,
        value=replace(rules.value, slope=slope, intercept=intercept),
        neighbours=settings.ranking.neighbours,
        list_length=settings.ranking.list_length,
        scale_min=scale.minimum,
        scale_max=scale.maximum,
    )


def store_settings(settings: Settings) -> StoreSettings:
    """What a store must have been made for."""
    catalogue = settings.catalogue
    return StoreSettings(
        catalogue=catalogue.item_ids,
        scale_min=catalogue.scale_min,
        scale_max=catalogue.scale_max,
        value_rule=ranking_rules(settings).value.fingerprint,
    )


def dead_letter_tolerance(settings: Settings) -> DeadLetterTolerance:
    """How many malformed records are garbage."""
    limits = settings.limits
    return DeadLetterTolerance(
        run_limit_records=limits.dead_letter_run_limit_records,
        ratio_limit=limits.dead_letter_ratio_limit,
        window_records=limits.dead_letter_window_records,
        ratio_min_records=limits.dead_letter_ratio_min_records,
    )


def history_limits(settings: Settings) -> HistoryLimits:
    """How much of a user is kept."""
    return HistoryLimits(settings.limits.history_max_entries, settings.limits.seen_max_items)
