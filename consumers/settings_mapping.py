"""From settings to what the core, the wire, the cluster and a server take; pure, but for the file of factors."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from consumers.dead_letter_limits import DeadLetterTolerance
from consumers.factor_files import read_factors_once
from consumers.settings import Settings
from consumers.settings_ranking import RankingSettings
from consumers.stores.payload_indexes import PayloadIndex, payload_indexes
from consumers.stores.server_options import ServerOptions
from consumers.topics import GroupSpec, TopicSpec, metrics_spec, request_topic_specs, topic_specs
from consumers.user_states import FurtherVectors
from producers.client_log import KAFKA_LOG
from recommender.embedding import further_vectors
from recommender.factors import Factors
from recommender.profile import HistoryLimits
from recommender.rules import PRESETS, RankingRules
from recommender.standing_filters import NO_FILTERS
from recommender.store import StoreSettings
from recommender.vector import ValueRule, VectorSpec, user_vector
from schemas.decode import WireRules
from schemas.requests import RequestLimits
from schemas.scale import Scale

_RULES = {
    name: name
    for name in (
        "list_length",
        "neighbours",
        "idf",
        "query_events",
        "similarity_exponent",
        "score",
        "position_floor",
        "votes_within_days",
        "cold_popularity",
        "diversity",
        "content_weight",
        "factors_weight",
    )
} | {"query_half_life_events": "query_half_life"}
_VALUES = {
    "value_offset": "offset",
    "norm_power": "norm_power",
    "prune_below": "prune_below",
    "decay_per_year": "decay_per_year",
    "duplicates": "duplicates",
}
"""Settings and the fields of the rules that they set."""
_VOTES = {"ratings": {"vote_slope": 1.0}, "similarities": {"vote_slope": 0.0, "vote_offset": 1.0}}


def rating_scale(settings: Settings) -> Scale:
    """The scale of legal ratings."""
    return Scale(settings.catalogue.scale_min, settings.catalogue.scale_max)


def has_text_ids(settings: Settings) -> bool:
    """Whether the catalogue's item ids are text."""
    return settings.catalogue.item_ids == "string"


def wire_rules(settings: Settings) -> WireRules:
    """What this deployment accepts."""
    catalogue = settings.catalogue
    return WireRules(rating_scale(settings), catalogue.item_ids, catalogue.refuse_unknown_fields)


def ranking_rules(settings: Settings) -> RankingRules:
    """The preset's rules with what the settings say otherwise, on this catalogue's scale."""
    wanted, scale = settings.ranking, rating_scale(settings)
    rules = PRESETS[wanted.preset]
    changes = _set(wanted, _RULES)
    if wanted.votes is not None:
        changes |= _VOTES[wanted.votes]
    if wanted.trend is not None:
        changes["tuning_every_lists"] = PRESETS["default"].tuning_every_lists if wanted.trend else 0
    value, filters = _value_rule(rules.value, wanted, scale), settings.filters.standing()
    if filters != NO_FILTERS:
        changes["filters"] = filters
    return replace(rules, value=value, scale_min=scale.minimum, scale_max=scale.maximum, **changes)


def _value_rule(rule: ValueRule, wanted: RankingSettings, scale: Scale) -> ValueRule:
    slope, intercept = scale.five_star_affine()
    changes: dict[str, Any] = _set(wanted, _VALUES)
    if wanted.norm_damping is not None:
        changes["damping"] = None if wanted.norm_damping == "off" else wanted.norm_damping
    if wanted.centre == "user":
        changes |= {"centre": None, "spread": 1.0}
    elif wanted.global_mean is not None and (wanted.centre == "global" or rule.centre is not None):
        deviation = wanted.global_deviation or 1.0
        changes |= {"centre": wanted.global_mean * slope + intercept, "spread": deviation * slope}
    return replace(rule, slope=slope, intercept=intercept, **changes)


def _set(wanted: RankingSettings, names: Mapping[str, str]) -> dict[str, Any]:
    """What is set, by the name of the rule that it sets."""
    given = {rule: getattr(wanted, name) for name, rule in names.items()}
    return {rule: value for rule, value in given.items() if value is not None}


@dataclass(frozen=True, slots=True)
class ShadowPlan:
    """A second ranking: its rules, and the further vector that it finds neighbours by; None: the main one."""

    preset: str
    rules: RankingRules
    vector: str | None


def shadow_plan(settings: Settings) -> ShadowPlan | None:
    """The shadow that the settings ask for: a preset as it is, on this catalogue's scale, with its standing filters.

    Of several ratings of an item the same counts as in the main ranking, because both have one history.
    """
    preset, own, rules = settings.evaluation.shadow, settings.ranking, ranking_rules(settings)
    if preset is None:
        return None
    ranking = RankingSettings(
        preset=preset,
        global_mean=own.global_mean,
        global_deviation=own.global_deviation,
        duplicates=rules.value.duplicates,
    )
    shadow = ranking_rules(settings.model_copy(update={"ranking": ranking}))
    if (shadow.value.fingerprint, shadow.idf) == (rules.value.fingerprint, rules.idf):
        return ShadowPlan(preset, shadow, None)
    # Weighed or not belongs to the name, because a vector stays as it was made.
    return ShadowPlan(preset, shadow, f"{shadow.value.fingerprint}-{'idf' if shadow.idf else 'plain'}")


def shadow_vectors(settings: Settings) -> FurtherVectors:
    """What the shadow finds neighbours by, where that is no vector of the main ranking."""
    plan = shadow_plan(settings)
    return {} if plan is None or plan.vector is None else {plan.vector: partial(user_vector, rule=plan.rules.value)}


def store_settings(settings: Settings) -> StoreSettings:
    """What a store must have been made for.

    Raises:
        FactorError: factors have a weight, and their file cannot be read.
    """
    catalogue, rules, shadow = settings.catalogue, ranking_rules(settings), shadow_plan(settings)
    beside = {} if shadow is None or shadow.vector is None else {shadow.vector: VectorSpec(idf=shadow.rules.idf)}
    return StoreSettings(
        catalogue=catalogue.item_ids,
        scale_min=catalogue.scale_min,
        scale_max=catalogue.scale_max,
        value_rule=rules.value.fingerprint,
        idf=rules.idf,
        further={**further_vectors(rules, wanted_factors(settings, rules)), **beside},
    )


def wanted_factors(settings: Settings, rules: RankingRules) -> Factors | None:
    """The factors that the rules weigh; None where they do not.

    Raises:
        FactorError: their file cannot be read.
    """
    file = settings.ranking.factors_file
    return read_factors_once(file) if rules.factors_weight and file is not None else None


def wanted_indexes(settings: Settings) -> tuple[PayloadIndex, ...]:
    """The payload indexes that a store should have."""
    qdrant = settings.qdrant
    wanted = qdrant.store == "server" if qdrant.payload_indexes is None else qdrant.payload_indexes
    return payload_indexes(qdrant.indexed_attributes) if wanted else ()


def dead_letter_tolerance(settings: Settings) -> DeadLetterTolerance:
    """How many malformed records are garbage."""
    limits = settings.limits
    return DeadLetterTolerance(
        run_limit_records=limits.dead_letter_run_limit_records,
        ratio_limit=limits.dead_letter_ratio_limit,
        window_records=limits.dead_letter_window_records,
        ratio_min_records=limits.dead_letter_ratio_min_records,
    )


def request_limits(settings: Settings) -> RequestLimits:
    """How large a request may be."""
    given = settings.requests
    return RequestLimits(
        given.request_max_bytes,
        given.questions_max,
        given.likes_max,
        given.list_length_max,
        given.explain_items_max,
    )


def history_limits(settings: Settings) -> HistoryLimits:
    """How much of a user is kept."""
    limits, averages = settings.limits, ranking_rules(settings).value.duplicates == "mean"
    return HistoryLimits(limits.history_max_entries, limits.seen_max_items, averages)


def server_options(settings: Settings) -> ServerOptions:
    """How to reach the Qdrant server."""
    qdrant = settings.qdrant
    return ServerOptions(
        url=qdrant.url or "",
        api_key=qdrant.api_key.get_secret_value() if qdrant.api_key else None,
        collection=settings.collection,
        timeout_s=qdrant.timeout_s,
        tls_ca_file=qdrant.ca_file,
        node_urls=qdrant.node_urls,
        shards=qdrant.shards,
        replication_factor=qdrant.replication_factor,
        write_consistency_factor=qdrant.write_consistency_factor,
        read_consistency=qdrant.read_consistency,
        accept_lost_ratings_if_a_worker_dies=qdrant.accept_lost_ratings_if_a_worker_dies,
        indexes=wanted_indexes(settings),
    )


def topic_plan(settings: Settings) -> tuple[list[TopicSpec], list[GroupSpec]]:
    """The topics and the groups as the settings ask for them."""
    topics = settings.topics
    specs = topic_specs(
        settings.input_topics,
        settings.recommendations_topic,
        settings.dead_letter_topic,
        settings.items_topic,
        topics.partitions,
    )
    specs += request_topic_specs(settings.request_topics, topics.partitions)
    if settings.metrics_topic is not None:
        specs.append(metrics_spec(settings.metrics_topic))
    groups = [settings.group, *([settings.request_group] if settings.request_topics else [])]
    return specs, [GroupSpec(name, topics.session_timeout_ms, topics.heartbeat_interval_ms) for name in groups]


def consumer_properties(settings: Settings) -> dict[str, Any]:
    """What the worker's consumers are told, but for their group."""
    # An assignment waits for the store without polling; what hangs otherwise is the watchdog's to end.
    poll_interval_ms = int(min(settings.limits.store_retry_limit_s * 1000 + 300_000, 86_400_000))
    return {"max.poll.interval.ms": poll_interval_ms, **settings.kafka.consumer_config(), "logger": KAFKA_LOG}
