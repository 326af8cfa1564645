"""The users nearest to somebody, with what may be told of them."""

from dataclasses import dataclass

import numpy as np

from recommender.profile import History, Items, UserState, mean_rating
from recommender.store import Neighbours, Store
from schemas.replies import SimilarUser

_SIMILARITY_DIGITS = 6


@dataclass(frozen=True, slots=True)
class UserWriter:
    """Describes users: by their ids only where that is allowed, and by these attributes alone."""

    store: Store
    allow_user_ids: bool
    shown_attributes: frozenset[str]

    def users(self, found: Neighbours, asker: History) -> list[SimilarUser]:
        """The users found, the nearest first; `asker` is the history of who asked."""
        rated = asker.rated().items
        near = zip(found.ids, found.similarities, strict=True)
        states = ((similarity, self._state(identity)) for identity, similarity in near)
        return [self._user(similarity, state, rated) for similarity, state in states if state is not None]

    def _state(self, identity: int) -> UserState | None:
        """The state of a point; None where it has gone meanwhile, or was forgotten."""
        page = self.store.scan(identity, 1)
        return next((state for at, state in page.states if at == identity and state.user_id is not None), None)

    def _user(self, similarity: float, state: UserState, rated: Items) -> SimilarUser:
        theirs = state.history.rated()
        user: SimilarUser = {
            "similarity": round(similarity, _SIMILARITY_DIGITS),
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
