"""The users nearest to somebody, with what may be told of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recommender.profile import History, Items, UserState, mean_rating
from recommender.store import Neighbours, Store
from schemas.replies import SimilarUser

SIMILARITY_DIGITS = 6


@dataclass(frozen=True, slots=True)
class UserWriter:
    """Describes users: by their ids only where that is allowed, and by these attributes alone."""

    store: Store
    allow_user_ids: bool
    shown_attributes: frozenset[str]

    def answers(self, found: Sequence[Neighbours], askers: Sequence[History]) -> list[list[SimilarUser]]:
        """The users found for each of those who ask, the nearest first; whoever is gone meanwhile is left out."""
        wanted = dict.fromkeys(identity for neighbours in found for identity in neighbours.ids)
        states = self.store.states(list(wanted)) if wanted else {}
        return [self._users(near, asker, states) for near, asker in zip(found, askers, strict=True)]

    def _users(self, found: Neighbours, asker: History, states: Mapping[int, UserState]) -> list[SimilarUser]:
        rated = asker.rated().items
        return [
            self._user(similarity, states[identity], rated)
            for identity, similarity in zip(found.ids, found.similarities, strict=True)
            # A forgotten user's point stays, without who it was.
            if identity in states and states[identity].user_id is not None
        ]

    def _user(self, similarity: float, state: UserState, rated: Items) -> SimilarUser:
        theirs = state.history.rated()
        user: SimilarUser = {
            "similarity": round(similarity, SIMILARITY_DIGITS),
            "overlap": len(np.intersect1d(theirs.items, rated, assume_unique=True)),
            "num_ratings": len(theirs),
            "avg_rating": mean_rating(theirs),
            "attributes": {
                name: state.attributes[name] for name in sorted(self.shown_attributes & state.attributes.keys())
            },
        }
        if self.allow_user_ids and state.user_id is not None:
            user["user_id"] = state.user_id
        return user
