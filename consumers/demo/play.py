"""The play: replay real ratings, watch the lists come, rate like a person, and check the store at the end."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from consumers.answering.client import ask
from consumers.catalogue_reading import item_producer
from consumers.demo.audience import Audience
from consumers.demo.stage import LIST_LENGTH, DemoError, Stage
from consumers.demo.story import Telling
from consumers.demo.verdict import SentRating, Verdict, compare
from consumers.store_opening import open_store
from consumers.topic_reader import TopicReader
from producers.datasets import bundled_dataset
from producers.item_files import item_records
from producers.ratings import RatingProducer
from producers.tables import Dataset, time_order
from schemas.recommendations import ListItem, RecommendationList

LIVE_EVENTS_MAX = 200
LIVE_RATE_PER_S = 20.0
PATIENCE_S = 60.0

Progress = Callable[[str, int, int], None]
"""Called with what is going on, events done and events to do."""


@dataclass(frozen=True, slots=True)
class Catching:
    """Phase one, as fast as it goes."""

    events: int
    lists: int
    seconds: float


class Play:
    """One demonstration on a stage; the phases are called in order."""

    def __init__(self, stage: Stage, reader: TopicReader, events: int | None, progress: Progress) -> None:
        self.dataset: Dataset = bundled_dataset()
        self.sent: list[SentRating] = []
        self._stage = stage
        self._progress = progress
        self._producer = RatingProducer(
            stage.settings.kafka.bootstrap_servers,
            stage.settings.input_topics[0],
            settings={"linger.ms": 0},
        )
        rows = time_order(self.dataset.ratings).take(slice(0, events)).rows()
        self._rows = [SentRating(str(user), int(item), rating, at_ms) for user, item, rating, at_ms in rows]
        live = min(LIVE_EVENTS_MAX, len(self._rows) // 5)
        self._bulk, self._live = self._rows[: len(self._rows) - live], self._rows[len(self._rows) - live :]
        self.audience = Audience(reader)

    def name_items(self) -> None:
        """Send what the data set says of its movies, so that lists have titles."""
        with item_producer(self._stage.settings) as producer:
            for item in item_records(self.dataset.items.values(), "integer", self.dataset.name):
                producer.put(item)

    def catch_up(self) -> Catching:
        """Send all but the last ratings as fast as it goes; returns when their lists are readable."""
        begun = time.monotonic()
        for done, row in enumerate(self._bulk):
            self._send(row)
            if done % 1000 == 0:
                self._progress("sending", done, len(self._bulk))
        self._producer.flush()
        self._await_events(len(self._bulk))
        return Catching(len(self._bulk), self.audience.lists, self.audience.last_at_s - begun)

    def live(self) -> list[float]:
        """Send the last ratings at a steady pace; returns the milliseconds from sending each to reading its list."""
        sent_at_s: dict[str, float] = {}
        begun = time.monotonic()
        for number, row in enumerate(self._live):
            due_s = begun + number / LIVE_RATE_PER_S
            while time.monotonic() < due_s:
                self.audience.look()
            sent_at_s[str(number)] = time.monotonic()
            self._send(row, str(number))
            self._progress("live, 20 ratings a second", number + 1, len(self._live))
        self._await_events(len(self._rows))
        seen = self.audience.seen_at_s
        return [(seen[number] - sent) * 1000 for number, sent in sent_at_s.items() if number in seen]

    def rate(self, user_id: str, ratings: Sequence[Telling]) -> RecommendationList:
        """Rate as a person would, one after the other; returns the list that answers to the last rating."""
        for telling in ratings:
            row = SentRating(user_id, int(telling.item.item_id), telling.rating, time.time_ns() // 1_000_000)
            self._send(row)
            self._await_events(len(self.sent))
        return self.audience.newest[user_id]

    def explained(self, user_id: str) -> list[ListItem]:
        """The same list with its reasons, asked for by a request; empty where nobody answers."""
        question = {"type": "recommend", "user_id": user_id, "n": LIST_LENGTH, "explain": LIST_LENGTH}
        reply: Any = ask(self._stage.settings, question, f"why-{user_id}", PATIENCE_S) or {}
        items: list[ListItem] = reply.get("items", [])
        return items

    def verdict(self) -> Verdict:
        """Stop the worker and compare its store with everything that was sent.

        Raises:
            DemoError: the worker did not end as asked.
        """
        self._producer.close()
        if (code := self._stage.worker.stop()) != 0:
            raise DemoError(f"the worker ended with exit code {code}:\n{self._stage.worker.log_tail()}")
        store = open_store(self._stage.settings)
        try:
            return compare(store, self.sent)
        finally:
            store.close()

    def _send(self, row: SentRating, event_id: str | None = None) -> None:
        self._producer.rate(row.user_id, row.item, row.rating, row.at_ms, event_id)
        self.sent.append(row)

    def _await_events(self, count: int) -> None:
        def look() -> None:
            self._stage.worker.check()
            self._progress("refreshing", min(self.audience.events, count), count)

        if not self.audience.until(lambda: self.audience.events >= count, look, PATIENCE_S):
            raise DemoError(
                f"no list came for {PATIENCE_S:g} s ({self.audience.events} of {count} events are in lists):\n"
                f"{self._stage.worker.log_tail()}"
            )
