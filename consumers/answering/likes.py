"""Likes of somebody without a profile, as the history that they would have, all of the same age.

A like of 1 or −1 is the best or the worst rating of the catalogue's scale, measured from its middle. Where the rules
measure every rating from one fixed mean, it is worth 1 or −1 in their deviation, as it stands. Ratings are what a
user's own would be.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from consumers.answering.item_names import ItemNames, listed
from consumers.item_ids import ItemId
from recommender.profile import History, Items
from recommender.rules import RankingRules
from recommender.vector import ValueRule
from schemas.questions import Like
from schemas.request_errors import RequestError
from schemas.scale import Scale


@dataclass(frozen=True, slots=True, eq=False)
class Liked:
    """Likes as a history, the rules to ask with, and the ids that were left out because nobody knows them."""

    history: History
    rules: RankingRules
    unknown: tuple[ItemId, ...] = ()


@dataclass(frozen=True, slots=True)
class LikeReader:
    """Resolves what likes name; `are_rated` tells of dimensions which of them anybody has rated."""

    names: ItemNames
    scale: Scale
    are_rated: Callable[[Items], NDArray[np.bool_]]

    def read(self, likes: Sequence[Like], rules: RankingRules) -> Liked:
        """The history of likes.

        Raises:
            RequestError: a name that no item or several items have, a rating off the scale, nothing that is known.
        """
        resolved = self._resolved(likes)
        named = np.array(list(resolved), np.uint32)
        known = self.are_rated(named) | np.array([self.names.catalogue.get(item) is not None for item in resolved])
        if not known.any():
            names = [like.name[1] for like in resolved.values()]
            raise RequestError("unknown_items", f"nobody knows any of these items: {listed(names)}")
        # Who is found by a title or a link is known.
        unknown = [like.name[1] for like, is_known in zip(resolved.values(), known, strict=True) if not is_known]
        left = [like for like, is_known in zip(resolved.values(), known, strict=True) if is_known]
        ratings = np.array([self._rating(like, rules.value) for like in left], np.float64)
        history = History(named[known], ratings, np.zeros(len(left), np.int64))
        asking = replace(rules, value=self._measured(left, rules.value), query_events=0, query_half_life=0.0)
        return Liked(history, asking, tuple(unknown))

    def _resolved(self, likes: Sequence[Like]) -> dict[int, Like]:
        """The likes by the dimension they name."""
        resolved: dict[int, Like] = {}
        for like, item in zip(likes, self.names.dimensions(likes), strict=True):
            if item in resolved:
                twice = item if self.names.items.registry is None else like.name[1]
                raise RequestError("contradiction", f"the item {twice} is named twice")
            resolved[item] = like
        return resolved

    def _rating(self, like: Like, value: ValueRule) -> float:
        """On the catalogue's scale."""
        if like.rating is not None:
            if like.rating not in self.scale:
                raise RequestError("rating_out_of_scale", f"{like.rating:g} lies outside the scale {self.scale}")
            return like.rating
        likes_it = like.like == 1
        if value.centre is None:
            return self.scale.maximum if likes_it else self.scale.minimum
        stars = value.centre + (value.spread if likes_it else -value.spread)
        return (stars - value.intercept) / value.slope

    def _measured(self, likes: Sequence[Like], value: ValueRule) -> ValueRule:
        """The rule for these likes: with any of 1 or −1 among them, ratings are measured from the scale's middle."""
        if value.centre is not None or all(like.like is None for like in likes):
            return value
        middle = (self.scale.minimum + self.scale.maximum) / 2
        return replace(value, centre=middle * value.slope + value.intercept)
