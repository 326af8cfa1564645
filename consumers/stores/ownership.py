"""One process per folder: a lock that is taken before the engine touches a file there.

The engine refuses a second process by itself, but only after it has removed journals that the first one still needs:
the next flush of that one fails. So nobody may even try to load a folder that is held.
"""

import fcntl
import os
import weakref
from pathlib import Path

from recommender.store import StoreBusyError, StoreError

LOCK_FILE = "owner.lock"


class Ownership:
    """A folder, made where it is missing and held until `release`, or until the process ends however it ends.

    Raises:
        StoreBusyError: another process holds it.
        StoreError: it cannot be written to.
    """

    def __init__(self, folder: Path, lock_file: str = LOCK_FILE) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(folder / lock_file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StoreError(f"the store at {folder} cannot be opened: {error.strerror} (qdrant.edge_path)") from error
        self.release = weakref.finalize(self, os.close, lock)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.release()
            raise held_elsewhere(folder) from error


def held_elsewhere(folder: Path) -> StoreBusyError:
    """The error for a folder that another process holds."""
    return StoreBusyError(
        f"another process holds the store at {folder}: Qdrant Edge serves one process; stop the other one, "
        "or give this one its own folder (qdrant.edge_path)"
    )
