"""From a question on the wire to one that the recommender takes, with what the reply has to say of who asked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from consumers.answering.likes import LikeReader
from recommender.catalogue import CatalogueItem
from recommender.content import content_vector
from recommender.filters import Between, Condition, OneOf, UserFilter
from recommender.item_filters import ItemFilter
from recommender.profile import EMPTY_HISTORY, NEW_USER, AttributeValue, History, UserState, mean_rating
from recommender.question import Question
from recommender.rules import RankingRules
from recommender.store import point_id
from recommender.vector import DenseVector
from schemas import questions as wire
from schemas.replies import Asker
from schemas.request_conditions import AttributeCondition, ItemConditions, NeighbourConditions, QueryRules, ValueRange
from schemas.request_errors import RequestError

RULES_MAX = 1_024
"""Rules that are kept, of those that requests ask for."""


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A question about somebody, ready to be answered: what was asked, about whom, and the ids that were left out."""

    wanted: wire.AboutSomebody
    question: Question
    rules: RankingRules
    asker: Asker
    unknown: tuple[int | str, ...] = ()


@dataclass(frozen=True, slots=True)
class AskedItem:
    """A question about an item (dimension), ready to be answered."""

    wanted: wire.SimilarItems
    item: int


@dataclass(frozen=True, slots=True)
class Asking:
    """Makes questions by the deployment's rules, changed where a request may change them.

    Conditions of a request stand in place of the deployment's standing ones: those on neighbours, and those on items.
    `has_attribute` tells whether any user has one, `newest_ms` when the newest rating of all was given (epoch ms).
    """

    rules: RankingRules
    likes: LikeReader
    has_attribute: Callable[[str], bool]
    newest_ms: Callable[[], int]

    def asked(self, wanted: wire.Question, states: Mapping[str, UserState]) -> Asked | AskedItem:
        """The question; `states` are those of the users that questions are about, by user id.

        Raises:
            RequestError: what is asked for cannot be.
        """
        if isinstance(wanted, wire.SimilarItems):
            return self._about_item(wanted)
        return self._about_somebody(wanted, states)

    def _about_item(self, wanted: wire.SimilarItems) -> AskedItem:
        (item,) = self.likes.names.dimensions([wanted])
        known, name = self.likes.names.catalogue.get(item), wanted.name[1]
        is_rated = bool(self.likes.are_rated(np.array([item], np.uint32))[0])
        if known is None and not is_rated:
            raise RequestError("unknown_items", f"nobody knows the item {name!s}")
        if wanted.by == "content" and (known is None or content_vector(known) is None):
            raise RequestError(
                "no_traits",
                f"no genres, tags or year are known of the item {name!s}: ask for what is similar by ratings",
            )
        if wanted.by == "ratings" and not is_rated:
            raise RequestError(
                "no_ratings", f"nobody has rated the item {name!s} yet: ask for what is similar by content"
            )
        return AskedItem(wanted, item)

    def _about_somebody(self, wanted: wire.AboutSomebody, states: Mapping[str, UserState]) -> Asked:
        rules = _changed(self.rules, wanted.rules)
        if wanted.user_id is None and wanted.likes is None:
            return self._narrowed(Asked(wanted, Question(EMPTY_HISTORY), rules, _asker(None, EMPTY_HISTORY)), {})
        if wanted.user_id is None:
            liked = self.likes.read(wanted.likes or (), rules)
            asked = Asked(wanted, Question(liked.history), liked.rules, _asker(None, liked.history), liked.unknown)
            return self._narrowed(asked, {})
        state = states.get(wanted.user_id, NEW_USER)
        if state.user_id != wanted.user_id:
            # Forgotten, or another user's point: nothing is known of this one.
            state = NEW_USER
        asker = _asker(wanted.user_id, state.history, known=state.user_id is not None)
        question = Question(state.history, state.seen, point_id(wanted.user_id))
        return self._narrowed(Asked(wanted, question, rules, asker), state.attributes)

    def _narrowed(self, asked: Asked, attributes: Mapping[str, AttributeValue]) -> Asked:
        """With the length of the answer, and with the conditions on neighbours, votes and items."""
        wanted = asked.wanted
        where = self._where(wanted, attributes)
        wishes = None if wanted.wishes is None else self._wished(wanted.wishes)
        if isinstance(wanted, wire.SimilarUsers):
            rules = replace(asked.rules, neighbours=wanted.n)
            return replace(asked, question=replace(asked.question, where=where, wishes=wishes, rules=rules))
        rules = _for_lists(asked.rules, wanted.n, wanted.votes.within_days)
        items = self._item_filter(wanted.items) or self.rules.filters.items
        narrowed = replace(
            asked.question, where=where, wishes=wishes, rules=rules, votes_since_ms=wanted.votes.since, items=items
        )
        return replace(asked, question=narrowed)

    def _wished(self, wishes: wire.Wishes) -> DenseVector:
        if not self.rules.content_weight:
            raise RequestError(
                "not_hybrid", "wishes need neighbours that are found by content: set ranking.content_weight, as to 0.3"
            )
        if missing := ItemFilter(genres=wishes.genres, tags=wishes.tags).unknown(self.likes.names.catalogue):
            raise RequestError("unknown_label", "; ".join(missing))
        vector = content_vector(CatalogueItem(genres=wishes.genres, tags=wishes.tags))
        if vector is None:
            raise RequestError("no_traits", "these genres and tags cancel each other out: name one of them fewer")
        return DenseVector(vector)

    def _where(self, wanted: wire.AboutSomebody, attributes: Mapping[str, AttributeValue]) -> UserFilter | None:
        if missing := [name for name in wanted.neighbours.attributes if not self.has_attribute(name)]:
            raise RequestError("unknown_attribute", f"no user has the attribute {missing[0]!r}")
        return user_filter(wanted.neighbours) or self.rules.filters.of(attributes, self.newest_ms())

    def _item_filter(self, conditions: ItemConditions) -> ItemFilter | None:
        if not conditions.model_fields_set:
            return None
        include, exclude = (self.likes.names.of_ids(named) for named in (conditions.include, conditions.exclude))
        try:
            wanted = ItemFilter(**conditions.model_dump() | {"include": include, "exclude": exclude})
        except ValueError as error:
            raise RequestError("bad_filter", str(error)) from None
        if missing := wanted.unknown(self.likes.names.catalogue):
            raise RequestError("unknown_label", "; ".join(missing))
        return None if wanted == ItemFilter() else wanted


def user_filter(conditions: NeighbourConditions) -> UserFilter | None:
    """Which users may be neighbours; None: all.

    Raises:
        RequestError: no user can meet the conditions.
    """
    if not conditions.model_fields_set:
        return None
    try:
        attributes = tuple(_condition(name, wanted) for name, wanted in conditions.attributes.items())
        wanted = UserFilter(attributes, conditions.min_ratings, conditions.active_since)
    except ValueError as error:
        raise RequestError("bad_filter", str(error)) from None
    return wanted or None


def _condition(name: str, wanted: AttributeCondition) -> Condition:
    if isinstance(wanted, ValueRange):
        return Between(name, wanted.least, wanted.greatest)
    return OneOf(name, wanted.values)


def _changed(rules: RankingRules, wanted: QueryRules) -> RankingRules:
    changed = wanted.model_dump(exclude_none=True) if wanted.model_fields_set else {}
    return replace(rules, **changed) if changed else rules


@lru_cache(RULES_MAX)
def _for_lists(rules: RankingRules, length: int, within_days: float | None) -> RankingRules:
    listing = replace(rules, list_length=length)
    return listing if within_days is None else replace(listing, votes_within_days=within_days)


def _asker(user_id: str | None, history: History, *, known: bool = False) -> Asker:
    rated = history.rated()
    asker: Asker = {"known": known, "num_ratings": len(rated), "avg_rating": mean_rating(rated)}
    if user_id is not None:
        asker["user_id"] = user_id
    return asker
