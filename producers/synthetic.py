"""An invented data set of any size, the same for the same plan: users with latent tastes rate the items that suit them.

A taste is a weight per genre, drawn around what the user's gender and age group share; an item's genres are the
strongest of its own weights. How often an item is rated follows a power law over its rank, bent by taste; how many
ratings a user gives is log-normal; a rating is mean + user's habit + item's quality + taste + noise, to the half step.

An item's appeal is the same at all times, unless the plan asks for fashion: then every item has a day on which it comes
into fashion, with so much more appeal, which fades.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from producers.tables import CatalogueItem, Dataset, Id, Ratings, User
from schemas.scale import Scale

SYNTHETIC_SEED = 7
DAY_MS = 86_400_000
PAIRS_MAX = 2**31
"""The most users times items that a plan may ask for: every pair is weighed once."""

GENRES = ("Action", "Comedy", "Drama", "Fantasy", "Horror", "Mystery", "Romance", "Sci-Fi", "Thriller", "Western")
OCCUPATIONS = ("artist", "doctor", "engineer", "farmer", "homemaker", "lawyer", "student", "teacher", "writer")
GENDERS = ("F", "M")
_FIRST_WORDS = ("Broken", "Crimson", "Distant", "Endless", "Golden", "Hidden", "Last", "Quiet", "Silver", "Winter")
_SECOND_WORDS = ("Bridge", "Garden", "Harbour", "Letter", "Mirror", "Orchard", "River", "Stranger", "Tide", "Voyage")

_GENRES_MAX = 3
_RATING_MEAN = 3.5
_AGE_BOUNDS = (14, 90)

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SyntheticPlan:
    """What to invent.

    Raises:
        ValueError: a size below 1, more pairs than `PAIRS_MAX`, a mean above the number of items, or a strength that is
            negative or not finite.
    """

    users: int = 500
    items: int = 1_000
    mean_ratings_per_user: int = 60
    seed: int = SYNTHETIC_SEED
    popularity_exponent: float = 0.8
    taste_strength: float = 1.0
    start_ms: int = 1_577_836_800_000  # 2020-01-01
    period_days: int = 365
    fashion_strength: float = 0.0
    fashion_days: float = 5.0

    def __post_init__(self) -> None:
        if min(self.users, self.items, self.mean_ratings_per_user, self.period_days) < 1:
            raise ValueError("a synthetic data set needs at least one user, item, rating per user and day")
        if self.users * self.items > PAIRS_MAX:
            raise ValueError(f"{self.users} users x {self.items} items are over {PAIRS_MAX} pairs: ask for fewer")
        if self.mean_ratings_per_user > self.items:
            raise ValueError(f"{self.mean_ratings_per_user} ratings per user need as many items, not {self.items}")
        if not all(0 <= strength < math.inf for strength in self._strengths):
            raise ValueError("popularity_exponent, taste_strength and fashion_strength are finite and not negative")
        if not 0 < self.fashion_days < math.inf:
            raise ValueError("fashion_days is finite and above 0")

    @property
    def _strengths(self) -> tuple[float, ...]:
        return self.popularity_exponent, self.taste_strength, self.fashion_strength


@dataclass(frozen=True, slots=True)
class _World:
    """The latent truth: `tastes` users x genres, `weights` items x genres, `habits` per user, the rest per item."""

    tastes: Floats
    weights: Floats
    habits: Floats
    appeal: Floats
    quality: Floats

    def affinity(self, user: int) -> Floats:
        """How far each item suits a user, about 0."""
        suits: Floats = self.weights @ self.tastes[user]
        return suits


def synthetic_dataset(plan: SyntheticPlan) -> Dataset:
    """Users 1..users, items 1..items and their ratings, user by user; equal plans give equal bytes."""
    rng = np.random.default_rng(plan.seed)
    users = _users(plan, rng)
    weights = _genre_weights(plan, rng)
    items = _items(weights, rng)
    world = _World(
        tastes=_tastes(users, plan, rng),
        weights=weights,
        habits=rng.normal(0, 0.3, plan.users),
        appeal=_appeal(plan, rng),
        quality=rng.normal(0, 0.4, plan.items),
    )
    return Dataset(f"synthetic-{plan.seed}", _ratings(plan, world, rng), Scale(), items, users)


def _users(plan: SyntheticPlan, rng: np.random.Generator) -> dict[Id, User]:
    ages = np.clip(rng.normal(35, 14, plan.users), *_AGE_BOUNDS).astype(int).tolist()
    genders = rng.integers(len(GENDERS), size=plan.users).tolist()
    occupations = rng.integers(len(OCCUPATIONS), size=plan.users).tolist()
    rows = enumerate(zip(ages, genders, occupations, strict=True), 1)
    return {user: User(user, age, GENDERS[gender], OCCUPATIONS[work]) for user, (age, gender, work) in rows}


def _tastes(users: dict[Id, User], plan: SyntheticPlan, rng: np.random.Generator) -> Floats:
    shared = rng.normal(0, 0.7, (len(GENDERS), _AGE_BOUNDS[1] // 10 + 1, len(GENRES)))
    own = rng.normal(0, 1, (plan.users, len(GENRES)))
    genders = [GENDERS.index(user.gender or "") for user in users.values()]
    decades = [(user.age or 0) // 10 for user in users.values()]
    tastes: Floats = plan.taste_strength * (shared[genders, decades] + own)
    return tastes


def _genre_weights(plan: SyntheticPlan, rng: np.random.Generator) -> Floats:
    """Items x genres, each row adding up to 1, most of it on a few genres."""
    return rng.dirichlet([0.25] * len(GENRES), size=plan.items)


def _items(weights: Floats, rng: np.random.Generator) -> dict[Id, CatalogueItem]:
    years = rng.integers(1950, 2020, size=len(weights)).tolist()
    return {
        place + 1: CatalogueItem(place + 1, f"{_title(place)} ({year})", _genres(weights[place]), year)
        for place, year in enumerate(years)
    }


def _title(place: int) -> str:
    sequel, rest = divmod(place, len(_FIRST_WORDS) * len(_SECOND_WORDS))
    second, first = divmod(rest, len(_FIRST_WORDS))
    name = f"{_FIRST_WORDS[first]} {_SECOND_WORDS[second]}"
    return f"{name} {sequel + 1}" if sequel else name


def _genres(weights: Floats) -> tuple[str, ...]:
    """The genre that weighs most, and up to two more that weigh a fifth at least."""
    heaviest = np.argsort(-weights, kind="stable")[:_GENRES_MAX].tolist()
    return tuple(GENRES[genre] for genre in heaviest if genre == heaviest[0] or weights[genre] >= 0.2)


def _appeal(plan: SyntheticPlan, rng: np.random.Generator) -> Floats:
    """The log of each item's popularity: a power law over ranks that the ids do not tell."""
    appeal: Floats = -plan.popularity_exponent * np.log(rng.permutation(plan.items) + 1.0)
    return appeal


def _ratings(plan: SyntheticPlan, world: _World, rng: np.random.Generator) -> Ratings:
    counts = _activity(plan, rng)
    if plan.fashion_strength:
        times = [_times(plan, count, rng) for count in counts.tolist()]
        chosen = _chosen_in_fashion(plan, world, times, rng)
        rated = [(items, _rating(user, items, world, rng)) for user, items in enumerate(chosen)]
    else:
        rated = [_rated_by(user, count, world, rng) for user, count in enumerate(counts.tolist())]
        times = [_times(plan, count, rng) for count in counts.tolist()]
    return Ratings(
        user=np.repeat(np.arange(1, plan.users + 1), counts),
        item=np.concatenate([items + 1 for items, _ in rated]),
        rating=np.concatenate([ratings for _, ratings in rated]),
        rated_at_ms=np.concatenate(times),
    )


def _chosen_in_fashion(
    plan: SyntheticPlan, world: _World, times: list[Integers], rng: np.random.Generator
) -> list[Integers]:
    """The items that each user rates at each of their times: what came into fashion lately draws more of them."""
    begins = rng.uniform(-plan.fashion_days, plan.period_days, plan.items)
    chosen = []
    for user, instants in enumerate(times):
        weights = world.appeal + 2 * world.affinity(user)
        items = np.empty(len(instants), np.int64)
        for at, days in enumerate(((instants - plan.start_ms) / DAY_MS).tolist()):
            age = days - begins
            fashion = np.where(age >= 0, plan.fashion_strength * np.exp(-age / plan.fashion_days), 0.0)
            items[at] = np.argmax(weights + fashion + rng.gumbel(size=plan.items))
            weights[items[at]] = -np.inf
        chosen.append(items)
    return chosen


def _activity(plan: SyntheticPlan, rng: np.random.Generator) -> Integers:
    """How many ratings each user gives: log-normal about the plan's mean."""
    spread = 0.8
    drawn = rng.lognormal(np.log(plan.mean_ratings_per_user) - spread**2 / 2, spread, plan.users)
    return np.clip(np.rint(drawn), 1, plan.items).astype(np.int64)


def _rated_by(user: int, count: int, world: _World, rng: np.random.Generator) -> tuple[Integers, Floats]:
    """The items a user rates (from 0) and the ratings.

    Adding Gumbel noise to log weights and taking the largest draws without replacement in proportion to the weights.
    """
    affinity = world.affinity(user)
    draw = world.appeal + 2 * affinity + rng.gumbel(size=len(affinity))
    items: Integers = np.argsort(-draw, kind="stable")[:count].astype(np.int64)
    return items, _rating(user, items, world, rng)


def _rating(user: int, items: Integers, world: _World, rng: np.random.Generator) -> Floats:
    suits = 0.6 * world.affinity(user)[items]
    exact = _RATING_MEAN + world.habits[user] + world.quality[items] + suits + rng.normal(0, 0.6, len(items))
    ratings: Floats = np.clip(np.rint(exact * 2) / 2, 0.5, 5.0)
    return ratings


def _times(plan: SyntheticPlan, count: int, rng: np.random.Generator) -> Integers:
    """A user's times, rising, in whole seconds: one stay somewhere in the period, seldom all of it."""
    first = rng.uniform(0, 0.95)
    stay = min(rng.exponential(0.1), 1 - first)
    share: Floats = first + stay * np.sort(rng.random(count))
    seconds = (share * plan.period_days * (DAY_MS // 1000)).astype(np.int64)
    return plan.start_ms + seconds * 1000
