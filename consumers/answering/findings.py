"""What is found for questions: those of a kind are asked together, because the store takes many at once."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import cast

from consumers.answering.asking import Asked, AskedItem
from consumers.answering.writing import AnswerWriter
from recommender.explaining import explaining
from recommender.recommender import Recommender
from schemas.questions import Recommend
from schemas.replies import Answer

AnyAsked = Asked | AskedItem


@dataclass(frozen=True, slots=True)
class Findings:
    """Asks the recommender, and has its answers written."""

    recommender: Recommender
    writer: AnswerWriter

    def answers(self, asked: Sequence[AnyAsked]) -> list[Answer]:
        """The answers, in order.

        Raises:
            StoreError: the store did not answer.
        """
        found: dict[int, Answer] = {}
        for kind in dict.fromkeys(map(_kind, asked)):
            places = [at for at, one in enumerate(asked) if _kind(one) == kind]
            found.update(zip(places, self._alike([asked[at] for at in places]), strict=True))
        return [found[at] for at in range(len(asked))]

    def _alike(self, asked: Sequence[AnyAsked]) -> Sequence[Answer]:
        """The answers to questions of one kind; there is at least one."""
        first = asked[0]
        if isinstance(first, AskedItem):
            return [self._similar_items(one) for one in cast("Sequence[AskedItem]", asked)]
        some = cast("Sequence[Asked]", asked)
        questions = [one.question for one in some]
        if isinstance(first.wanted, Recommend):
            lists = explaining(self.recommender, first.wanted.explain).answer(questions)
            return [self.writer.items(one, ranked) for one, ranked in zip(some, lists, strict=True)]
        return self.writer.users(some, self.recommender.neighbours(questions))

    def _similar_items(self, asked: AskedItem) -> Answer:
        wanted = asked.wanted
        return self.writer.similar_items(asked, self.recommender.similar_items(asked.item, wanted.n, wanted.by))


def _kind(asked: AnyAsked) -> Hashable:
    wanted = asked.wanted
    return wanted.type, wanted.explain if isinstance(wanted, Recommend) else 0
