"""One user's state, from the store where it can be read, else from the input topics by the same fold."""

from collections.abc import Mapping
from dataclasses import dataclass

from consumers.existing_store import store_place, visited_store
from consumers.input_topics import folded_user
from consumers.item_ids import ItemId, ItemIds, private_ids
from consumers.settings import Settings
from recommender.profile import NEW_USER, UserState
from recommender.store import StoreBusyError


@dataclass(frozen=True, slots=True)
class UserReading:
    """A state, the ids of its history's items by dimension, and the sentence that says where it was read."""

    state: UserState
    items: Mapping[int, ItemId]
    from_store: bool
    place: str


def read_user(settings: Settings, user_id: str) -> UserReading:
    """The state of a user, `NEW_USER` when there is none.

    Raises:
        StoreError: the store cannot be used, or was made with other settings.
        ClusterError: the input topics were asked, and the brokers do not answer.
    """
    try:
        with visited_store(settings) as visited:
            if visited is not None:
                state = visited.store.read([user_id], []).states.get(user_id, NEW_USER)
                items = _items(state, visited.items)
                return UserReading(state, items, from_store=True, place=f"the store at {store_place(settings)}")
    except StoreBusyError:
        return _from_topics(settings, user_id, "a running worker holds the store")
    return _from_topics(settings, user_id, f"there is no store yet at {store_place(settings)}")


def _from_topics(settings: Settings, user_id: str, why: str) -> UserReading:
    topics, items = ", ".join(settings.input_topics), private_ids(settings.catalogue.item_ids)
    state = folded_user(settings, user_id, items)
    return UserReading(state, _items(state, items), from_store=False, place=f"the events of {topics} ({why})")


def _items(state: UserState, items: ItemIds) -> Mapping[int, ItemId]:
    dimensions = state.history.items.tolist()
    return dict(zip(dimensions, items.named(dimensions), strict=True))
