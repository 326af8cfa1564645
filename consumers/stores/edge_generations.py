"""Generations of an Edge store: folders in the store's folder, and a file that names the current one.

The origin's shard lies in the folder itself, as it does where nothing was ever rebuilt; later ones lie in folders of
their own, each with its owner's lock. So a rebuild fills one while a worker serves from another.
"""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from consumers.stores.edge import DISK_RESERVE_BYTES, EdgeStore
from consumers.stores.edge_items import ITEMS_FOLDER
from consumers.stores.edge_shard import SHARD_FILE
from consumers.stores.generations import FIRST_EPOCH, LATER_NAME, Generation, Lineage
from consumers.stores.ownership import LOCK_FILE, Ownership
from consumers.stores.payload_indexes import PayloadIndex
from recommender.store import StoreBusyError, StoreError, StoreSettings

POINTER_FILE = "current"
REBUILD_LOCK_FILE = "rebuild.lock"
ORIGIN = "."


class EdgeGenerations:
    """The generations in a folder, which need not be there yet."""

    def __init__(
        self, folder: Path, disk_reserve_bytes: int = DISK_RESERVE_BYTES, indexes: Sequence[PayloadIndex] = ()
    ) -> None:
        self._folder = folder
        self._indexes = indexes
        self._reserve_bytes = disk_reserve_bytes
        self._claim: Ownership | None = None

    def claim(self) -> None:
        """See `Generations.claim`."""
        if not self._folder.is_dir():
            raise StoreError(f"there is no store yet at {self._folder}: `tastestream run` makes it")
        try:
            self._claim = Ownership(self._folder, REBUILD_LOCK_FILE)
        except StoreBusyError as error:
            raise StoreBusyError(
                f"another `tastestream rebuild` works on the store at {self._folder}: wait for it, or end it"
            ) from error

    def lineage(self) -> Lineage:
        """See `Generations.lineage`."""
        pointer = self._folder / POINTER_FILE
        try:
            named = json.loads(pointer.read_bytes())
            previous = named["previous"]
            kept = None if previous is None else _checked(previous)
            return Lineage(Generation(_checked(named["current"]), int(named["epoch"])), kept)
        except FileNotFoundError:
            return Lineage(Generation(ORIGIN, FIRST_EPOCH))
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise StoreError(
                f"{pointer} does not say which store is the current one ({error}): restore it, or write it anew as "
                '{"current": FOLDER, "epoch": N, "previous": null} with the folder and epoch of the newest store'
            ) from error

    def exists(self, name: str) -> bool:
        """See `Generations.exists`."""
        return (self._folder / name / SHARD_FILE).exists()

    def named(self, later_name: str) -> str:
        """See `Generations.named`."""
        return later_name

    def others(self) -> Sequence[str]:
        """See `Generations.others`."""
        lineage = self.lineage()
        known = {lineage.current.name, lineage.previous}
        found = [path.name for path in _listed(self._folder) if LATER_NAME.fullmatch(path.name)]
        if any(self._files_of_the_origin()):
            found.append(ORIGIN)
        return sorted(name for name in found if name not in known)

    def open(self, name: str, wanted: StoreSettings) -> EdgeStore:
        """See `Generations.open`."""
        return EdgeStore(self._folder / name, wanted, self._reserve_bytes, self._indexes)

    def switch(self, lineage: Lineage) -> None:
        """See `Generations.switch`."""
        document = {
            "current": lineage.current.name,
            "epoch": lineage.current.epoch,
            "previous": lineage.previous,
        }
        try:
            _replace(self._folder / POINTER_FILE, json.dumps(document).encode())
        except OSError as error:
            raise StoreError(f"{self._folder / POINTER_FILE} cannot be written: {error.strerror}") from error

    def drop(self, name: str) -> None:
        """See `Generations.drop`."""
        lineage = self.lineage()
        if name == lineage.current.name:
            raise StoreError(f"the store at {self.place(name)} is the current one and is not deleted")
        held = Ownership(self._folder / name)
        try:
            if name == lineage.previous:
                self.switch(Lineage(lineage.current))
            self._delete(name)
        finally:
            held.release()

    def place(self, name: str) -> str:
        """See `Generations.place`."""
        return str(self._folder if name == ORIGIN else self._folder / name)

    def close(self) -> None:
        """See `Generations.close`."""
        if self._claim is not None:
            self._claim.release()
            self._claim = None

    def _delete(self, name: str) -> None:
        try:
            if name != ORIGIN:
                shutil.rmtree(self._folder / name)
                return
            for path in self._files_of_the_origin():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        except OSError as error:
            raise StoreError(f"{self.place(name)} cannot be deleted: {error.strerror}") from error

    def _files_of_the_origin(self) -> Iterator[Path]:
        # The items' dimensions are every generation's.
        ours = {POINTER_FILE, _draft(self._folder / POINTER_FILE).name, LOCK_FILE, REBUILD_LOCK_FILE, ITEMS_FOLDER}
        for path in _listed(self._folder):
            if path.name not in ours and not LATER_NAME.fullmatch(path.name):
                yield path


def _checked(name: str) -> str:
    if name != ORIGIN and not LATER_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a store")
    return name


def _listed(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _draft(file: Path) -> Path:
    return file.with_name(file.name + ".draft")


def _replace(file: Path, content: bytes) -> None:
    """Write a file so that after a power failure, too, it holds the old content or the new."""
    draft = _draft(file)
    with draft.open("wb") as written:
        written.write(content)
        written.flush()
        os.fsync(written.fileno())
    draft.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
