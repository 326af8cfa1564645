"""What stands behind neighbours who were found by several ways, and by which of these the items of a list came."""

from collections.abc import Iterator, Sequence

import numpy as np

from recommender.embedding import Embedding, Way
from recommender.item_index import Dense
from recommender.neighbour_cache import Profiles
from recommender.profile import Floats, History, Items
from recommender.question import Question
from recommender.reasons_behind import (
    Behind,
    VectorEntries,
    behind_by_addends,
    behind_by_all,
    behind_by_ratings,
    nothing_behind,
)
from recommender.rules import RankingRules
from recommender.searching import WAYS
from recommender.vector import SparseVector, ValueRule, query_vector, user_vector

NO_VECTOR = SparseVector(np.empty(0, np.uint32), np.empty(0, np.float32))


def vector_entries(histories: Sequence[History], rule: ValueRule) -> VectorEntries:
    """The sparse vectors of neighbours with these histories."""
    vectors = [user_vector(history, rule) for history in histories]
    held = [(at, vector) for at, vector in enumerate(vectors) if vector is not None]
    some = [NO_VECTOR, *(vector for _, vector in held)]
    return VectorEntries(
        np.repeat(np.array([at for at, _ in held], np.intp), [len(vector) for _, vector in held]),
        np.concatenate([vector.indices for vector in some]),
        np.concatenate([vector.values for vector in some]).astype(np.float64),
    )


class MixedReasons:
    """What stands behind the neighbours of one question."""

    def __init__(self, question: Question, rules: RankingRules, embeddings: Sequence[Embedding]) -> None:
        self._question = question
        self._rules = rules
        self._embeddings = embeddings
        self.asked: Items = question.history.rated().items[-rules.query_events :]

    def behind(self, parts: Floats, histories: Sequence[History]) -> Behind:
        """Behind neighbours with these histories, in whose similarity each way has its part, shape (k, 3)."""
        shares = parts / parts.sum(axis=1)[:, None]
        ways = [(way, shares[:, WAYS.index(name)]) for name, way in self._ways(histories)]
        ways = [(way, part) for way, part in ways if part.any()]
        return behind_by_all(ways, len(self.asked))

    def _ways(self, histories: Sequence[History]) -> Iterator[tuple[Way, Behind]]:
        yield "ratings", self._by_ratings(histories)
        for one in self._embeddings:
            yield one.way, self._by_embedding(one, histories)

    def _by_ratings(self, histories: Sequence[History]) -> Behind:
        rules = self._rules
        query = query_vector(self._question.history, rules.value, rules.query_events, rules.query_half_life)
        if query is None:
            return nothing_behind(len(histories))
        entries = vector_entries(histories, rules.value)
        own = np.zeros(len(self.asked))
        # What the rule prunes was not asked with, so the query may reach back to earlier ratings than these.
        own[np.isin(self.asked, query.indices)] = query.values[np.isin(query.indices, self.asked)]
        return behind_by_ratings(self.asked, own, entries, len(histories))

    def _by_embedding(self, embedding: Embedding, histories: Sequence[History]) -> Behind:
        if embedding.way == "content" and self._question.wishes is not None:
            return nothing_behind(len(histories))
        rules = self._rules
        addends = embedding.addends(self._question.history, rules.query_events, rules.query_half_life)
        if not len(addends.items):
            return nothing_behind(len(histories))
        nothing = np.zeros(addends.rows.shape[1])
        vectors = [nothing if (found := embedding.of(one)) is None else found.values for one in histories]
        return behind_by_addends(self.asked, addends, np.array(vectors, np.float64))


def found_by(dense: Dense, profiles: Profiles, parts: Floats, items: int) -> tuple[tuple[Way, ...], ...]:
    """By what those were found who rated each of these items (numbers, of so many `items`); nobody: ()."""
    bits = (parts > 0) @ (1 << np.arange(len(WAYS)))
    rated, _ = profiles.entries()
    met = np.zeros(items, np.int64)
    np.bitwise_or.at(met, rated, np.repeat(bits, profiles.lengths))
    return tuple(_NAMED[mask] for mask in met[dense].tolist())


_NAMED = tuple(tuple(way for at, way in enumerate(WAYS) if mask >> at & 1) for mask in range(1 << len(WAYS)))
