"""Searches for neighbours: by ratings alone, or by several vectors at once.

Where several vectors are searched, the similarity of a neighbour = Σ over the ways weight · similarity / the best
similarity of that way, and the best K of all found are the neighbours. Whoever is not among the K best of a way has 0
from it. So similarities of different units add up, and the weights are shares of the best.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol, get_args

import numpy as np

from recommender.embedding import Embedding, Way
from recommender.profile import Floats
from recommender.question import Question
from recommender.rules import RankingRules
from recommender.store import NeighbourQuery, Neighbours, Store
from recommender.vector import DenseVector, query_vector

NOBODY = -1
"""No point's id."""
WAYS: tuple[Way, ...] = get_args(Way)


class Found(NamedTuple):
    """Neighbours, and the step by which a filter found them; None: without one.

    `parts`: what each way gave to their similarities, in the order of `WAYS`, shape (k, 3); None: ratings alone are
    searched, and similarities are what the store says.
    """

    neighbours: Neighbours
    step: str | None = None
    parts: Floats | None = None


NOBODY_FOUND = Found(Neighbours([], [], []))


class Search(Protocol):
    """How neighbours are looked for."""

    def queries(self, question: Question) -> tuple[NeighbourQuery, ...]:
        """What the store is asked for a question; nothing where there is nothing to go by."""

    def nearest(self, asked: Sequence[Sequence[NeighbourQuery]]) -> list[Found]:
        """The neighbours by each of these, asked together."""


class RatingSearch:
    """By the vectors of ratings."""

    def __init__(self, store: Store, rules: RankingRules) -> None:
        self._store = store
        self._rules = rules

    def queries(self, question: Question) -> tuple[NeighbourQuery, ...]:
        """See `Search.queries`."""
        rules = question.rules or self._rules
        vector = query_vector(question.history, rules.value, rules.query_events, rules.query_half_life)
        if vector is None:
            return ()
        return (NeighbourQuery(vector, rules.neighbours, excluded(question)),)

    def nearest(self, asked: Sequence[Sequence[NeighbourQuery]]) -> list[Found]:
        """See `Search.nearest`."""
        return [Found(found) for found in self._store.nearest([query for (query,) in asked])]


class MixedSearch:
    """By ratings, as far as the embeddings leave them a weight, and by the embeddings."""

    def __init__(self, store: Store, rules: RankingRules, embeddings: Sequence[Embedding]) -> None:
        self._store = store
        self._rules = rules
        self._embeddings = embeddings
        self._ratings = RatingSearch(store, rules)
        self._ratings_weight = ratings_weight(rules)
        self._ways: dict[str | None, tuple[int, float]] = {None: (WAYS.index("ratings"), self._ratings_weight)}
        self._ways |= {one.name: (WAYS.index(one.way), one.weight) for one in embeddings}

    def queries(self, question: Question) -> tuple[NeighbourQuery, ...]:
        """See `Search.queries`."""
        by_ratings = self._ratings.queries(question) if self._ratings_weight else ()
        return (*by_ratings, *self._by_embeddings(question))

    def nearest(self, asked: Sequence[Sequence[NeighbourQuery]]) -> list[Found]:
        """See `Search.nearest`."""
        answers = iter(self._store.nearest([query for queries in asked for query in queries]))
        return [self._combined(queries, [next(answers) for _ in queries]) for queries in asked]

    def _by_embeddings(self, question: Question) -> Iterator[NeighbourQuery]:
        rules = question.rules or self._rules
        for one in self._embeddings:
            vector = _wished(question, one) or one.of(question.history, rules.query_events, rules.query_half_life)
            if vector is not None:
                yield NeighbourQuery(vector, rules.neighbours, excluded(question), using=one.name)

    def _combined(self, queries: Sequence[NeighbourQuery], answers: Sequence[Neighbours]) -> Found:
        ways = [(*self._ways[query.using], found) for query, found in zip(queries, answers, strict=True)]
        return combined(ways, queries[0].limit)


def combined(answers: Sequence[tuple[int, float, Neighbours]], limit: int) -> Found:
    """The best `limit` of what several ways found: each with its column of `Found.parts`, and its weight."""
    versions: dict[int, int] = {}
    for _, _, found in answers:
        versions.update(zip(found.ids, found.versions, strict=True))
    ids = np.fromiter(versions, np.int64, len(versions))
    rows = dict(zip(versions, range(len(versions)), strict=True))
    parts = np.zeros((len(ids), len(WAYS)))
    for column, weight, found in answers:
        if found.ids:
            similarities = np.array(found.similarities)
            parts[[rows[identity] for identity in found.ids], column] = weight * similarities / similarities[0]
    total = parts.sum(axis=1)
    order = np.lexsort((ids, -total))[:limit]
    nearest = ids[order].tolist()
    return Found(
        Neighbours(nearest, total[order].tolist(), [versions[identity] for identity in nearest]), parts=parts[order]
    )


def excluded(question: Question) -> int:
    """The point that is no neighbour of who asks."""
    return NOBODY if question.excluding is None else question.excluding


def ratings_weight(rules: RankingRules) -> float:
    """What the other ways leave to ratings; a rest that is rounding alone is none."""
    left = 1.0 - rules.content_weight - rules.factors_weight
    return left if left > _ROUNDING else 0.0


_ROUNDING = 1e-9


def _wished(question: Question, embedding: Embedding) -> DenseVector | None:
    """A question's own wishes stand in place of the taste that ratings show."""
    return question.wishes if embedding.way == "content" else None
