"""The list for users nobody knows, published now and then under the reserved key `_popular`.

- It is what a user without any history gets, standing filters and all: asked for as a question, so that asking changes
  no other list.
- It travels in a batch's own transaction, and only in one that commits an offset of partition 0 of the first input
  topic. So whoever publishes it owns that partition, and Kafka refuses everybody else's.
- Its version is the time in epoch ms, raised above the one before. A worker that was just given the partition waits for
  one whole interval, so versions rise from worker to worker as long as their clocks differ by less than that.
"""

import time
from collections.abc import Callable

from consumers.lists import ListWriter
from consumers.records import Batch, Record
from recommender.profile import NEW_USER
from recommender.recommender import Recommender
from schemas.identity import POPULAR_USER_ID
from schemas.messages import Message


class PopularList:
    """Says what is to be published with a batch: the list when it is due, mostly nothing."""

    def __init__(
        self,
        recommender: Recommender,
        lists: ListWriter,
        topic: str,
        interval_s: float,
        elapsed_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._recommender = recommender
        self._lists = lists
        self._topic = topic
        self._interval_s = interval_s
        self._elapsed_s = elapsed_s
        self._due_s = elapsed_s() + interval_s
        self._version = 0
        self._is_sent = False

    def messages(self, batch: Batch, now_ms: int) -> list[Message]:
        """The list, if it is due and the batch may carry it."""
        record = self._carrier(batch)
        if record is None or self._elapsed_s() < self._due_s:
            return []
        self._version = max(now_ms, self._version + 1)
        self._is_sent = True
        (ranked,) = self._recommender.answer([self._recommender.question_of(POPULAR_USER_ID, NEW_USER)])
        return [self._lists.popular(record, ranked, self._version, now_ms)]

    def committed(self) -> None:
        """The batch was committed, with the list if it carried one."""
        if self._is_sent:
            self.wait()

    def wait(self) -> None:
        """Publish nothing for an interval: the partition may just have come from another worker."""
        self._due_s, self._is_sent = self._elapsed_s() + self._interval_s, False

    def _carrier(self, batch: Batch) -> Record | None:
        """The last record whose offset the batch commits in the one partition."""
        ours = (r for r in reversed(batch.records) if (r.topic, r.partition) == (self._topic, 0) and not r.replayed)
        return next(ours, None) if self._interval_s else None
