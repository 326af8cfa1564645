"""Answers as they stand in replies."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from consumers.answering.asking import Asked, AskedItem
from consumers.answering.similar_users import SIMILARITY_DIGITS, UserWriter
from consumers.lists import ListWriter
from recommender.listing import RankedList
from recommender.rules import RankingRules
from recommender.searching import Found
from recommender.similar_items import SimilarItems
from schemas.replies import KnownItem, ListAnswer, SimilarItemsAnswer, SimilarUser, SimilarUsersAnswer

LABELS_MAX = 1_024


@dataclass(frozen=True, slots=True)
class AnswerWriter:
    """Writes lists as the topic of lists has them, and users as far as they may be told of."""

    lists: ListWriter
    near: UserWriter
    preset: str

    def items(self, asked: Asked, ranked: RankedList) -> ListAnswer:
        """The answer to `recommend`."""
        answer: ListAnswer = {
            "type": "recommend",
            "asker": asked.asker,
            "tier": ranked.tier,
            "items": self.lists.items(ranked),
            "ranking": _label(asked.rules, self.preset),
        }
        if ranked.widened is not None:
            answer["widened"] = ranked.widened
        if asked.unknown:
            answer["unknown_items"] = [*asked.unknown]
        return answer

    def users(self, asked: Sequence[Asked], found: Sequence[Found]) -> list[SimilarUsersAnswer]:
        """The answers to `similar_users`."""
        users = self.near.answers([one.neighbours for one in found], [one.question.history for one in asked])
        return [self._users(*answer) for answer in zip(asked, found, users, strict=True)]

    def similar_items(self, asked: AskedItem, found: SimilarItems) -> SimilarItemsAnswer:
        """The answer to `similar_items`."""
        alike = zip(found.item, np.round(found.similarity, SIMILARITY_DIGITS).tolist(), strict=True)
        return {
            "type": "similar_items",
            "item": self._known(asked.item),
            "by": asked.wanted.by,
            "items": [{**self._known(item), "similarity": similarity} for item, similarity in alike],
        }

    def _known(self, item: int) -> KnownItem:
        known: KnownItem = {"item_id": self.lists.item_ids.name(item)}
        if (title := self.lists.title(item)) is not None:
            known["title"] = title
        if genres := self.lists.genres(item):
            known["genres"] = genres
        return known

    def _users(self, asked: Asked, found: Found, users: list[SimilarUser]) -> SimilarUsersAnswer:
        answer: SimilarUsersAnswer = {
            "type": "similar_users",
            "asker": asked.asker,
            "users": users,
            "ranking": _label(asked.rules, self.preset),
        }
        if found.step is not None:
            answer["widened"] = found.step
        if asked.unknown:
            answer["unknown_items"] = [*asked.unknown]
        return answer


@lru_cache(LABELS_MAX)
def _label(rules: RankingRules, preset: str) -> str:
    return rules.label(preset)
