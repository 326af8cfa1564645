import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.synthetic import DAY_MS, GENDERS, GENRES, OCCUPATIONS, SyntheticPlan, synthetic_dataset
from producers.tables import Dataset


def as_bytes(data: Dataset) -> bytes:
    ratings = data.ratings
    columns = (ratings.user, ratings.item, ratings.rating, ratings.rated_at_ms)
    return b"".join(column.tobytes() for column in columns) + repr((data.items, data.users)).encode()


@given(
    users=st.integers(1, 30),
    items=st.integers(1, 40),
    seed=st.integers(0, 2**32),
    mean=st.integers(1, 40),
    days=st.integers(1, 1000),
    fashion=st.sampled_from([0.0, 4.0]),
)
@settings(max_examples=40, deadline=None)
def test_what_is_invented_is_a_valid_data_set(
    users: int, items: int, seed: int, mean: int, days: int, fashion: float
) -> None:
    """Whatever the plan: all users rate, none an item twice, in half steps, inside the period, each in time order."""
    plan = SyntheticPlan(users, items, min(mean, items), seed, period_days=days, fashion_strength=fashion)
    data = synthetic_dataset(plan)
    ratings = data.ratings
    pairs = set(zip(ratings.user.tolist(), ratings.item.tolist(), strict=True))
    assert len(pairs) == len(ratings)
    assert set(ratings.user.tolist()) == set(data.users) == set(range(1, users + 1))
    assert set(ratings.item.tolist()) <= set(data.items) == set(range(1, items + 1))
    assert set((ratings.rating * 2).tolist()) <= set(range(1, 11))
    assert plan.start_ms <= ratings.rated_at_ms.min() <= ratings.rated_at_ms.max() < plan.start_ms + days * DAY_MS
    assert (ratings.rated_at_ms % 1000 == 0).all()
    assert (np.diff(ratings.rated_at_ms)[np.diff(ratings.user) == 0] >= 0).all()


@given(seed=st.integers(0, 2**32))
@settings(max_examples=10, deadline=None)
def test_equal_plans_give_equal_bytes_and_other_seeds_others(seed: int) -> None:
    """The seed decides everything, and decides something."""
    plan = SyntheticPlan(users=10, items=30, mean_ratings_per_user=5, seed=seed)
    other = SyntheticPlan(users=10, items=30, mean_ratings_per_user=5, seed=seed + 1)
    assert as_bytes(synthetic_dataset(plan)) == as_bytes(synthetic_dataset(plan))
    assert as_bytes(synthetic_dataset(plan)) != as_bytes(synthetic_dataset(other))


def test_attributes_and_catalogue_are_filled() -> None:
    """Users have all attributes; items have a title of their own that ends in the year, and one to three genres."""
    data = synthetic_dataset(SyntheticPlan(users=50, items=250))
    assert {user.gender for user in data.users.values()} == set(GENDERS)
    assert {user.occupation for user in data.users.values()} <= set(OCCUPATIONS)
    assert all(len(user.attributes()) == 3 for user in data.users.values())
    assert len({item.title for item in data.items.values()}) == 250
    assert all(item.title.endswith(f"({item.year})") for item in data.items.values())
    assert {len(item.genres) for item in data.items.values()} == {1, 2, 3}
    assert {genre for item in data.items.values() for genre in item.genres} == set(GENRES)


def share_of_the_top_tenth(exponent: float) -> float:
    plan = SyntheticPlan(popularity_exponent=exponent, taste_strength=0)
    counts = np.sort(np.bincount(synthetic_dataset(plan).ratings.item, minlength=plan.items + 1))
    return float(counts[-plan.items // 10 :].sum() / counts.sum())


def test_popularity_follows_the_power_law() -> None:
    """A steeper law gives the tenth of the items rated most a larger share; without one it is about a tenth."""
    flat, default, steep = (share_of_the_top_tenth(exponent) for exponent in (0.0, 0.8, 1.5))
    assert flat < 0.2 < default < 0.55 < steep


def genre_agreement(taste_strength: float) -> float:
    """How often two ratings that follow each other, of one user, share the leading genre."""
    data = synthetic_dataset(SyntheticPlan(taste_strength=taste_strength))
    leading = np.array([GENRES.index(data.items[item].genres[0]) for item in data.ratings.item.tolist()])
    same_user = np.diff(data.ratings.user) == 0
    return float((np.diff(leading) == 0)[same_user].mean())


def test_users_have_tastes() -> None:
    """What a user rates leans to some genres, and the more so the stronger tastes are."""
    none, default, strong = (genre_agreement(strength) for strength in (0.0, 1.0, 3.0))
    assert none * 1.5 < default < strong


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ({"users": 0}, "at least one"),
        ({"users": 2**20, "items": 2**12}, "ask for fewer"),
        ({"items": 10, "mean_ratings_per_user": 11}, "as many items"),
        ({"taste_strength": float("nan")}, "finite"),
        ({"popularity_exponent": -1}, "not negative"),
    ],
)
def test_an_impossible_plan_is_refused(sizes: dict[str, int], told: str) -> None:
    """A plan that cannot be met says why before anything is made."""
    with pytest.raises(ValueError, match=told):
        SyntheticPlan(**sizes)


def test_fashion_gathers_an_items_ratings_in_time() -> None:
    """The middle half of an item's ratings spans weeks instead of months, when fashion is strong."""
    assert spread_days(12.0) < spread_days(0.0) / 2


def spread_days(fashion_strength: float) -> float:
    """Days between the quartiles of an item's times, in the median over items."""
    plan = SyntheticPlan(users=200, items=300, mean_ratings_per_user=15, fashion_strength=fashion_strength)
    ratings = synthetic_dataset(plan).ratings
    days = [ratings.rated_at_ms[ratings.item == item] / DAY_MS for item in range(1, 301)]
    return float(np.median([np.subtract(*np.percentile(some, [75, 25])) for some in days if len(some) >= 5]))
