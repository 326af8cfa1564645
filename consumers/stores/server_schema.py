"""What the points of a collection can be found by, beside the main vector: further vectors and payload indexes.

Several workers may add the same at once; what is there already stays as it is.
"""

from collections.abc import Mapping

import grpc
from qdrant_client import models

from consumers.stores.server_connection import Connection
from consumers.stores.server_options import ServerOptions
from recommender.vector import VectorSpec


def modifier(idf: bool) -> models.Modifier | None:
    """How a sparse vector's dimensions are weighed."""
    return models.Modifier.IDF if idf else None


def add_vectors(connection: Connection, options: ServerOptions, wanted: Mapping[str, VectorSpec]) -> None:
    """Let points have further vectors.

    Raises:
        StoreError: the server refuses, such as one that is there as another kind.
    """
    for name, spec in wanted.items():
        with connection.errors(f"add the vector {name!r}"):
            try:
                connection.models.create_vector_name(
                    options.collection, name, _made_as(spec), ordering=models.WriteOrdering.STRONG
                )
            except grpc.RpcError:
                # Another worker that starts at the same moment may have been faster, or only the answer got lost.
                if _found(connection, options, name) != spec:
                    raise


def _made_as(spec: VectorSpec) -> models.DenseVectorNameConfig | models.SparseVectorNameConfig:
    if spec.dimensions is None:
        return models.SparseVectorNameConfig(sparse=models.SparseVectorConfig(modifier=modifier(spec.idf)))
    dense = models.DenseVectorConfig(size=spec.dimensions, distance=models.Distance.DOT)
    return models.DenseVectorNameConfig(dense=dense)


def _found(connection: Connection, options: ServerOptions, name: str) -> VectorSpec | None:
    params = connection.models.get_collection(options.collection).config.params
    dense = params.vectors.get(name) if isinstance(params.vectors, dict) else None
    sparse = (params.sparse_vectors or {}).get(name)
    if dense is not None:
        return VectorSpec(dense.size)
    return None if sparse is None else VectorSpec(idf=sparse.modifier == models.Modifier.IDF)


def add_indexes(connection: Connection, options: ServerOptions) -> None:
    """Index what is not indexed yet, or as something else; the server does so in the background."""
    if not options.indexes:
        return
    with connection.errors(f"read the indexes of collection {options.collection!r}"):
        known = connection.models.get_collection(options.collection).payload_schema
    for index in options.indexes:
        kind = models.PayloadSchemaType(index.kind)
        if index.path not in known or known[index.path].data_type != kind:
            with connection.errors(f"index {index.path}"):
                connection.models.create_payload_index(options.collection, index.path, kind, wait=False)
