"""Where the state lives, opened as the settings say: the users' store, its generations, the registry of items."""

from contextlib import closing

from consumers.item_ids import INTEGER_IDS, ItemIds
from consumers.settings import Settings
from consumers.settings_mapping import has_text_ids, server_options, store_settings, wanted_indexes
from consumers.stores.edge_generations import EdgeGenerations
from consumers.stores.edge_items import ITEMS_FOLDER, EdgeItemTable
from consumers.stores.generations import FIRST_EPOCH, Generation, Generations
from consumers.stores.stored_points import PointStore
from recommender.registry import ItemRegistry, ItemTable
from recommender.store import StoreError


def open_store(settings: Settings) -> PointStore:
    """The current store of those that the settings name.

    Raises:
        StoreError: it cannot be opened, or was made with other settings.
    """
    with closing(generations(settings)) as place:
        return open_generation(place, place.lineage().current, settings)


def generations(settings: Settings) -> Generations:
    """The store that the settings name, and those that a rebuild made beside it."""
    qdrant = settings.qdrant
    if qdrant.store == "edge":
        return EdgeGenerations(settings.edge_folder, qdrant.edge_disk_reserve_bytes, wanted_indexes(settings))
    from consumers.stores.server_generations import ServerGenerations  # noqa: PLC0415  # qdrant-client takes over a second to load, and Edge needs none of it

    return ServerGenerations(server_options(settings))


def open_generation(place: Generations, generation: Generation, settings: Settings) -> PointStore:
    """One of them; the origin is made where it is missing.

    Raises:
        StoreError: it cannot be opened, was made with other settings, or is gone.
    """
    if generation.epoch > FIRST_EPOCH and not place.exists(generation.name):
        raise StoreError(
            f"the store at {place.place(generation.name)} should be there, and is not: restore it, or go back to the "
            "one before with `tastestream rebuild --rollback`"
        )
    return place.open(generation.name, store_settings(settings))


def open_item_ids(settings: Settings) -> ItemIds:
    """The ids of the catalogue's items; where they are text with their registry, made where it is missing.

    Raises:
        StoreError: the registry cannot be opened.
    """
    if not has_text_ids(settings):
        return INTEGER_IDS
    return ItemIds(ItemRegistry(_item_table(settings), settings.limits.item_ids_cache_max_items))


def _item_table(settings: Settings) -> ItemTable:
    qdrant = settings.qdrant
    if qdrant.store == "edge":
        return EdgeItemTable(settings.edge_folder / ITEMS_FOLDER, qdrant.edge_disk_reserve_bytes)
    from consumers.stores.server_items import ServerItemTable  # noqa: PLC0415  # as above

    return ServerItemTable(server_options(settings))
