"""Dense vectors of users beside the sparse one of their ratings: their taste by content, and their place among factors.

Each is stored with the state, made from the whole history, and asked by with the query's recency. Both are linear in
what was rated, so that an explanation can say what each rating adds to a similarity.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from recommender import content
from recommender.content import ContentVectors, taste_vector, taste_weights
from recommender.factors import Factors
from recommender.item_index import ItemIndex
from recommender.profile import Floats, History, Items
from recommender.rules import RankingRules
from recommender.vector import DenseVector, ValueRule, VectorSpec

Way = Literal["ratings", "content", "factors"]
"""By what somebody may be found as a neighbour."""


class Addends(NamedTuple):
    """Rated items, shape (m,), and what each adds to a vector, shape (m, d), but for one factor for all."""

    items: Items
    rows: Floats


class Embedding(Protocol):
    """A dense vector that users have. `events` and `half_life` are those of `query_vector`."""

    way: Way
    weight: float
    """Its share in the similarity of neighbours."""
    name: str
    """In the store; another one wherever its vectors mean something else."""

    def of(self, history: History, events: int = 0, half_life: float = 0.0) -> DenseVector | None:
        """The vector of length 1 that stands for a history; None where nothing is known of what was rated."""

    def addends(self, history: History, events: int, half_life: float) -> Addends:
        """What the rated items add to that vector."""


class ContentTaste:
    """What a user likes by genres, tags and year (see `content.taste_vector`), as the catalogue has them now."""

    way: Way = "content"

    def __init__(self, vectors: ContentVectors, index: ItemIndex, value: ValueRule, weight: float) -> None:
        self.weight = weight
        self.name = _content_name(value)
        self._vectors = vectors
        self._index = index
        self._value = value

    def of(self, history: History, events: int = 0, half_life: float = 0.0) -> DenseVector | None:
        """See `Embedding.of`."""
        rated = _latest(history, events)
        vectors = self._vectors.of(self._index.dense(rated.items))
        taste = taste_vector(self._value.five_stars(rated.ratings), vectors, half_life)
        return None if taste is None else DenseVector(taste)

    def addends(self, history: History, events: int, half_life: float) -> Addends:
        """See `Embedding.addends`."""
        rated = _latest(history, events)
        weights = taste_weights(self._value.five_stars(rated.ratings), half_life)
        return Addends(rated.items, weights[:, None] * self._vectors.of(self._index.dense(rated.items)))


class FactorPlace:
    """Where a user stands in the space of factors (see `Factors.of`)."""

    way: Way = "factors"

    def __init__(self, factors: Factors, value: ValueRule, weight: float) -> None:
        self.weight = weight
        self.name = factors.fingerprint
        self._factors = factors
        self._value = value

    def of(self, history: History, events: int = 0, half_life: float = 0.0) -> DenseVector | None:
        """See `Embedding.of`."""
        place = self._factors.of(history, self._value, events, half_life)
        return None if place is None else DenseVector(place)

    def addends(self, history: History, events: int, half_life: float) -> Addends:
        """See `Embedding.addends`."""
        return Addends(*self._factors.addends(history, self._value, events, half_life))


def embeddings(
    rules: RankingRules, vectors: ContentVectors, index: ItemIndex, factors: Factors | None
) -> tuple[Embedding, ...]:
    """Those that the rules give a weight.

    Raises:
        ValueError: factors have a weight, and there are none.
    """
    found: list[Embedding] = []
    if rules.content_weight:
        found.append(ContentTaste(vectors, index, rules.value, rules.content_weight))
    if rules.factors_weight:
        found.append(FactorPlace(_required(factors), rules.value, rules.factors_weight))
    return tuple(found)


def further_vectors(rules: RankingRules, factors: Factors | None) -> dict[str, VectorSpec]:
    """The vectors that a store must have for them, by name; raises as `embeddings`."""
    found = {}
    if rules.content_weight:
        found[_content_name(rules.value)] = VectorSpec(content.DIMENSIONS)
    if rules.factors_weight:
        found[_required(factors).fingerprint] = VectorSpec(_required(factors).dimensions)
    return found


def stored_vectors(some: Sequence[Embedding], history: History) -> Mapping[str, DenseVector]:
    """The vectors that stand beside a history, by name."""
    return {one.name: vector for one in some if (vector := one.of(history)) is not None}


def _required(factors: Factors | None) -> Factors:
    if factors is None:
        raise ValueError("neighbours are to be found by factors, and there are none")
    return factors


def _latest(history: History, events: int) -> History:
    return history.rated().at(slice(-events, None))


def _content_name(value: ValueRule) -> str:
    weights = (content.GENRES_WEIGHT, content.TAGS_WEIGHT, content.YEAR_WEIGHT, content.TASTE_OFFSET)
    numbers = f"{content.DIMENSIONS} {weights!r} {value.slope!r} {value.intercept!r}"
    return "content" + hashlib.blake2b(numbers.encode(), digest_size=4).hexdigest()
