"""Answers as they stand in replies."""

from dataclasses import dataclass
from functools import lru_cache

from consumers.answering.asking import Asked
from consumers.answering.similar_users import UserWriter
from consumers.lists import ListWriter
from recommender.listing import RankedList
from recommender.neighbourhood import Found
from recommender.rules import RankingRules
from schemas.replies import ListAnswer, SimilarUsersAnswer

LABELS_MAX = 1_024


@dataclass(frozen=True, slots=True)
class AnswerWriter:
    """Writes lists as the topic of lists has them, and users as far as they may be told of."""

    lists: ListWriter
    near: UserWriter
    preset: str

    def list(self, asked: Asked, ranked: RankedList) -> ListAnswer:
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

    def users(self, asked: Asked, found: Found) -> SimilarUsersAnswer:
        """The answer to `similar_users`."""
        answer: SimilarUsersAnswer = {
            "type": "similar_users",
            "asker": asked.asker,
            "users": self.near.users(found.neighbours, asked.question.history),
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
