"""Lists that say why: the recommender's own, and where an item would stand without a rating, by really ranking again.

The list without a rating is the one that the user would get now had they never rated that item, with all else as it is:
neighbours are asked anew, and the trend is mixed in as for a user with one rating fewer. The item itself stays out of
it, so that the two lists rank the same items.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from recommender.diversity import CANDIDATES_MAX
from recommender.explanation import Breakdown, Evidence, Explanation, Without
from recommender.listing import RankedList
from recommender.live import FirstRatings
from recommender.profile import UserState
from recommender.question import Question
from recommender.recommender import Recommender

WITHOUT_MAX = 3
"""Ratings per explained item without which the list is made anew: those that speak for it most."""
PLACES_MIN = CANDIDATES_MAX
"""How far down an item is looked for, at least, where its list is shorter; further, diversity would choose anew."""


class Explainer:
    """Ranks as its recommender does; the first `items` of each list come with their explanations."""

    def __init__(self, recommender: Recommender, items: int) -> None:
        self._recommender = recommender
        self._items = items

    def changed(self, changed: Sequence[tuple[str, UserState, UserState]]) -> list[FirstRatings]:
        """See `Recommender.changed`."""
        return self._recommender.changed(changed)

    def recommend(self, users: Sequence[tuple[str, UserState]]) -> list[RankedList]:
        """See `Recommender.recommend`."""
        return self._explained([self._recommender.question_of(user_id, state) for user_id, state in users], tuning=True)

    def answer(self, questions: Sequence[Question]) -> list[RankedList]:
        """See `Recommender.answer`."""
        return self._explained(questions, tuning=False)

    def _explained(self, questions: Sequence[Question], *, tuning: bool) -> list[RankedList]:
        answers = self._recommender.evidence(questions, tuning=tuning)
        return [
            replace(ranked, why=self._why(question, ranked, evidence))
            for question, (ranked, evidence) in zip(questions, answers, strict=True)
        ]

    def _why(self, question: Question, ranked: RankedList, evidence: Evidence) -> tuple[Explanation, ...]:
        items = ranked.item[: self._items]
        dense = self._recommender.index.find(np.array(items, np.uint32)).tolist()
        breakdown = Breakdown(evidence)
        reasons = [breakdown.of(*place) for place in zip(dense, ranked.score[: self._items], strict=True)]
        decisive = [_decisive(reason) for reason in reasons]
        # Searches from here on: what the evidence holds of the neighbours is void.
        places = self._places_without(question, evidence, sorted({item for some in decisive for item in some}))
        return tuple(
            replace(reason, without=tuple(Without(own, places[own].get(item)) for own in some))
            for item, reason, some in zip(items, reasons, decisive, strict=True)
        )

    def _places_without(
        self, question: Question, evidence: Evidence, items: Sequence[int]
    ) -> dict[int, dict[int, int]]:
        """By rated item, the places (from 1) in the list that there would be without the rating."""
        rules = evidence.rules
        shorter = [_without(replace(question, rules=rules), item) for item in items]
        longer = replace(rules, list_length=max(rules.list_length, PLACES_MIN))
        lists = self._recommender.answer([replace(one, rules=longer) for one in shorter])
        for at, ranked in enumerate(lists):
            if ranked.tier == "popular":
                # How long such a list is to be decides which popular items the trend is mixed into.
                lists[at : at + 1] = self._recommender.answer([shorter[at]])
        return {item: _places(ranked.item) for item, ranked in zip(items, lists, strict=True)}


def explaining(recommender: Recommender, items: int) -> Recommender | Explainer:
    """The recommender itself where no item is to be explained."""
    return Explainer(recommender, items) if items else recommender


def _decisive(explanation: Explanation) -> list[int]:
    """The rated items that speak for an explained one, the strongest first."""
    return [reason.item for reason in explanation.ratings if reason.units > 0][:WITHOUT_MAX]


def _without(question: Question, item: int) -> Question:
    history = question.history
    seen = np.append(question.seen, np.uint32(item))
    return replace(question, history=history.at(history.items != item), seen=seen)


def _places(items: Iterable[int]) -> dict[int, int]:
    return {item: place for place, item in enumerate(items, 1)}
