"""A new store from the topics, beside the one that serves, and the switch to it.

- The serving store is read at most. The new one is filled by the worker's own handler, with records that count as
  replayed: states only, no lists, no dead letters, no transaction.
- The new store's markers say how far it is. An interrupted rebuild goes on there; one that was made of other settings
  or topics is deleted.
- No event is lost or counted twice by the switch, wherever workers stand: a worker replays from the new store's marker
  up to what is committed. Catching up first makes that short.
- Lists of the new epoch follow those of the old one: a worker of the old one looks, whenever partitions come to it,
  whether its store is still the current one, and a partition that left it takes no more of its transactions.
"""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace

import structlog

from consumers.app import AcceptedGaps, check_cluster, replaying_handler
from consumers.cluster import Topic
from consumers.existing_store import all_states
from consumers.item_ids import ItemIds
from consumers.rebuild_comparison import Comparison, Reached, compare_with_serving, compare_with_topics
from consumers.rebuild_feed import RebuildFeed, Targets
from consumers.rebuild_filling import Bars, Filling
from consumers.settings import Settings
from consumers.settings_mapping import history_limits, ranking_rules, store_settings
from consumers.store_opening import open_item_ids
from consumers.stores.generations import Generation, Generations, Lineage, fingerprint, later_name, visitor
from consumers.stores.stored_points import PointStore
from recommender.store import StoreBusyError, StoreError

_WHAT_IS_VALID = ("catalogue", "scale_min", "scale_max")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the operator decides; `accepted_gaps`: partitions by topic whose lost events may be missing."""

    accepted_gaps: AcceptedGaps
    accept_differences: bool = False
    switch: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it; `events` were read in this run."""

    generation: Generation
    serving: Generation
    events: int
    switched: bool
    comparison: Comparison


class Rebuild:
    """One rebuild, from the lineage as it is found."""

    def __init__(self, settings: Settings, place: Generations, wishes: Wishes, bars: Bars) -> None:
        self._settings = settings
        self._place = place
        self._wishes = wishes
        self._bars = bars
        self._before = place.lineage()

    def run(self) -> Outcome:
        """Make the new store, compare, and switch to it; what is interrupted goes on when it is run again.

        Raises:
            GapError: events are gone from the topics, and that was not accepted.
            StoreError: there is no store yet, or one cannot be used.
            ClusterError, TopicsError, SourceError: the topics cannot be read.
        """
        topics = check_cluster(self._settings)
        if not self._place.exists(self._before.current.name):
            raise StoreError(
                f"there is no store yet at {self._place.place(self._before.current.name)}: `tastestream run` makes it"
            )
        self._refuse_moved_users(topics)
        made = self._prepared(topics)
        wanted = replace(store_settings(self._settings), epoch=made.epoch)
        with RebuildFeed(self._settings, topics) as feed, closing(self._item_ids()) as items:
            store = self._place.open(made.name, wanted)
            try:
                store.remember_partitions({name: topics[name].partitions for name in self._topics()})
                outcome, targets = self._filled(store, items, feed, made)
            finally:
                # The worker that starts after the switch must find the store free.
                store.close()
            return self._switched(outcome, feed, targets)

    def _item_ids(self) -> ItemIds:
        try:
            return open_item_ids(self._settings)
        except StoreBusyError as error:
            raise StoreBusyError(
                f"{error}. Where item ids are text a rebuild registers items, too: on Qdrant Edge the worker has to be "
                "stopped for it; on a Qdrant server workers go on"
            ) from error

    def _topics(self) -> list[str]:
        return [*self._settings.input_topics, self._settings.recommendations_topic]

    def _refuse_moved_users(self, topics: Mapping[str, Topic]) -> None:
        counts = {name: topics[name].partitions for name in self._settings.input_topics}
        if (serving := self._visited()) is not None:
            try:
                serving.settings.with_partitions(counts)
            finally:
                serving.close()

    def _prepared(self, topics: Mapping[str, Topic]) -> Generation:
        """What to make, with everything out of the way that was left of others."""
        settings = self._settings
        sources = {topics[name].topic_id: topics[name].partitions for name in settings.input_topics}
        made_of = fingerprint(store_settings(settings), history_limits(settings), sources)
        epoch = self._before.current.epoch + 1
        name = self._place.named(later_name(epoch, made_of))
        for other in self._place.others():
            if other != name:
                log.info("deleting what an earlier rebuild left", store=self._place.place(other))
                self._place.drop(other)
        return Generation(name, epoch)

    def _filled(
        self, store: PointStore, items: ItemIds, feed: RebuildFeed, made: Generation
    ) -> tuple[Outcome, Targets]:
        filling = Filling(store, feed, replaying_handler(self._settings, store, items), self._settings.limits)
        gaps = filling.begin(self._wishes.accepted_gaps, self._vanishing)
        log.info("the new store is being filled", store=self._place.place(made.name), epoch=made.epoch)
        targets = filling.catch_up(self._bars)
        filling.seal()
        committed = {feed.source(key): offset for key, offset in targets.offsets.items()}
        comparison = self._compared(store, items, Reached(filling.applied(), committed, gaps))
        targets = filling.catch_up(self._bars)
        filling.seal()
        return Outcome(made, self._before.current, filling.events, switched=False, comparison=comparison), targets

    def _compared(self, store: PointStore, items: ItemIds, reached: Reached) -> Comparison:
        serving = self._visited()
        if serving is not None:
            try:
                if _are_comparable(serving, store, reached):
                    with self._bars("comparing with the serving store") as report:
                        rule = ranking_rules(self._settings).value
                        return compare_with_serving(serving, store, rule, reached, report)
            finally:
                serving.close()
        with self._bars("comparing with the topics") as report:
            return compare_with_topics(self._settings, store, items, reached, report)

    def _vanishing(self, lows: Mapping[str, int]) -> int | None:
        serving = self._visited()
        if serving is None:
            return None
        try:
            return sum(
                bool(state.offsets) and all(offset < lows.get(source, 0) for source, offset in state.offsets.items())
                for state in all_states(serving)
            )
        finally:
            serving.close()

    def _visited(self) -> PointStore | None:
        """The serving store, whatever settings it was made with; None where a worker holds it."""
        try:
            return self._place.open(self._before.current.name, visitor(store_settings(self._settings)))
        except StoreBusyError:
            return None

    def _switched(self, outcome: Outcome, feed: RebuildFeed, targets: Targets) -> Outcome:
        if not self._wishes.switch or (outcome.comparison.mismatched and not self._wishes.accept_differences):
            return outcome
        begun = frozenset(
            topic for topic in targets.new_topics if any(feed.next[k] for k in feed.next if k[0] == topic)
        )
        if begun:
            feed.commit_for_the_group(begun)
        if self._place.lineage() != self._before:
            raise StoreError("another rebuild has switched meanwhile: run this again, and it begins from there")
        self._place.switch(Lineage(outcome.generation, self._before.current.name))
        drop_others(self._place)
        return replace(outcome, switched=True)


def _are_comparable(serving: PointStore, rebuilt: PointStore, reached: Reached) -> bool:
    """Whether both take the same records for valid, and are made of the same topics."""
    if any(getattr(serving.settings, name) != getattr(rebuilt.settings, name) for name in _WHAT_IS_VALID):
        return False
    return bool(serving.read([], list(reached.applied)).markers)


def drop_others(place: Generations) -> None:
    """Delete what is neither current nor kept; what a process still holds stays for another time."""
    for name in place.others():
        try:
            place.drop(name)
        except StoreBusyError as error:
            log.warning("an older store is still held and stays", store=place.place(name), error=str(error))
