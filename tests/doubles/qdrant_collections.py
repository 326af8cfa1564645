"""The double's collections: one Edge shard each in a folder, and the aliases beside them.

A collection is its settings as they were created plus a shard; it exists once its settings file does, so a process
killed while creating or deleting one leaves nothing half-made. Requests to a collection are applied one at a time.
"""

import itertools
import json
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import qdrant_client.grpc as pb
import qdrant_edge as qe
from grpc import StatusCode
from qdrant_messages import set_fields
from qdrant_refusals import Refused, bad_input, not_found, only, unserved

FLUSH_EVERY_WRITES = 2_000
# Edge makes no shard without vectors; this name is never offered, so a collection without vectors has none.
_NO_VECTORS = "__no_vectors__"
_COPIES = ("shard_number", "replication_factor", "write_consistency_factor")


class Collection:
    """One collection: its settings, its shard, its lock."""

    def __init__(self, settings: pb.CreateCollection, shard: qe.EdgeShard) -> None:
        self.settings = settings
        self._shard: qe.EdgeShard | None = shard
        self._lock = threading.RLock()
        self._operation_ids = itertools.count()

    @property
    def vector_names(self) -> frozenset[str]:
        """The vectors that points may have now."""
        return frozenset(self.settings.sparse_vectors_config.map) | frozenset(_dense_vectors(self.settings))

    @contextmanager
    def shard(self) -> Iterator[qe.EdgeShard]:
        """The shard, for one request at a time."""
        with self._lock:
            if self._shard is None:
                raise Refused(StatusCode.UNAVAILABLE, "the collection is being closed")
            yield self._shard

    def write(self, operations: Sequence[qe.UpdateOperation]) -> list[int]:
        """Apply operations in order under one lock, each atomic; stops at the first that fails. Returns their ids."""
        with self.shard() as shard:
            return [self._apply(shard, operation) for operation in operations]

    def _apply(self, shard: qe.EdgeShard, operation: qe.UpdateOperation) -> int:
        try:
            shard.update(operation)
        except Exception as error:
            if "No point with id" in str(error):
                raise not_found(f"{error} found") from error
            if "already exists with different parameters" in str(error):
                raise bad_input(f"Wrong input: {error}") from error
            raise
        operation_id = next(self._operation_ids)
        if operation_id % FLUSH_EVERY_WRITES == FLUSH_EVERY_WRITES - 1:
            shard.flush()
        return operation_id

    def close(self) -> None:
        with self._lock:
            if self._shard is not None:
                self._shard.flush()
                self._shard.close()
            self._shard = None


class Collections:
    """All collections of a folder, found by name or alias.

    Opening a folder loads what an earlier process, killed or not, left there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "collections"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._aliases_file = folder / "aliases.json"
        self._lock = threading.RLock()
        self.aliases: dict[str, str] = json.loads(_read(self._aliases_file) or b"{}")
        self._by_name = {one.settings.collection_name: one for one in map(_load, sorted(self._folder.iterdir())) if one}

    def names(self) -> list[str]:
        with self._lock:
            return sorted(self._by_name)

    def find(self, name: str) -> Collection:
        """The collection of that name or alias; NOT_FOUND when there is none."""
        with self._lock:
            found = self._by_name.get(self.aliases.get(name, name))
        if found is None:
            raise not_found(f"Collection `{name}` doesn't exist!")
        return found

    def exists(self, name: str) -> bool:
        with self._lock:
            return self.aliases.get(name, name) in self._by_name

    def create(self, settings: pb.CreateCollection) -> None:
        config = _edge_config(settings)
        with self._lock:
            name = settings.collection_name
            if name in self._by_name or name in self.aliases:
                raise Refused(StatusCode.ALREADY_EXISTS, f"Wrong input: Collection `{name}` already exists!")
            home = self._home(name)
            home.mkdir()
            shard = qe.EdgeShard.create(str(home / "shard"), config)
            _replace(home / "settings.pb", settings.SerializeToString())
            self._by_name[name] = Collection(settings, shard)

    def add_vector(self, request: pb.CreateVectorNameRequest) -> int:
        """Let points have a further vector; one that is there stays, as another one it is refused."""
        operation = _vector_creation(request)
        with self._lock:
            collection = self.find(request.collection_name)
            [operation_id] = collection.write([operation])
            with collection.shard() as shard:
                shard.flush()
            _note_vector(collection.settings, request)
            home = self._home(collection.settings.collection_name)
            _replace(home / "settings.pb", collection.settings.SerializeToString())
            return operation_id

    def delete(self, name: str) -> bool:
        """Whether there was such a collection. Aliases do not name one here, as on a server; its own go with it."""
        with self._lock:
            found = self._by_name.pop(name, None)
            if found is None:
                return False
            self._save_aliases({alias: target for alias, target in self.aliases.items() if target != name})
            (self._home(name) / "settings.pb").unlink()
            found.close()
            shutil.rmtree(self._home(name))
            return True

    def change_aliases(self, actions: Sequence[pb.AliasOperations]) -> None:
        """Apply all actions or, when one is refused, none."""
        with self._lock:
            changed = dict(self.aliases)
            for action in actions:
                self._change_alias(changed, action)
            self._save_aliases(changed)

    def close(self) -> None:
        with self._lock:
            for collection in self._by_name.values():
                collection.close()

    def _change_alias(self, aliases: dict[str, str], action: pb.AliasOperations) -> None:
        match action.WhichOneof("action"):
            case "create_alias":
                self._create_alias(aliases, action.create_alias)
            case "rename_alias":
                aliases[action.rename_alias.new_alias_name] = _take(aliases, action.rename_alias.old_alias_name)
            case "delete_alias":
                aliases.pop(action.delete_alias.alias_name, None)
            case _:
                raise bad_input("Malformed AliasOperation type")

    def _create_alias(self, aliases: dict[str, str], wanted: pb.CreateAlias) -> None:
        if wanted.collection_name not in self._by_name:
            raise not_found(f"Collection `{wanted.collection_name}` doesn't exist!")
        if wanted.alias_name in self._by_name:
            raise Refused(StatusCode.ALREADY_EXISTS, f"Wrong input: Collection `{wanted.alias_name}` already exists!")
        aliases[wanted.alias_name] = wanted.collection_name

    def _save_aliases(self, aliases: dict[str, str]) -> None:
        _replace(self._aliases_file, json.dumps(aliases).encode())
        self.aliases = aliases

    def _home(self, name: str) -> Path:
        return self._folder / quote(name, safe="")


def _take(aliases: dict[str, str], alias: str) -> str:
    if alias not in aliases:
        raise not_found(f"Alias {alias} does not exists!")
    return aliases.pop(alias)


def _load(home: Path) -> Collection | None:
    content = _read(home / "settings.pb")
    if content is None:
        shutil.rmtree(home)
        return None
    return Collection(pb.CreateCollection.FromString(content), qe.EdgeShard.load(str(home / "shard")))


def _read(file: Path) -> bytes | None:
    return file.read_bytes() if file.exists() else None


def _replace(file: Path, content: bytes) -> None:
    """Write a file as a whole: a reader finds the old content or the new, never a part."""
    draft = file.with_suffix(".draft")
    draft.write_bytes(content)
    draft.replace(file)


def _edge_config(settings: pb.CreateCollection) -> qe.EdgeConfig:
    _check_settings(settings)
    named = {name: _sparse_params(params) for name, params in settings.sparse_vectors_config.map.items()}
    return qe.EdgeConfig(sparse_vectors=named or {_NO_VECTORS: qe.EdgeSparseVectorParams()})


def _check_settings(settings: pb.CreateCollection) -> None:
    placement = ("hnsw_config", "wal_config", "optimizers_config", "on_disk_payload", "payload", "id_tracker")
    only(settings, "vectors_config", "sparse_vectors_config", "metadata", *placement, *_COPIES)
    if settings.vectors_config.HasField("params") or settings.vectors_config.params_map.map:
        raise unserved("dense vectors")
    if not settings.collection_name:
        raise bad_input("Validation error in body: [collection_name: must not be empty]")
    for field in _COPIES:
        if set_fields(settings).get(field) == 0:
            raise bad_input(f"Validation error in body: [{field}: value 0 invalid, must be 1 or larger]")


def _dense_vectors(settings: pb.CreateCollection) -> Mapping[str, pb.VectorParams]:
    return settings.vectors_config.params_map.map


def _vector_creation(request: pb.CreateVectorNameRequest) -> qe.UpdateOperation:
    if request.HasField("sparse_config"):
        only(request.sparse_config, "modifier")
        idf = qe.Modifier.Idf if request.sparse_config.modifier == pb.Idf else None
        return qe.UpdateOperation.create_sparse_vector(request.vector_name, modifier=idf)
    only(request.dense_config, "size", "distance")
    if request.dense_config.distance != pb.Dot:
        raise unserved("distances other than Dot")
    return qe.UpdateOperation.create_dense_vector(request.vector_name, request.dense_config.size, qe.Distance.Dot)


def _note_vector(settings: pb.CreateCollection, request: pb.CreateVectorNameRequest) -> None:
    if request.HasField("sparse_config"):
        params = settings.sparse_vectors_config.map[request.vector_name]
        params.SetInParent()
        if request.sparse_config.HasField("modifier"):
            params.modifier = request.sparse_config.modifier
    else:
        dense = request.dense_config
        given = pb.VectorParams(size=dense.size, distance=dense.distance)
        settings.vectors_config.params_map.map[request.vector_name].CopyFrom(given)


def _sparse_params(params: pb.SparseVectorParams) -> qe.EdgeSparseVectorParams:
    only(params.index, "full_scan_threshold", "on_disk", "datatype", "memory")
    datatypes = {pb.Float16: qe.VectorStorageDatatype.Float16, pb.Uint8: qe.VectorStorageDatatype.Uint8}
    return qe.EdgeSparseVectorParams(
        full_scan_threshold=set_fields(params.index).get("full_scan_threshold"),
        modifier=qe.Modifier.Idf if params.modifier == pb.Idf else None,
        datatype=datatypes.get(params.index.datatype),
    )
