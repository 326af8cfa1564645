"""Item factors: what the decomposition must reproduce, how users are folded in, and files that are none."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.factor_baseline import PureSvd
from consumers.factor_files import read_factors, write_factors
from consumers.factor_training import FactorError, trained_factors
from recommender.baselines import RECENT_HALF_LIFE, RETRAININGS
from recommender.evaluation import RatedEvent
from recommender.factors import Factors
from recommender.profile import EMPTY_HISTORY, History
from recommender.vector import ValueRule, user_vector

RULE = ValueRule()
USERS = st.lists(
    st.dictionaries(st.integers(0, 9), st.integers(1, 10), min_size=1, max_size=10), min_size=3, max_size=12
).filter(lambda users: len({item for user in users for item in user}) >= 3)


def history_of(ratings: dict[int, int]) -> History:
    """Items rated one after the other, in halves of a star."""
    items = np.array([item * 1_000_003 for item in ratings], np.uint32)
    return History(items, np.array(list(ratings.values())) / 2, np.arange(len(items), dtype=np.int64))


def stored_values(histories: list[History], items: np.ndarray) -> np.ndarray:
    """The users' stored vectors as rows of a matrix."""
    rows = np.zeros((len(histories), len(items)))
    for row, history in zip(rows, histories, strict=True):
        vector = user_vector(history, RULE)
        assert vector is not None
        row[np.searchsorted(items, vector.indices)] = vector.values
    return rows


@given(USERS, st.integers(1, 4))
def test_no_other_factors_of_that_rank_come_nearer_to_the_ratings(users: list[dict[int, int]], rank: int) -> None:
    """Law (Eckart and Young): what projecting onto them leaves out is the sum of the squared lesser singular values."""
    histories = [history_of(user) for user in users]
    factors = trained_factors(histories, RULE, rank)
    values = stored_values(histories, factors.items)
    left_out = values - values @ factors.matrix.astype(float) @ factors.matrix.T.astype(float)
    least = np.linalg.svd(values, compute_uv=False)[factors.dimensions :]
    assert (left_out**2).sum() == pytest.approx((least**2).sum(), abs=1e-5)


@given(USERS)
def test_a_user_is_folded_in_where_their_values_point(users: list[dict[int, int]]) -> None:
    """R V, of length 1; an item without factors counts for nothing, and a user without any has no place."""
    histories = [history_of(user) for user in users]
    factors = trained_factors(histories, RULE, 2)
    values = stored_values(histories, factors.items) @ factors.matrix
    for expected, history in zip(values, histories, strict=True):
        place = factors.of(history, RULE)
        length = float(np.linalg.norm(expected))
        if place is not None and length > 1e-4:
            assert place.tolist() == pytest.approx((expected / length).tolist(), abs=1e-4)
    stranger = history_of({99: 5})
    assert factors.of(stranger, RULE) is None
    assert factors.of(EMPTY_HISTORY, RULE) is None


def test_the_same_ratings_make_the_same_factors() -> None:
    """Law: factors of the same ratings name their vectors alike, whoever is read first; those of others otherwise."""
    histories = [history_of({1: 10, 2: 2}), history_of({1: 8, 3: 9}), history_of({2: 4, 3: 1})]
    factors = [trained_factors(users, RULE, 2) for users in (histories, histories, histories[1:] + histories[:1])]
    assert len({one.fingerprint for one in factors}) == 1
    assert factors[0].fingerprint != trained_factors(histories[::-1] + histories[:1], RULE, 2).fingerprint


@pytest.mark.parametrize("histories", [[], [EMPTY_HISTORY], [history_of({1: 10, 2: 2})], [history_of({1: 9})] * 3])
def test_too_few_ratings_are_said_to_be(histories: list[History]) -> None:
    """Fewer than two users or two items have no factors, and the error says so."""
    with pytest.raises(FactorError, match="too few"):
        trained_factors(histories, RULE)


def test_a_file_of_factors_comes_back_as_it_was(tmp_path: Path) -> None:
    """Items and factors bit for bit, into folders that are not there yet, over the file before."""
    factors = Factors(np.array([3, 70_000], np.uint32), np.array([[0.5, 1e-30], [-2.0, 3.0]], np.float32))
    path = tmp_path / "deep" / "factors.npz"
    for _ in range(2):
        write_factors(factors, path)
    assert read_factors(path).fingerprint == factors.fingerprint
    assert [file.name for file in path.parent.iterdir()] == ["factors.npz"]


@pytest.mark.parametrize("content", [None, b"", b"no zip", "other arrays", "out of order"])
def test_a_file_without_factors_is_refused_with_what_to_do(tmp_path: Path, content: bytes | str | None) -> None:
    """Whatever it holds: the error names the file and the command that makes one."""
    path = tmp_path / "factors.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "other arrays":
        np.savez(path, other=np.zeros(3))
    elif content is not None:
        np.savez(path, items=np.array([2, 1]), factors=np.zeros((2, 1)))
    with pytest.raises(FactorError, match=r"factors\.npz.*tastestream factors train"):
        read_factors(path)


def values_of(ratings: dict[int, float]) -> dict[int, float]:
    """What the default stores of ratings: r − the mean + 1.5, over (Σ² + 10)^0.4."""
    centre = sum(ratings.values()) / len(ratings)
    norm = (sum((rating - centre + 1.5) ** 2 for rating in ratings.values()) + 10) ** 0.4
    return {item: (rating - centre + 1.5) / norm for item, rating in ratings.items()}


def test_pure_svd_scores_by_projection_onto_factors_made_before() -> None:
    """Law: r V Vᵀ, r the values of a user who came after V was made, the latest ratings most; nothing that is rated."""
    chance = np.random.default_rng(1)
    users = {
        f"u{user}": {int(item): float(chance.integers(1, 6)) for item in chance.permutation(15)[:6]}
        for user in range(20)
    }
    latest = {3: 5.0, 8: 1.0, 11: 4.0}
    events = [RatedEvent(user, item, one, one, 0) for user, some in users.items() for item, one in some.items()]
    # So many that it is made once, after those who are there before.
    system = PureSvd((RETRAININGS + 1) * len(events))
    assert not system.assess("ann", 0).shown
    system.learn([*events, *(RatedEvent("ann", item, one, one, 1) for item, one in latest.items())])
    matrix, mine = np.zeros((len(users), 15)), np.zeros(15)
    for row, ratings in zip(matrix, users.values(), strict=True):
        for item, value in values_of(ratings).items():
            row[item] = value
    for age, (item, value) in enumerate(reversed(values_of(latest).items())):
        mine[item] = value * 0.5 ** (age / RECENT_HALF_LIFE)
    right = np.linalg.svd(matrix)[2][:14]
    scores = mine @ right.T @ right
    expected = [item for item in np.argsort(-scores).tolist() if scores[item] > 0 and item not in latest]
    assert system.assess("ann", 0).shown == expected[:10]
    assert expected
