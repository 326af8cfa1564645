"""Fills a new store from the topics, from where its markers stand, by the worker's own handler: states only."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

import stamina

from consumers.app import AcceptedGaps
from consumers.cluster import ClusterError
from consumers.handler import Handler
from consumers.rebuild_feed import Key, RebuildFeed, Targets
from consumers.records import Batch, GapError, Record
from consumers.settings_sections import LimitSettings
from recommender.store import StateWrite, Store, StoreUnavailableError

SWITCH_LAG_RECORDS = 1_000
"""What may be left to read at the switch: a worker replays it in a moment."""
FLUSH_BATCHES = 50

Bars = Callable[[str], AbstractContextManager[Callable[[int, int | None], None]]]
"""Makes a progress bar of a description; what it gives is called with what is done, and how much there is if known."""


class Filling:
    """A new store, the feed it is filled from, and the handler in between.

    A store or brokers that are away are waited for, as long as a worker would.
    """

    def __init__(self, store: Store, feed: RebuildFeed, handler: Handler, limits: LimitSettings) -> None:
        self._store = store
        self._feed = feed
        self._handler = handler
        self._batch_max_records = limits.batch_max_records
        self._patience_s = limits.store_retry_limit_s
        self._again = stamina.retry(on=StoreUnavailableError, attempts=None, timeout=self._patience_s)
        self.events = 0

    def begin(
        self, accepted_gaps: AcceptedGaps, vanishing: Callable[[Mapping[str, int]], int | None]
    ) -> frozenset[str]:
        """Go to where the store stands; returns the sources of which events are lost, which was accepted.

        Args:
            accepted_gaps: partitions by topic whose lost events may be missing.
            vanishing: how many users have nothing left below these offsets by source; None where nobody knows.

        Raises:
            GapError: events are gone from a topic.
        """
        feed = self._feed
        markers = self._again(self._store.read)([], [feed.source(key) for key in feed.keys]).markers
        starts = {key: markers.get(feed.source(key), -1) + 1 for key in feed.keys}
        lows = {key: feed.low(key) for key in feed.keys}
        gaps = [key for key in feed.keys if starts[key] < lows[key]]
        refused = [key for key in gaps if key[1] not in accepted_gaps.get(key[0], ())]
        if refused:
            users = vanishing({feed.source(key): lows[key] for key in refused})
            raise GapError(_gap_sentence({key: lows[key] - starts[key] for key in refused}, users))
        feed.start({key: max(start, lows[key]) for key, start in starts.items()})
        return frozenset(feed.source(key) for key in gaps)

    def catch_up(self, bars: Bars) -> Targets:
        """Read until next to nothing is left; returns how far the group had come then.

        Raises:
            StoreError: the store cannot be used, or was away for too long.
            ClusterError: the brokers sent nothing for too long.
        """
        feed = self._feed
        targets, start = feed.targets(), sum(feed.next.values())
        with bars("reading the topics") as report:
            while feed.lag(targets) or feed.lag(targets := feed.targets()) > SWITCH_LAG_RECORDS:
                self._read_to(targets, lambda left: report(done := sum(feed.next.values()) - start, done + left))
        return targets

    def seal(self) -> None:
        """Let the markers say that everything read is in the store, and make it durable."""
        # Nothing is under way any more, so here they need not trail a batch.
        markers = {self._feed.source(key): offset - 1 for key, offset in self._feed.next.items() if offset}
        self._again(self._store.write)(StateWrite(markers, []))
        self._store.flush()

    def applied(self) -> dict[str, int]:
        """What has been applied, by source, exclusive."""
        return {self._feed.source(key): offset for key, offset in self._feed.next.items()}

    def _read_to(self, targets: Targets, report: Callable[[int], None]) -> None:
        heard_at, batches = time.monotonic(), 0
        while left := self._feed.lag(targets):
            report(left)
            if records := self._feed.records(self._batch_max_records):
                heard_at, batches = time.monotonic(), batches + 1
                self._apply(records)
                if batches % FLUSH_BATCHES == 0:
                    self._store.flush()
            elif time.monotonic() - heard_at > self._patience_s:
                raise ClusterError(f"the brokers sent nothing of the input topics for {self._patience_s:g} s")
        self._store.flush()

    def _apply(self, records: list[Record]) -> None:
        self._again(self._handler.handle)(Batch(records))
        self.events += len(records)


def _gap_sentence(lost: Mapping[Key, int], users: int | None) -> str:
    places = ", ".join(f"{events} of {topic} [{number}]" for (topic, number), events in lost.items())
    options = " ".join(f"--accept-gap {topic}:{number}" for topic, number in lost)
    whom = "" if users is None else f", {users} users would vanish with them, and others lack some"
    return (
        f"events are gone from the topics, and a new store would lack them: {places}{whom}; keep the store that there "
        f"is, or accept the loss with {options}"
    )
