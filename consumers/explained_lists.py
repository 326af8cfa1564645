"""Lists with their reasons: as they were published, or ranked anew from the store where they were published without."""

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any, Self

from consumers.catalogue_reading import read_catalogue
from consumers.existing_store import store_place, visited_store
from consumers.item_ids import ItemIds
from consumers.lists import ListWriter
from consumers.ranking_kernels import RankingKernels
from consumers.settings import Settings
from consumers.settings_mapping import ranking_rules, wanted_factors
from consumers.store_opening import open_item_ids, open_store
from recommender.explaining import Explainer
from recommender.profile import NEW_USER
from recommender.recommender import Recommender
from recommender.store import Store, StoreBusyError
from schemas.recommendations import ListItem, RecommendationList

SCAN_USERS = 500


class NotExplainedError(Exception):
    """There are no reasons to be had; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Reasons:
    """Items with their reasons, and whether they are the published ones (else ranked now, from the store)."""

    items: Sequence[ListItem]
    published: bool

    def document(self) -> dict[str, Any]:
        """As JSON carries them."""
        return {"from": "list" if self.published else "store", "items": self.items}


def published_reasons(value: RecommendationList, top: int) -> Reasons | None:
    """The reasons that a list carries for its first items, None where it carries none."""
    items = [item for item in value["items"][:top] if "why" in item]
    return Reasons(items, published=True) if items else None


class StoreReasons:
    """Ranks from an open store as a worker would that has just started, so without the trend that it tunes."""

    def __init__(self, store: Store, items: ItemIds, settings: Settings) -> None:
        self._store = store
        rules, limits = ranking_rules(settings), settings.limits
        cache_max_bytes, catalogue = limits.neighbour_cache_max_bytes, read_catalogue(settings, items).known
        factors = wanted_factors(settings, rules)
        self._recommender = Recommender(store, rules, cache_max_bytes, RankingKernels(), catalogue, factors=factors)
        self._recommender.warm_up()
        while self._recommender.scan_slice(SCAN_USERS):
            pass
        label, epoch = rules.label(settings.ranking.preset), store.settings.epoch
        topic, fallback = settings.recommendations_topic, settings.catalogue.fallback_title
        self._writer = ListWriter(topic, "tastestream", label, epoch, catalogue, fallback, items)

    def of(self, user_id: str, top: int) -> Reasons:
        """The reasons for the first items of the list that the user would get now."""
        state = self._store.read([user_id], []).states.get(user_id, NEW_USER)
        (ranked,) = Explainer(self._recommender, top).answer([self._recommender.question_of(user_id, state)])
        return Reasons(self._writer.items(ranked)[:top], published=False)


def stored_reasons(settings: Settings, user_id: str, top: int) -> Reasons:
    """The same from the store that the settings name, opened for this.

    Raises:
        NotExplainedError: it is held by a worker, or there is none.
        StoreError: it cannot be used, or was made with other settings.
    """
    try:
        with visited_store(settings) as visited:
            if visited is None:
                raise NotExplainedError(unexplained(f"there is no store at {store_place(settings)}"))
            return StoreReasons(*visited, settings).of(user_id, top)
    except StoreBusyError:
        raise NotExplainedError(unexplained("a running worker holds the store")) from None


def unexplained(why_not_from_the_store: str) -> str:
    """The sentence for lists without reasons."""
    return (
        f"the list carries no reasons, and {why_not_from_the_store}: have the worker give them, with "
        "ranking.explain_items (so many of each list's first items)"
    )


class ReasonsAsTheyCome:
    """Reasons for the first items of lists as they are published; use as a context manager.

    Of a list without its own they are ranked anew where the store is a server's. An Edge store is left alone: opening
    it would keep its worker from starting.
    """

    def __init__(self, settings: Settings, top: int) -> None:
        self._settings = settings
        self._top = top
        self._stack = ExitStack()
        self._stored: StoreReasons | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def of(self, value: RecommendationList) -> Reasons:
        """The reasons for a list.

        Raises:
            NotExplainedError: the list carries none, and there is nobody to ask.
            StoreError: the store cannot be used.
        """
        if (found := published_reasons(value, self._top)) is not None:
            return found
        if self._settings.qdrant.store == "edge":
            raise NotExplainedError(unexplained("an Edge store is its worker's alone"))
        if self._stored is None:
            store = self._stack.enter_context(closing(open_store(self._settings)))
            items = self._stack.enter_context(closing(open_item_ids(self._settings)))
            self._stored = StoreReasons(store, items, self._settings)
        return self._stored.of(value["user_id"], self._top)
