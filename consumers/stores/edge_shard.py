"""One shard of Qdrant Edge: opened or made, given what it lacks, and its errors turned into ours."""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import qdrant_edge as engine

from consumers.stores.ownership import held_elsewhere
from consumers.stores.payload_indexes import PayloadIndex
from recommender.store import StoreError, StoreFullError
from recommender.vector import VectorSpec

SHARD_FILE = "edge_config.json"

_INDEX_TYPES = {
    "integer": engine.PayloadSchemaType.Integer,
    "keyword": engine.PayloadSchemaType.Keyword,
    "float": engine.PayloadSchemaType.Float,
    "bool": engine.PayloadSchemaType.Bool,
}


def open_shard(folder: Path, vector: str, *, idf: bool = False) -> engine.EdgeShard:
    """The shard in a folder, made there where it is missing, with one sparse vector alone.

    Raises:
        StoreBusyError: another process holds it.
        StoreError: it cannot be opened.
    """
    main = engine.EdgeSparseVectorParams(modifier=_modifier(idf))
    try:
        if (folder / SHARD_FILE).exists():
            return engine.EdgeShard.load(str(folder))
        return engine.EdgeShard.create(str(folder), engine.EdgeConfig(sparse_vectors={vector: main}))
    except Exception as error:
        if "WouldBlock" in str(error):
            raise held_elsewhere(folder) from error
        raise StoreError(f"the store at {folder} cannot be opened: {error}") from error


def add_vectors(shard: engine.EdgeShard, vectors: Mapping[str, VectorSpec]) -> None:
    """Let points have further vectors; those that are there already stay as they are."""
    for name, spec in vectors.items():
        with engine_errors(f"add the vector {name!r}"):
            shard.update(_creation(name, spec))


def _creation(name: str, spec: VectorSpec) -> engine.UpdateOperation:
    if spec.dimensions is None:
        return engine.UpdateOperation.create_sparse_vector(name, modifier=_modifier(spec.idf))
    return engine.UpdateOperation.create_dense_vector(name, spec.dimensions, engine.Distance.Dot)


def _modifier(idf: bool) -> engine.Modifier | None:
    return engine.Modifier.Idf if idf else None


def add_indexes(shard: engine.EdgeShard, wanted: Iterable[PayloadIndex]) -> None:
    """Index what is not indexed yet, or as something else."""
    with engine_errors("read the indexes"):
        known = {path: str(index.data_type) for path, index in shard.info().payload_schema.items()}
    for index in wanted:
        kind = _INDEX_TYPES[index.kind]
        if known.get(index.path) != str(kind):
            with engine_errors(f"index {index.path}"):
                shard.update(engine.UpdateOperation.create_field_index(index.path, kind))


def check_space(folder: Path, reserve_bytes: int) -> None:
    """See that the disk has room, as one that is full ends the process.

    Raises:
        StoreFullError: less than the reserve is free.
    """
    free = shutil.disk_usage(folder).free
    if free < reserve_bytes:
        raise StoreFullError(
            f"only {free // 2**20} MiB are free at {folder}, under the reserve of "
            f"{reserve_bytes // 2**20} MiB (qdrant.edge_disk_reserve_bytes): make room, then start again"
        )


@contextmanager
def engine_errors(doing: str) -> Iterator[None]:
    """Turn the engine's errors into ours.

    Raises:
        StoreError: the engine could not do it.
    """
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        raise StoreError(f"Qdrant Edge could not {doing}: {error}") from error
    except BaseException as error:
        # The engine's panics are no `Exception`, so that nobody swallows them; here they end the worker cleanly.
        if type(error).__name__ != "PanicException":
            raise
        raise StoreError(f"Qdrant Edge panicked while it tried to {doing}: {error}") from error
