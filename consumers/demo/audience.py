"""Who watches: a read_committed reader of the lists, independent of the worker, with a stopwatch."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from confluent_kafka import Message

from consumers.topic_reader import TopicReader
from schemas.identity import POPULAR_USER_ID
from schemas.recommendations import RecommendationList, decode_list

LOOK_S = 0.005


@dataclass(slots=True)
class Audience:
    """Takes every user's list in as it becomes readable: the newest per user, how many, and when they came."""

    reader: TopicReader
    lists: int = 0
    newest: dict[str, RecommendationList] = field(default_factory=dict)
    first_at_s: float | None = None
    last_at_s: float = 0.0
    seen_at_s: dict[str, float] = field(default_factory=dict)

    _messages: Iterator[Message | None] = field(init=False)

    def __post_init__(self) -> None:
        self._messages = self.reader.from_now_on(LOOK_S)

    @property
    def events(self) -> int:
        """Events behind the lists seen: a list's version counts its user's events."""
        return sum(value["state"]["version"] for value in self.newest.values())

    def look(self) -> None:
        """Take in one user's list, if one comes within a moment."""
        message = next(self._messages)
        if message is None or (raw := message.value()) is None:
            return
        now_s = time.monotonic()
        value = decode_list(raw)
        if value["user_id"] == POPULAR_USER_ID:
            return
        self.lists += 1
        self.newest[value["user_id"]] = value
        self.first_at_s = self.first_at_s or now_s
        self.last_at_s = now_s
        if (event_id := value["source"]["event_id"]) is not None:
            self.seen_at_s[event_id] = now_s

    def until(self, is_done: Callable[[], bool], on_look: Callable[[], None], patience_s: float) -> bool:
        """Look until it is done; False when nothing came for `patience_s`."""
        waiting_since, seen = time.monotonic(), self.lists
        while not is_done():
            self.look()
            on_look()
            if self.lists != seen:
                waiting_since, seen = time.monotonic(), self.lists
            elif time.monotonic() - waiting_since > patience_s:
                return False
        return True
