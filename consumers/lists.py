"""Ranked lists to output records."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from consumers.item_ids import INTEGER_IDS, ItemId, ItemIds
from consumers.reasons import why_there
from consumers.records import Record
from recommender.catalogue import Catalogue, CatalogueItem
from recommender.embedding import Way
from recommender.explanation import SCORE_DIGITS
from recommender.listing import RankedList
from recommender.profile import UserState, mean_rating
from schemas.decode import Decoded
from schemas.identity import POPULAR_USER_ID
from schemas.messages import Message
from schemas.recommendations import (
    FoundBy,
    ListItem,
    ListSource,
    ListState,
    RecommendationList,
    forgotten_message,
    list_message,
)
from schemas.times import format_time

_RATING_DIGITS = 2


@dataclass(frozen=True, slots=True)
class ListWriter:
    """Writes the records of `topic`: `ranking` is the label of the rules, `epoch` the store's generation.

    Items are named as `catalogue` knows them when a list is written; `fallback_title`, with {item_id} for the id, names
    those that it has no title of.
    """

    topic: str
    origin: str
    ranking: str
    epoch: int
    catalogue: Catalogue = field(default_factory=Catalogue)
    fallback_title: str | None = None
    item_ids: ItemIds = INTEGER_IDS

    def write(self, record: Record, decoded: Decoded, state: UserState, ranked: RankedList, now_ms: int) -> Message:
        """The record of a user's list; `record` and `decoded` are the event it answers to."""
        rated = state.history.rated()
        behind: ListState = {
            "epoch": self.epoch,
            "version": state.count,
            "num_ratings": len(rated),
            "avg_rating": mean_rating(rated),
        }
        source = _source(record, decoded.at_ms, decoded.event.event_id)
        return self._message(decoded.event.user_id, behind, source, ranked, now_ms)

    def popular(self, record: Record, ranked: RankedList, version: int, now_ms: int) -> Message:
        """The record of the list for users nobody knows; `record` is one that it is published with."""
        behind: ListState = {"epoch": self.epoch, "version": version, "num_ratings": 0, "avg_rating": None}
        source = _source(record, now_ms if record.timestamp_ms is None else record.timestamp_ms, None)
        return self._message(POPULAR_USER_ID, behind, source, ranked, now_ms)

    def _message(self, user_id: str, behind: ListState, source: ListSource, ranked: RankedList, now_ms: int) -> Message:
        value: RecommendationList = {
            "schema": 1,
            "user_id": user_id,
            "list_id": f"{user_id}:{behind['epoch']}.{behind['version']}",
            "tier": ranked.tier,
            "items": self.items(ranked),
            "ranking": self.ranking,
            "state": behind,
            "source": source,
            "generated_at": format_time(now_ms),
        }
        if ranked.widened is not None:
            value["widened"] = ranked.widened
        return list_message(self.topic, self.origin, value)

    def tombstone(self, record: Record, user_id: str, state: UserState, now_ms: int) -> Message:
        """The record that removes a forgotten user's list; `record` is the event it answers to."""
        list_id = f"{self.epoch}.{state.count}"
        source = f"{record.topic}:{record.partition}:{record.offset}"
        return forgotten_message(self.topic, self.origin, user_id, list_id, format_time(now_ms), source)

    def look_up(self, lists: Iterable[RankedList]) -> None:
        """Have the ids of all items of these lists at hand, where they have to be asked for, at once.

        Raises:
            StoreUnavailableError: the registry of items is away.
        """
        self.item_ids.look_up(item for ranked in lists for item in ranked.item)

    def items(self, ranked: RankedList) -> list[ListItem]:
        """The places of a list, as its record has them."""
        names = self.item_ids.named(ranked.item)
        scores = np.round(ranked.score, SCORE_DIGITS).tolist()
        ratings = np.round(ranked.predicted_rating, _RATING_DIGITS).tolist()
        columns = (names, scores, ratings, ranked.support, map(self.catalogue.get, ranked.item))
        items = [self._place(*row) for row in zip(*columns, strict=True)]
        # Of none where neighbours are found by their ratings alone.
        for place, ways in zip(items, ranked.found_by, strict=False):
            if ways:
                place["type"], place["source"] = _found_by(ways), [*ways]
        # As many as are explained, which may be fewer or none.
        for place, explanation in zip(items, ranked.why, strict=False):
            place["why"] = why_there(explanation, self._called)
        return items

    def title(self, item: int) -> str | None:
        """What an item (dimension) is called; None where that is not known, and there is no fallback."""
        return self._title(self.catalogue.get(item), self.item_ids.name(item))

    def _called(self, item: int) -> tuple[ItemId, str | None]:
        name = self.item_ids.name(item)
        return name, self._title(self.catalogue.get(item), name)

    def _title(self, known: CatalogueItem | None, name: ItemId) -> str | None:
        if known is not None and known.title is not None:
            return known.title
        return None if self.fallback_title is None else self.fallback_title.replace("{item_id}", str(name))

    def genres(self, item: int) -> list[str]:
        """The genres of an item (dimension), none where they are not known."""
        known = self.catalogue.get(item)
        return [] if known is None else list(known.genres)

    def _place(self, name: ItemId, score: float, rating: float, support: int, known: CatalogueItem | None) -> ListItem:
        place: ListItem = {"item_id": name, "score": score, "predicted_rating": rating, "support": support}
        if (title := self._title(known, name)) is not None:
            place["title"] = title
        if known is not None and known.genres:
            place["genres"] = list(known.genres)
        return place


def _found_by(ways: Sequence[Way]) -> FoundBy:
    if "content" not in ways:
        return "collaborative"
    return "both" if len(ways) > 1 else "content"


def _source(record: Record, rated_at_ms: int, event_id: str | None) -> ListSource:
    return {
        "topic": record.topic,
        "topic_id": record.source.rpartition(":")[0],
        "partition": record.partition,
        "offset": record.offset,
        "rated_at": format_time(rated_at_ms),
        "event_id": event_id,
    }
