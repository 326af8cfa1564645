"""The store as a visitor finds it: opened where there is one, never made."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import NamedTuple

from consumers.item_ids import ItemIds
from consumers.settings import Settings
from consumers.settings_mapping import has_text_ids
from consumers.store_opening import generations, open_item_ids, open_store
from consumers.stores.stored_points import PointStore
from recommender.profile import UserState
from recommender.store import Store, StoreError

PAGE_USERS = 500


class Visited(NamedTuple):
    """A store, and the ids of the items in it."""

    store: PointStore
    items: ItemIds


@contextmanager
def visited_store(settings: Settings) -> Iterator[Visited | None]:
    """The store that the settings name with its registry of items, closed at the end; None where there is none yet.

    Raises:
        StoreBusyError: another process holds it.
        StoreError: it cannot be opened, or was made with other settings.
    """
    store = open_existing_store(settings)
    if store is None:
        yield None
        return
    with closing(store), closing(open_item_ids(settings)) as items:
        yield Visited(store, items)


def open_existing_store(settings: Settings) -> PointStore | None:
    """The store that the settings name, or None where there is none yet.

    Raises:
        StoreBusyError: another process holds it.
        StoreError: it cannot be opened, or was made with other settings.
    """
    return open_store(settings) if store_exists(settings) else None


def store_exists(settings: Settings) -> bool:
    """Whether a worker has made the store.

    Raises:
        StoreError: the server does not answer or refuses.
    """
    with closing(generations(settings)) as place:
        return place.exists(place.lineage().current.name)


def existing_item_ids(settings: Settings) -> ItemIds:
    """The ids of the items of the store that the settings name; of integers nothing is opened.

    Raises:
        StoreBusyError: another process holds their registry.
        StoreError: there is no store yet, or the registry cannot be opened.
    """
    if has_text_ids(settings) and not store_exists(settings):
        raise StoreError(f"there is no store yet at {store_place(settings)}: `tastestream run` makes it")
    return open_item_ids(settings)


def current_name(settings: Settings) -> str:
    """The name, in its place, of the store that is used now.

    Raises:
        StoreError: the server does not answer or refuses.
    """
    with closing(generations(settings)) as place:
        return place.lineage().current.name


def store_place(settings: Settings) -> str:
    """Where the store is, for people."""
    if settings.qdrant.store == "edge":
        return f"{settings.edge_folder} (qdrant.edge_path)"
    return f"{settings.qdrant.url}, collection {settings.collection!r}"


def all_states(store: Store) -> Iterator[UserState]:
    """Every user's state, in point id order, read a page at a time."""
    next_id: int | None = 0
    while next_id is not None:
        page = store.scan(next_id, PAGE_USERS)
        yield from (state for _, state in page.states)
        next_id = page.next_id
