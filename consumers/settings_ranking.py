"""The settings of the ranking: a preset, and every technique that it is made of on its own."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from consumers.settings_section import Section
from recommender.rules import PRESETS


def known_preset(name: str) -> str:
    """The name of a preset; raises ValueError where it is of none."""
    if name not in PRESETS:
        raise ValueError(f"there is no such preset; there are: {', '.join(PRESETS)}")
    return name


class RankingSettings(Section):
    """How lists are made. What is not set is as the preset has it; what decides the stored vectors needs a rebuild."""

    preset: Annotated[str, AfterValidator(known_preset)] = "default"
    """The named set of rules: default, tutorial or article."""
    list_length: Annotated[int, Field(ge=1, le=500)] | None = None
    """Items of a list."""
    neighbours: Annotated[int, Field(ge=1, le=1_000)] | None = None
    """Nearest users that vote."""
    centre: Literal["user", "global"] | None = None
    """Stored values are ratings minus the user's own mean, or z-scores by global_mean and global_deviation."""
    global_mean: float | None = None
    """The mean of all ratings, on the catalogue's scale; for z-scores."""
    global_deviation: Annotated[float, Field(gt=0)] | None = None
    """The standard deviation of all ratings, on the catalogue's scale; for z-scores."""
    value_offset: Annotated[float, Field(ge=0, le=10)] | None = None
    """What having rated an item at all is worth, in stars, whatever the rating."""
    norm_damping: Annotated[float, Field(gt=0, le=1_000)] | Literal["off"] | None = None
    """Stored vectors are divided by the root of their squared length plus this; "off": they are not."""
    norm_power: Annotated[float, Field(ge=0, le=2)] | None = None
    """They are divided by that root to this power; below 1 users who rated much are nearer to all."""
    prune_below: Annotated[float, Field(ge=0, le=5)] | None = None
    """Values nearer to 0 than this, in stars, are not stored."""
    decay_per_year: Annotated[float, Field(ge=0.01, le=1)] | None = None
    """What is left of a stored value a year later; 1: values do not fade."""
    duplicates: Literal["latest", "mean"] | None = None
    """Of several ratings of an item the latest counts, or their mean."""
    idf: bool | None = None
    """Items that few have rated weigh more when neighbours are searched."""
    query_events: Annotated[int, Field(ge=0, le=10_000)] | None = None
    """Latest ratings of a user that neighbours are searched by; 0: all."""
    query_half_life_events: Annotated[float, Field(ge=0, le=10_000)] | None = None
    """After so many events a rating counts half in that search; 0: all count alike."""
    similarity_exponent: Annotated[float, Field(ge=0, le=10)] | None = None
    """Votes weigh as the similarity to this power."""
    votes: Literal["ratings", "similarities"] | None = None
    """Neighbours vote with what they rated, or with their similarity alone."""
    score: Literal["sum", "mean"] | None = None
    """An item's score is the sum of its votes, or their mean."""
    position_floor: Annotated[float, Field(ge=0, le=1)] | None = None
    """What a vote far from where the neighbour was like the user still counts; 1: position does not matter."""
    votes_within_days: Annotated[float, Field(ge=0, le=100_000)] | None = None
    """Only ratings this much older than the newest of all vote; 0: all do."""
    trend: bool | None = None
    """Mix in what is rated now, as much as has proved right."""
    cold_popularity: Annotated[float, Field(ge=0, le=1)] | None = None
    """The share of popularity within the genres a user likes, in lists for users with few ratings."""
    diversity: Annotated[float, Field(ge=0, le=1)] | None = None
    """How much it counts that a list's items are unlike each other in genres, tags and year; 0: not at all."""
    content_weight: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The share of genres, tags and year in how similar users are: 0.3 is a hybrid, 0: ratings alone."""
    factors_weight: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The share of item factors in how similar users are; needs factors_file."""
    factors_file: Path | None = None
    """Item factors, as `tastestream factors train` writes them; with others, users are placed anew as they rate."""

    neighbour_pool_users: Annotated[int, Field(ge=0)] = 100_000
    """With more users than this, others are found among a stable sample of about so many; 0: among all."""
    explain_items: Annotated[int, Field(ge=0, le=100)] = 0
    """So many items of each list, from the top, say why they are there; costs some ms per list; 0: none."""
    popular_interval_s: Annotated[float, Field(ge=0, le=86_400)] = 60
    """How often the list for users nobody knows is published, under the key _popular; 0: never."""

    @model_validator(mode="after")
    def _require_shares_and_factors(self) -> Self:
        if self.content_weight + self.factors_weight > 1:
            raise ValueError("content_weight and factors_weight are shares: together they are at most 1")
        if self.factors_weight and self.factors_file is None:
            raise ValueError("factors_weight needs factors_file: make one with `tastestream factors train --out FILE`")
        return self

    @model_validator(mode="after")
    def _require_what_z_scores_need(self) -> Self:
        fixed = PRESETS[self.preset].value.centre is not None if self.centre is None else self.centre == "global"
        if fixed and (self.global_mean is None or self.global_deviation is None):
            raise ValueError(
                "values are z-scores: set global_mean and global_deviation to the mean and the standard deviation of "
                "all ratings; `tastestream evaluate DATASET --preset article` says those of a data set"
            )
        return self
