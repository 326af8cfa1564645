"""Posters that were fetched before, in a folder: a file for each IMDb id, empty where there is no poster.

- Bounded in bytes and age. The oldest files leave first; a file counts as a block at least, so that empty ones count.
- A file gets its name when it is whole, so that several processes may share a folder.
- Only files named as this cache names them are ever read or removed: the folder may hold others.
- A folder that cannot be used costs requests and nothing else.
"""

import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from consumers.cards.pictures import Picture, picture_of

BLOCK_BYTES = 4_096

_OURS = re.compile(r"tt[0-9]{7,10}(\..{1,20}\.part)?", re.ASCII)


class _NoPoster:
    """Says that there is no poster, and that this is known."""


NO_POSTER = _NoPoster()
Kept = Picture | _NoPoster


@dataclass(frozen=True, slots=True)
class PosterCache:
    """The folder, its bytes at most, and the age in seconds after which a file counts no more."""

    folder: Path
    max_bytes: int
    max_age_s: float

    def get(self, imdb_id: str) -> Kept | None:
        """The poster of an id, or that there is none; None where neither is known, or not any more."""
        path = self.folder / imdb_id
        try:
            if self._is_old(path.stat()):
                return None
            content = path.read_bytes()
        except OSError:
            return None
        return picture_of(content) if content else NO_POSTER

    def put(self, imdb_id: str, content: bytes) -> bool:
        """Keep a poster, or with no bytes that there is none; False where the folder cannot be written."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._write(imdb_id, content)
            self._trim()
        except OSError:
            return False
        return True

    def _write(self, imdb_id: str, content: bytes) -> None:
        with NamedTemporaryFile(dir=self.folder, prefix=f"{imdb_id}.", suffix=".part", delete=False) as file:
            try:
                file.write(content)
                file.close()
                Path(file.name).replace(self.folder / imdb_id)
            except OSError:
                Path(file.name).unlink(missing_ok=True)
                raise

    def _trim(self) -> None:
        files = sorted(self._files(), key=lambda found: found[1].st_mtime_ns, reverse=True)
        held = 0
        for path, state in files:
            held += max(BLOCK_BYTES, state.st_size)
            if held > self.max_bytes or self._is_old(state):
                path.unlink(missing_ok=True)

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        with os.scandir(self.folder) as entries:
            for entry in entries:
                if _OURS.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    yield Path(entry.path), entry.stat(follow_symlinks=False)

    def _is_old(self, state: os.stat_result) -> bool:
        return time.time() - state.st_mtime > self.max_age_s
