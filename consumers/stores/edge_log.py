"""The write-ahead log of an Edge shard: how much room its segment has, and what keeps the log without holes.

The engine writes its log in segments of 32 MiB. When one is full it goes on in the next, and a thread of its own brings
the full one to the disk meanwhile. Were power lost just then, the end of the full one might be gone, and the beginning
of the next one there; the engine reads on over such a hole (measured: a marker, and not the users before it). So what
might not fit the segment is written only after a flush, and the full segment is on the disk before anything further is
written: a hole can lie within one request alone, whose markers vouch for what was before it.
"""

import os
from bisect import bisect_left
from pathlib import Path

from recommender.store import StateWrite, UserWrite
from recommender.vector import SparseVector

_FOLDER = "wal"
_OPEN, _CLOSED = "open-*", "closed-*"
_BLOCK_BYTES = 16 * 1024

_REQUEST_MAX_BYTES = 4_096
_USER_MAX_BYTES = 4_096
_ENTRY_MAX_BYTES = 48
"""Of a history, packed and as text: 20 bytes make 27."""
_REPEAT_MAX_BYTES = 64
_COORDINATE_MAX_BYTES = 24
_TEXT_MAX_BYTES = 8
"""Of a character."""


def bytes_max(request: StateWrite) -> int:
    """More bytes than the operations of a request take in the log."""
    sources = sum(_text(source) + 100 for source in request.markers)
    return _REQUEST_MAX_BYTES + 2 * sources + sum(_user_bytes_max(write) for write in request.users)


def _user_bytes_max(write: UserWrite) -> int:
    state = write.state
    texts = [state.user_id or "", state.last_source or "", *state.offsets]
    texts += [part for name, value in state.attributes.items() for part in (name, str(value), name)]
    vectors = [*write.further.items(), *([("", write.vector)] if write.vector is not None else [])]
    coordinates = sum(
        len(vector.indices if isinstance(vector, SparseVector) else vector.values) for _, vector in vectors
    )
    return (
        _USER_MAX_BYTES
        + _ENTRY_MAX_BYTES * (len(state.history) + len(state.seen))
        + _REPEAT_MAX_BYTES * len(state.repeats)
        + _COORDINATE_MAX_BYTES * (coordinates + len(write.tags))
        + sum(_text(text) + 64 for text in [*texts, *(name for name, _ in vectors)])
    )


def _text(text: str) -> int:
    return _TEXT_MAX_BYTES * len(text)


class EdgeLog:
    """The log in a shard's folder, as its only writer sees it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / _FOLDER
        self._room_bytes = 0
        """At least so much is left in the segment."""

    def has_room(self, size_max: int) -> bool:
        """Whether the segment takes so many bytes for sure; if so they are counted as written."""
        if size_max > self._room_bytes:
            self._room_bytes = self._measured()
        if size_max > self._room_bytes:
            return False
        self._room_bytes -= size_max
        return True

    def settle(self) -> None:
        """Bring what the engine has filled to the disk."""
        self._room_bytes = 0
        for segment in self._folder.glob(_CLOSED):
            handle = os.open(segment, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    def _measured(self) -> int:
        # Two are open: the one that is written, and an empty one for afterwards.
        return min((_room(segment) for segment in self._folder.glob(_OPEN)), default=0)


def _room(segment: Path) -> int:
    """Bytes behind the block of the last entry: a segment is made of zeros, and no block of entries is all zero."""
    size = segment.stat().st_size
    with segment.open("rb") as file:

        def is_unused(begin: int) -> bool:
            file.seek(begin)
            return not any(file.read(_BLOCK_BYTES))

        blocks = range(0, size, _BLOCK_BYTES)
        used = bisect_left(blocks, True, key=is_unused)
    return max(0, size - used * _BLOCK_BYTES)
