"""Back to the store that a rebuild replaced: it gets an epoch above all others, and its markers say what it lacks."""

from consumers.app import AcceptedGaps, check_cluster
from consumers.rebuild_feed import RebuildFeed
from consumers.records import Assigned, starting_position
from consumers.settings import Settings
from consumers.settings_mapping import store_settings
from consumers.stores.generations import Generation, Generations, Lineage
from recommender.store import Store, StoreError, StoreMismatchError


def roll_back(settings: Settings, place: Generations, accepted_gaps: AcceptedGaps) -> Lineage:
    """Make the kept store the current one, and keep the other; workers replay into it what it has missed.

    Raises:
        StoreError: none is kept.
        StoreMismatchError: it was made with other settings than these, or of other topics.
        GapError: events that it has missed are gone from the topics.
    """
    before = place.lineage()
    if before.previous is None or not place.exists(before.previous):
        raise StoreError(f"no earlier store is kept beside {place.place(before.current.name)}")
    epoch = before.current.epoch + 1
    store = place.open(before.previous, store_settings(settings))
    try:
        _refuse_gaps(settings, store, accepted_gaps)
        store.raise_epoch(epoch)
        after = Lineage(Generation(before.previous, store.settings.epoch), before.current.name)
    finally:
        store.close()
    place.switch(after)
    return after


def _refuse_gaps(settings: Settings, store: Store, accepted_gaps: AcceptedGaps) -> None:
    with RebuildFeed(settings, check_cluster(settings)) as feed:
        committed = feed.targets().offsets
        markers = store.read([], [feed.source(key) for key in feed.keys]).markers
        if not markers and any(committed.values()):
            raise StoreMismatchError(
                f"the kept store was made of other topics than {', '.join(settings.input_topics)}, whose events would "
                "count in it a second time: set topics.ratings back first"
            )
        for key in feed.keys:
            source = feed.source(key)
            assigned = Assigned(*key, source, committed[key], feed.low(key), markers.get(source))
            starting_position(assigned, accepted_gaps)
