"""The store as a visitor finds it: opened where there is one, never made."""

from collections.abc import Iterator

from consumers.app import open_store, server_options
from consumers.settings import Settings
from recommender.profile import UserState
from recommender.store import Store

SHARD_FILE = "edge_config.json"
PAGE_USERS = 500


def open_existing_store(settings: Settings) -> Store | None:
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
    if settings.qdrant.store == "edge":
        return (settings.edge_folder / SHARD_FILE).exists()
    from consumers.stores.server_connection import Connection  # noqa: PLC0415  # qdrant-client takes over a second to load, and Edge needs none of it

    connection = Connection(server_options(settings))
    try:
        with connection.errors(f"look for collection {settings.collection!r}"):
            return connection.models.collection_exists(settings.collection)
    finally:
        connection.close()


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
