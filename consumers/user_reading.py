"""One user's state, from the store where it can be read, else from the input topics by the same fold."""

from dataclasses import dataclass

from consumers.existing_store import open_existing_store, store_place
from consumers.input_topics import folded_user
from consumers.settings import Settings
from recommender.profile import NEW_USER, UserState
from recommender.store import StoreBusyError


@dataclass(frozen=True, slots=True)
class UserReading:
    """A state, and the sentence that says where it was read."""

    state: UserState
    from_store: bool
    place: str


def read_user(settings: Settings, user_id: str) -> UserReading:
    """The state of a user, `NEW_USER` when there is none.

    Raises:
        StoreError: the store cannot be used, or was made with other settings.
        ClusterError: the input topics were asked, and the brokers do not answer.
    """
    try:
        store = open_existing_store(settings)
    except StoreBusyError:
        return _from_topics(settings, user_id, "a running worker holds the store")
    if store is None:
        return _from_topics(settings, user_id, f"there is no store yet at {store_place(settings)}")
    try:
        state = store.read([user_id], []).states.get(user_id, NEW_USER)
    finally:
        store.close()
    return UserReading(state, from_store=True, place=f"the store at {store_place(settings)}")


def _from_topics(settings: Settings, user_id: str, why: str) -> UserReading:
    topics = ", ".join(settings.input_topics)
    return UserReading(folded_user(settings, user_id), from_store=False, place=f"the events of {topics} ({why})")
