"""A question: for whom a list is wanted, by which rules, out of which users and items."""

from dataclasses import dataclass, field

from recommender.filters import UserFilter
from recommender.item_filters import ItemFilter
from recommender.profile import NO_ITEMS, History, Items
from recommender.rules import RankingRules
from recommender.vector import DenseVector


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """One list wanted for somebody with this history, stored or not.

    `seen` are further items that must not be shown; `excluding` is the point id of the user who asks, who is no
    neighbour of their own. `rules` may differ from the deployment's in what is query side; None: the deployment's own.
    `votes_since_ms`: only ratings from then on (epoch ms) vote; None: all. `items`: what may be in the list; None: all.
    `where`: who may be a neighbour; None: everybody. Where it leaves too few, it is widened (see `filters.widened`).
    `wishes`: a content vector to find neighbours by, in place of the taste that the history shows; it counts only where
    the deployment finds neighbours by content.
    """

    history: History
    seen: Items = field(default_factory=lambda: NO_ITEMS)
    excluding: int | None = None
    rules: RankingRules | None = None
    votes_since_ms: int | None = None
    items: ItemFilter | None = None
    where: UserFilter | None = None
    wishes: DenseVector | None = None
