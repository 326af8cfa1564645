"""A process that writes batches to an Edge store as a worker does, flushes the first of them, and waits to be killed.

    python unflushed_writer.py FOLDER

Says "flushed" after the first batches, and after a line on standard input writes the rest and says "written".
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from sample_states import history, insert, replace_tagged, sample_state, vector
from store_places import SETTINGS

from consumers.stores.edge import EdgeStore
from recommender.profile import UserState
from recommender.store import StateWrite, Store, UserWrite
from recommender.vector import SparseVector

SOURCE = "topic.0"
USERS = 12
BATCHES, FLUSHED_BATCHES, BATCH_EVENTS = 60, 20, 5
EVENTS = BATCHES * BATCH_EVENTS
HISTORY_ENTRIES = 200
"""So that a state fills a good part of a page of memory, and its parts can get lost one by one."""


def user_of(offset: int) -> str:
    """Whose event stands at an offset; nobody has two in one batch."""
    return f"user {offset * 7 % USERS}"


def state_at(offset: int) -> UserState:
    """The state that an event makes of its user's."""
    entries = history(*((item, 0.5 + (offset + item) % 9 / 2, offset) for item in range(HISTORY_ENTRIES)))
    return sample_state(user_of(offset), offset + 1, history=entries, offsets={SOURCE: offset}, count=offset)


def vector_at(offset: int) -> SparseVector:
    """And the vector."""
    return vector({item: (offset * 31 + item) % 97 / 97 for item in range(1, HISTORY_ENTRIES)})


def write_from(store: Store, first_offset: int, batches: int = BATCHES) -> None:
    """Write batches of events, the marker one behind; what stands there already is left alone."""
    for begin in range(first_offset, min(EVENTS, first_offset + batches * BATCH_EVENTS), BATCH_EVENTS):
        offsets = range(begin, min(EVENTS, begin + BATCH_EVENTS))
        found = store.read([user_of(offset) for offset in offsets], [SOURCE]).states
        store.write(StateWrite({SOURCE: begin - 1}, list(_writes(found, offsets))))


def _writes(found: Mapping[str, UserState], offsets: range) -> Iterator[UserWrite]:
    for offset in offsets:
        state, stored = state_at(offset), found.get(user_of(offset))
        if stored is None:
            yield insert(state, vector_at(offset))
        elif stored.offsets[SOURCE] < offset:
            write = replace_tagged(state, stored.tag)
            yield UserWrite(write.user_id, state, vector_at(offset), write.tags, write.missing)


def main() -> None:
    """Write, as told."""
    store = EdgeStore(Path(sys.argv[1]), SETTINGS, disk_reserve_bytes=0)
    write_from(store, 0, FLUSHED_BATCHES)
    store.flush()
    for word in ("flushed", "written"):
        print(word, flush=True)  # noqa: T201 - whoever started the process waits for it
        sys.stdin.readline()
        write_from(store, FLUSHED_BATCHES * BATCH_EVENTS)


if __name__ == "__main__":
    main()
