"""The Collections and Qdrant services of the double: what there is, how it was made, and which version this is."""
# ruff: noqa: N802 - gRPC finds a method by its name in the protocol

from collections.abc import Mapping
from typing import Any

import qdrant_client.grpc as pb
import qdrant_edge as qe
from qdrant_client.grpc.collections_service_pb2_grpc import CollectionsServicer
from qdrant_client.grpc.qdrant_pb2_grpc import QdrantServicer
from qdrant_collections import Collections

# What a server says where the creator said nothing.
_DEFAULTS = pb.CollectionConfig(
    params=pb.CollectionParams(shard_number=1, replication_factor=1, write_consistency_factor=1, on_disk_payload=True),
    hnsw_config=pb.HnswConfigDiff(m=16, ef_construct=100, full_scan_threshold=10_000, max_indexing_threads=0),
    optimizer_config=pb.OptimizersConfigDiff(
        deleted_threshold=0.2,
        vacuum_min_vector_number=1_000,
        default_segment_number=0,
        indexing_threshold=10_000,
        flush_interval_sec=5,
    ),
    wal_config=pb.WalConfigDiff(wal_capacity_mb=32, wal_segments_ahead=0, wal_retain_closed=1),
)


class Catalog(CollectionsServicer):
    """The collections of a double and their aliases."""

    def __init__(self, collections: Collections) -> None:
        self._collections = collections

    def Create(self, request: pb.CreateCollection, _: Any) -> pb.CollectionOperationResponse:
        self._collections.create(request)
        return pb.CollectionOperationResponse(result=True)

    def Delete(self, request: pb.DeleteCollection, _: Any) -> pb.CollectionOperationResponse:
        return pb.CollectionOperationResponse(result=self._collections.delete(request.collection_name))

    def List(self, _request: pb.ListCollectionsRequest, _: Any) -> pb.ListCollectionsResponse:
        names = [pb.CollectionDescription(name=name) for name in self._collections.names()]
        return pb.ListCollectionsResponse(collections=names)

    def CollectionExists(self, request: pb.CollectionExistsRequest, _: Any) -> pb.CollectionExistsResponse:
        exists = self._collections.exists(request.collection_name)
        return pb.CollectionExistsResponse(result=pb.CollectionExists(exists=exists))

    def Get(self, request: pb.GetCollectionInfoRequest, _: Any) -> pb.GetCollectionInfoResponse:
        collection = self._collections.find(request.collection_name)
        with collection.shard() as shard:
            info = shard.info()
        return pb.GetCollectionInfoResponse(
            result=pb.CollectionInfo(
                status=pb.Green,
                optimizer_status=pb.OptimizerStatus(ok=True),
                segments_count=info.segments_count,
                points_count=info.points_count,
                indexed_vectors_count=info.indexed_vectors_count,
                config=_config(collection.settings),
                payload_schema=_schema(info.payload_schema),
            )
        )

    def UpdateAliases(self, request: pb.ChangeAliases, _: Any) -> pb.CollectionOperationResponse:
        self._collections.change_aliases(request.actions)
        return pb.CollectionOperationResponse(result=True)

    def ListAliases(self, _request: pb.ListAliasesRequest, _: Any) -> pb.ListAliasesResponse:
        return _aliases(self._collections.aliases)

    def ListCollectionAliases(self, request: pb.ListCollectionAliasesRequest, _: Any) -> pb.ListAliasesResponse:
        name = self._collections.find(request.collection_name).settings.collection_name
        return _aliases({alias: target for alias, target in self._collections.aliases.items() if target == name})


class Health(QdrantServicer):
    """The version a double claims to be."""

    def __init__(self, version: str) -> None:
        self._version = version

    def HealthCheck(self, _request: pb.HealthCheckRequest, _: Any) -> pb.HealthCheckReply:
        return pb.HealthCheckReply(title="qdrant - vector search engine", version=self._version)


def _aliases(aliases: Mapping[str, str]) -> pb.ListAliasesResponse:
    pairs = sorted(aliases.items())
    return pb.ListAliasesResponse(
        aliases=[pb.AliasDescription(alias_name=alias, collection_name=name) for alias, name in pairs]
    )


def _config(settings: pb.CreateCollection) -> pb.CollectionConfig:
    config = pb.CollectionConfig()
    config.CopyFrom(_DEFAULTS)
    config.hnsw_config.MergeFrom(settings.hnsw_config)
    config.optimizer_config.MergeFrom(settings.optimizers_config)
    config.wal_config.MergeFrom(settings.wal_config)
    config.params.sparse_vectors_config.MergeFrom(settings.sparse_vectors_config)
    if settings.vectors_config.params_map.map:
        config.params.vectors_config.MergeFrom(settings.vectors_config)
    for field in ("shard_number", "replication_factor", "write_consistency_factor", "on_disk_payload"):
        if settings.HasField(field):
            setattr(config.params, field, getattr(settings, field))
    for key, field in settings.metadata.items():
        config.metadata[key].CopyFrom(field)
    return config


def _schema(schema: Mapping[str, "qe.PayloadIndexInfo"]) -> dict[str, pb.PayloadSchemaInfo]:
    return {
        field: pb.PayloadSchemaInfo(data_type=_data_type(index), params=_params(index), points=index.points)
        for field, index in schema.items()
    }


def _data_type(index: "qe.PayloadIndexInfo") -> Any:
    """The type by its name, which Edge and the protocol share."""
    return pb.PayloadSchemaType.Value(str(index.data_type).rpartition(".")[2])


def _params(index: "qe.PayloadIndexInfo") -> pb.PayloadIndexParams | None:
    if index.params is None:
        return None
    params = pb.PayloadIndexParams()
    field = getattr(params, f"{str(index.data_type).rpartition('.')[2].lower()}_index_params")
    field.SetInParent()
    for name in ("is_tenant", "is_principal", "on_disk", "enable_hnsw", "lookup", "range", "nested"):
        if (chosen := getattr(index.params, name, None)) is not None:
            setattr(field, name, chosen)
    return params
