"""The Qdrant double behaves as a server was measured to, seen through the real qdrant-client over gRPC."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import grpc
import pytest
import qdrant_client.grpc as pb
import qdrant_double
from qdrant_client import QdrantClient, models
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_double import Credentials, QdrantDouble

USERS = "users"
TASTE = "taste"
TAG = 2**62 + 1
TIMEOUT_S = 10
DEADLINE_S = 0.3
TLS = Path(qdrant_double.__file__).parent / "tls"


@pytest.fixture
def double(tmp_path: Path) -> Iterator[QdrantDouble]:
    with QdrantDouble(tmp_path / "qdrant") as running:
        yield running


@pytest.fixture
def client(double: QdrantDouble) -> Iterator[QdrantClient]:
    with_users = connect(double.port)
    make_users(with_users)
    yield with_users
    with_users.close()


def connect(port: int, **settings: Any) -> QdrantClient:
    prompt = {"grpc.initial_reconnect_backoff_ms": 20, "grpc.max_reconnect_backoff_ms": 100}
    options = {**prompt, **settings.pop("grpc_options", {})}
    return QdrantClient(
        host="127.0.0.1",
        grpc_port=port,
        prefer_grpc=True,
        pool_size=1,
        timeout=TIMEOUT_S,
        check_compatibility=False,
        grpc_options=options,
        **settings,
    )


def make_users(client: QdrantClient, name: str = USERS, **settings: Any) -> None:
    client.create_collection(name, sparse_vectors_config={TASTE: models.SparseVectorParams()}, **settings)


def user(number: int | str, items: dict[int, float] | None = None, **payload: Any) -> models.PointStruct:
    items = {1: 1.0} if items is None else items
    vector = models.SparseVector(indices=list(items), values=list(items.values()))
    return models.PointStruct(id=number, vector={TASTE: vector}, payload=payload)


def field(key: str, match: Any = None, **bounds: float) -> models.FieldCondition:
    return models.FieldCondition(key=key, match=match, range=models.Range(**bounds) if bounds else None)


def tagged(*tags: int) -> models.Filter:
    return models.Filter(must=[field("tag", models.MatchAny(any=list(tags)))])


def payloads(client: QdrantClient, *ids: int | str) -> dict[Any, Any]:
    return {record.id: record.payload for record in client.retrieve(USERS, ids)}


def nearest(items: dict[int, float], **settings: Any) -> pb.QueryPoints:
    sparse = pb.SparseVector(indices=list(items), values=list(items.values()))
    query = pb.Query(nearest=pb.VectorInput(sparse=sparse))
    return pb.QueryPoints(collection_name=USERS, query=query, using=TASTE, **settings)


def refusal(code: grpc.StatusCode, sentence: str = "") -> AbstractContextManager[Any]:
    """A context in which a call must be answered with this status and a message that says so."""
    return pytest.raises(grpc.RpcError, check=lambda error: error.code() == code and sentence in error.details())


# Writes under a condition.


def test_an_update_filter_updates_matches_inserts_the_missing_and_leaves_the_rest(client: QdrantClient) -> None:
    """`should: [is_empty o, o < x]`: behind and unmarked points are rewritten, points ahead stay, missing ones come."""
    client.upsert(USERS, [user(1, o=5), user(2, o=9), user(3)])
    behind = models.Filter(should=[models.IsEmptyCondition(is_empty=models.PayloadField(key="o")), field("o", lt=7)])
    result = client.upsert(USERS, [user(number, o=7) for number in (1, 2, 3, 4)], update_filter=behind)
    assert result.status == models.UpdateStatus.COMPLETED
    assert payloads(client, 1, 2, 3, 4) == {1: {"o": 7}, 2: {"o": 9}, 3: {"o": 7}, 4: {"o": 7}}


def test_a_condition_is_judged_against_the_state_before_its_request(client: QdrantClient) -> None:
    """The same id twice in one upsert: both are judged by the old point, and the last one stays though it is lower."""
    client.upsert(USERS, [user(1, o=5)])
    client.upsert(USERS, [user(1, o=9), user(1, o=6)], update_filter=models.Filter(must=[field("o", lt=7)]))
    assert payloads(client, 1) == {1: {"o": 6}}


@pytest.mark.parametrize(
    ("mode", "after"),
    [
        (models.UpdateMode.UPSERT, {1: {"n": 2}, 2: {"n": 2}}),
        (models.UpdateMode.INSERT_ONLY, {1: {"n": 1}, 2: {"n": 2}}),
        (models.UpdateMode.UPDATE_ONLY, {1: {"n": 2}}),
    ],
)
def test_the_update_mode_says_whether_old_and_missing_points_are_written(
    client: QdrantClient, mode: models.UpdateMode, after: dict[int, Any]
) -> None:
    """insert_only never touches what is there, update_only never makes what is not."""
    client.upsert(USERS, [user(1, n=1)])
    client.upsert(USERS, [user(1, n=2), user(2, n=2)], update_mode=mode)
    assert payloads(client, 1, 2) == after


def test_compare_and_set_by_tag_is_exact_to_63_bits_and_reports_completed_either_way(client: QdrantClient) -> None:
    """One batch of marker, update_only under `tag in {read}` and insert_only writes exactly the users read."""
    client.upsert(USERS, [user(1, tag=TAG), user(2, tag=TAG + 1)])

    def upsert(points: list[models.PointStruct], **condition: Any) -> models.UpsertOperation:
        return models.UpsertOperation(upsert=models.PointsList(points=points, **condition))

    update_only, insert_only = models.UpdateMode.UPDATE_ONLY, models.UpdateMode.INSERT_ONLY
    batch = [
        upsert([user(100, marker=True)]),
        upsert(
            [user(1, tag=7), user(2, tag=8), user(3, tag=9)],
            update_mode=update_only,
            update_filter=tagged(TAG, TAG + 2),
        ),
        upsert([user(1, tag=10), user(4, tag=11)], update_mode=insert_only),
    ]
    results = client.batch_update_points(USERS, batch, ordering=models.WriteOrdering.STRONG)
    assert [result.status for result in results] == [models.UpdateStatus.COMPLETED] * 3
    assert payloads(client, 1, 2, 3, 4) == {1: {"tag": 7}, 2: {"tag": TAG + 1}, 4: {"tag": 11}}


def test_racing_compare_and_set_writers_lose_no_increment(double: QdrantDouble, client: QdrantClient) -> None:
    """Three clients each add to one counter until ten of their writes held: the sum is thirty, each counted once."""
    client.upsert(USERS, [user(1, n=0, tag=0, log=[])])

    def add(writer: int) -> None:
        own = connect(double.port)
        won, tag = 0, writer
        while won < 10:
            tag += 3
            state = payloads(own, 1)[1]
            point = user(1, n=state["n"] + 1, tag=tag, log=[*state["log"], tag])
            own.upsert(USERS, [point], update_filter=tagged(state["tag"]), update_mode=models.UpdateMode.UPDATE_ONLY)
            won += tag in payloads(own, 1)[1]["log"]
        own.close()

    with ThreadPoolExecutor(3) as writers:
        list(writers.map(add, range(3)))
    state = payloads(client, 1)[1]
    assert (state["n"], len(state["log"]), len(set(state["log"]))) == (30, 30, 30)


def test_a_write_that_was_not_waited_for_is_acknowledged_only(client: QdrantClient) -> None:
    """COMPLETED is the answer to wait=true alone."""
    assert client.upsert(USERS, [user(1)], wait=False).status == models.UpdateStatus.ACKNOWLEDGED


# Other writes.


def test_operations_of_a_batch_are_applied_in_order(client: QdrantClient) -> None:
    """Each operation sees what the one before it wrote; a nested set_payload merges."""
    nested = models.SetPayload(payload={"b": 2}, key="o", points=[1])
    batch: list[Any] = [
        models.UpsertOperation(upsert=models.PointsList(points=[user(1, o={"a": 1}), user(2)])),
        models.SetPayloadOperation(set_payload=nested),
        models.DeleteOperation(delete=models.PointIdsList(points=[2])),
    ]
    client.batch_update_points(USERS, batch)
    assert payloads(client, 1, 2) == {1: {"o": {"a": 1, "b": 2}}}


def test_payloads_are_overwritten_emptied_and_cut_by_id_and_by_filter(client: QdrantClient) -> None:
    """Each payload operation changes the points its selector names and no others."""
    client.upsert(USERS, [user(number, n=number, z=0) for number in (1, 2, 3, 4)])
    client.overwrite_payload(USERS, {"new": True}, points=[1])
    client.clear_payload(USERS, [2])
    client.delete_payload(USERS, ["z"], points=models.Filter(must=[field("n", gte=3, lte=3)]))
    assert payloads(client, 1, 2, 3, 4) == {1: {"new": True}, 2: {}, 3: {"n": 3}, 4: {"n": 4, "z": 0}}


def test_setting_the_payload_of_a_missing_point_is_not_found(client: QdrantClient) -> None:
    """A server names the point it did not find."""
    with refusal(grpc.StatusCode.NOT_FOUND, "No point with id 77"):
        client.set_payload(USERS, {"n": 1}, points=[77])


# Reads.


def test_a_write_that_was_waited_for_is_read_at_once(client: QdrantClient) -> None:
    """Read-your-write after wait=true, by id and by query."""
    for number in range(50):
        client.upsert(USERS, [user(1, {number: 1.0}, n=number)])
        assert payloads(client, 1) == {1: {"n": number}}
        assert [hit.id.num for hit in client.grpc_points.Query(nearest({number: 1.0})).result] == [1]


def test_retrieve_keeps_request_order_drops_the_missing_and_removes_duplicates(client: QdrantClient) -> None:
    """Numbers and UUIDs alike, in the order asked for."""
    key = str(uuid.UUID(int=5))
    client.upsert(USERS, [user(number) for number in (1, 2, 3, key)])
    assert [record.id for record in client.retrieve(USERS, [3, key, 99, 1, 3, key])] == [3, key, 1]


def test_every_json_value_comes_back_as_it_was(client: QdrantClient) -> None:
    """Integers to 63 bits, floats, text, booleans, nulls, lists and objects, keys with a slash and an empty key."""
    payload: dict[str, Any] = {
        "integers": [0, -1, 2**63 - 1, -(2**63)],
        "floats": [0.1, 1e300],
        "text": ["", "ü😀"],
        "others": [True, False, None, [], {}, {"deep": [{"er": 1}]}],
        "a/b": 1,
        "": 2,
    }
    client.upsert(USERS, [user(1, **payload)])
    assert payloads(client, 1) == {1: payload}


def test_vectors_come_back_as_stored_and_only_when_asked_for(client: QdrantClient) -> None:
    """A point may be without a vector; retrieve, scroll and query return vectors on request."""
    without = models.PointStruct(id=2, vector={}, payload={})
    client.upsert(USERS, [user(1, {7: 0.5, 2**32 - 1: -1.0}), without])
    stored = models.SparseVector(indices=[7, 2**32 - 1], values=[0.5, -1.0])
    assert [record.vector for record in client.retrieve(USERS, [1, 2], with_vectors=True)] == [{TASTE: stored}, {}]
    assert [record.vector for record in client.retrieve(USERS, [1], with_vectors=[TASTE])] == [{TASTE: stored}]
    assert [record.vector for record in client.scroll(USERS)[0]] == [None, None]


def test_the_payload_selector_says_what_is_returned(client: QdrantClient) -> None:
    """All, none, some, or all but some; without a selector a scroll returns all, a retrieve or query none."""
    client.upsert(USERS, [user(1, a=1, b={"c": 2, "d": 3})])

    def returned(selector: Any) -> Any:
        return client.retrieve(USERS, [1], with_payload=selector)[0].payload

    assert returned(["b.c"]) == {"b": {"c": 2}}
    assert returned(models.PayloadSelectorExclude(exclude=["b"])) == {"a": 1}
    assert not returned(False)
    bare = pb.GetPoints(collection_name=USERS, ids=[pb.PointId(num=1)])
    assert not client.grpc_points.Get(bare).result[0].payload
    assert not client.grpc_points.Query(nearest({1: 1.0})).result[0].payload
    assert set(client.grpc_points.Scroll(pb.ScrollPoints(collection_name=USERS)).result[0].payload) == {"a", "b"}


def test_a_query_ranks_by_dot_product_above_the_threshold_up_to_the_limit(client: QdrantClient) -> None:
    """Score is the dot product; id, score and version come without payload; a negative score ends at the threshold."""
    client.upsert(USERS, [user(1, {1: 1.0, 2: 1.0}), user(2, {1: 2.0}), user(3, {1: -1.0}), user(4, {9: 9.0})])
    reply = client.grpc_points.Query(nearest({1: 1.0, 2: 3.0}, limit=10))
    assert [(hit.id.num, hit.score) for hit in reply.result] == [(1, 4.0), (2, 2.0), (3, -1.0)]
    first = client.grpc_points.Query(nearest({1: 1.0, 2: 3.0}, limit=10, score_threshold=0.0, offset=1))
    assert [hit.id.num for hit in first.result] == [2]
    again = client.upsert(USERS, [user(1)]).operation_id
    assert client.grpc_points.Query(nearest({1: 1.0}, limit=2)).result[1].version == again


def test_a_batch_of_queries_answers_each_as_if_alone(client: QdrantClient) -> None:
    """One list per query, in their order, with each query's own filter, limit and payload."""
    client.upsert(USERS, [user(number, {1: float(number)}, n=number) for number in range(1, 6)])
    include = pb.WithPayloadSelector(include=pb.PayloadIncludeSelector(fields=["n"]))
    not_me = pb.Filter(must_not=[pb.Condition(has_id=pb.HasIdCondition(has_id=[pb.PointId(num=5)]))])
    queries = [nearest({1: 1.0}, limit=2, with_payload=include), nearest({1: 1.0}, limit=1, filter=not_me)]
    batch = pb.QueryBatchPoints(collection_name=USERS, query_points=queries)
    first, second = client.grpc_points.QueryBatch(batch).result
    assert [(hit.id.num, hit.payload["n"].integer_value) for hit in first.result] == [(5, 5), (4, 4)]
    assert [hit.id.num for hit in second.result] == [4]
    assert list(first.result) == list(client.grpc_points.Query(queries[0]).result)


def test_scrolling_reaches_every_point_once(client: QdrantClient) -> None:
    """Pages join at the offset the one before gave; count agrees with them."""
    client.upsert(USERS, [user(number) for number in range(25)])
    seen: list[Any] = []
    offset: Any = None
    while True:
        page, offset = client.scroll(USERS, limit=10, offset=offset, with_payload=False)
        seen += [record.id for record in page]
        if offset is None:
            break
    assert seen == list(range(25))
    assert client.count(USERS).count == 25


CONDITIONS: dict[str, tuple[models.Filter, set[int]]] = {
    "keyword": (models.Filter(must=[field("gender", models.MatchValue(value="F"))]), {1, 3}),
    "integer": (models.Filter(must=[field("tag", models.MatchValue(value=TAG + 2))]), {2}),
    "boolean": (models.Filter(must=[field("vip", models.MatchValue(value=True))]), {1}),
    "any keyword": (models.Filter(must=[field("gender", models.MatchAny(any=["M", "X"]))]), {2}),
    "any integer": (tagged(TAG + 1, TAG + 3), {1, 3}),
    "no integer": (tagged(), set()),
    "except": (models.Filter(must=[field("tag", models.MatchExcept.model_validate({"except": [TAG + 1]}))]), {2, 3}),
    "range": (models.Filter(must=[field("age", gte=20, lt=40)]), {1, 2}),
    "missing fields fail a range": (models.Filter(must=[field("age", gte=0)]), {1, 2}),
    "is empty": (models.Filter(must=[models.IsEmptyCondition(is_empty=models.PayloadField(key="age"))]), {3}),
    "has id": (models.Filter(must=[models.HasIdCondition(has_id=[2, 3, 99])]), {2, 3}),
    "has vector": (models.Filter(must=[models.HasVectorCondition(has_vector=TASTE)]), {1, 2, 3}),
    "must not": (models.Filter(must_not=[field("gender", models.MatchValue(value="F"))]), {2}),
    "should": (models.Filter(should=[field("age", lt=25), field("vip", models.MatchValue(value=True))]), {1, 2}),
    "filter in a filter": (
        models.Filter(must=[models.Filter(should=[field("age", lt=25), *(tagged(TAG + 3).must or [])])]),
        {2, 3},
    ),
    "nested key": (models.Filter(must=[field("o.p", gt=4)]), {2}),
    "nothing said": (models.Filter(), {1, 2, 3}),
}


@pytest.mark.parametrize(("condition", "matching"), CONDITIONS.values(), ids=CONDITIONS.keys())
def test_filters_select_what_they_say(client: QdrantClient, condition: models.Filter, matching: set[int]) -> None:
    """The same filter selects the same points in scroll, count and query, and delete removes exactly them."""
    people = [
        user(1, gender="F", age=30, vip=True, tag=TAG + 1, o={"p": 4}),
        user(2, gender="M", age=20, vip=False, tag=TAG + 2, o={"p": 5}),
        user(3, gender="F", tag=TAG + 3),
    ]
    client.upsert(USERS, people)
    sparse = models.SparseVector(indices=[1], values=[1.0])
    assert {record.id for record in client.scroll(USERS, condition)[0]} == matching
    assert client.count(USERS, condition).count == len(matching)
    hits = client.query_points(USERS, sparse, using=TASTE, query_filter=condition).points
    assert {hit.id for hit in hits} == matching
    client.delete(USERS, condition)
    assert {record.id for record in client.scroll(USERS)[0]} == {1, 2, 3} - matching


# Bad input.


def points_request(**vector: Any) -> pb.UpsertPoints:
    vectors = pb.Vectors(vectors=pb.NamedVectors(vectors={TASTE: pb.Vector(sparse=pb.SparseVector(**vector))}))
    return pb.UpsertPoints(
        collection_name=USERS, wait=True, points=[pb.PointStruct(id=pb.PointId(num=1), vectors=vectors)]
    )


@pytest.mark.parametrize(
    ("vector", "sentence"),
    [
        ({"indices": [1, 2], "values": [1.0]}, "must be the same length as indices"),
        ({"indices": [1, 1], "values": [1.0, 2.0]}, "must be unique"),
    ],
    ids=["lengths", "duplicates"],
)
def test_malformed_sparse_vectors_are_refused_and_leave_no_trace(
    client: QdrantClient, vector: dict[str, Any], sentence: str
) -> None:
    """In an upsert, in a batch (of which then nothing is applied) and in a query: INVALID_ARGUMENT, and no point."""
    upsert = points_request(**vector)
    good = pb.PointsUpdateOperation.PointStructList(points=points_request(indices=[1], values=[1.0]).points)
    bad = pb.PointsUpdateOperation.PointStructList(points=upsert.points)
    operations = [pb.PointsUpdateOperation(upsert=good), pb.PointsUpdateOperation(upsert=bad)]
    query = nearest({})
    query.query.nearest.sparse.CopyFrom(pb.SparseVector(**vector))
    calls: list[tuple[Callable[[Any], Any], Any]] = [
        (client.grpc_points.Upsert, upsert),
        (client.grpc_points.UpdateBatch, pb.UpdateBatchPoints(collection_name=USERS, operations=operations)),
        (client.grpc_points.Query, query),
    ]
    for call, request in calls:
        with refusal(grpc.StatusCode.INVALID_ARGUMENT, sentence):
            call(request)
    assert client.count(USERS).count == 0


@pytest.mark.parametrize("strange", [float("nan"), float("inf"), -float("inf")])
def test_non_finite_values_are_accepted_in_vectors(client: QdrantClient, strange: float) -> None:
    """A server takes them, so whoever writes has to check them first."""
    client.grpc_points.Upsert(points_request(indices=[1], values=[strange]))
    assert client.count(USERS).count == 1


def test_an_infinite_value_ranks_first(client: QdrantClient) -> None:
    """This is why it must never be written."""
    client.upsert(USERS, [user(2, {1: 1e30})])
    client.grpc_points.Upsert(points_request(indices=[1], values=[float("inf")]))
    assert client.grpc_points.Query(nearest({1: 1.0})).result[0].id.num == 1


def test_a_point_with_an_empty_vector_is_kept_and_never_found(client: QdrantClient) -> None:
    """Empty vectors are accepted."""
    client.upsert(USERS, [user(1, {})])
    assert client.count(USERS).count == 1
    assert not client.grpc_points.Query(nearest({1: 1.0})).result


BAD_REQUESTS: dict[str, tuple[Callable[[QdrantClient], Any], grpc.StatusCode, str]] = {
    "unknown vector in a write": (
        lambda client: client.upsert(USERS, [models.PointStruct(id=1, vector={"no": user(1).vector[TASTE]})]),  # type: ignore[index, call-overload]
        grpc.StatusCode.INVALID_ARGUMENT,
        "Not existing vector name error: no",
    ),
    "unknown vector in a query": (
        lambda client: client.query_points(USERS, models.SparseVector(indices=[1], values=[1.0]), using="no"),
        grpc.StatusCode.INVALID_ARGUMENT,
        "Not existing vector name error: no",
    ),
    "unknown vector in a retrieve": (
        lambda client: client.retrieve(USERS, [1], with_vectors=["no"]),
        grpc.StatusCode.INVALID_ARGUMENT,
        "Not existing vector name error: no",
    ),
    "unknown collection": (
        lambda client: client.count("no"),
        grpc.StatusCode.NOT_FOUND,
        "Collection `no` doesn't exist!",
    ),
    "an id that is no UUID": (
        lambda client: client.retrieve(USERS, ["user-42"]),
        grpc.StatusCode.INVALID_ARGUMENT,
        "Unable to parse UUID: user-42",
    ),
    "a slash in a filter's path": (
        lambda client: client.count(USERS, models.Filter(must=[field("a/b", lt=1)])),
        grpc.StatusCode.INVALID_ARGUMENT,
        "invalid JSON path",
    ),
    "an upsert of nothing": (
        lambda client: client.upsert(USERS, []),
        grpc.StatusCode.INVALID_ARGUMENT,
        "Empty update request",
    ),
    "a limit of nothing": (
        lambda client: client.scroll(USERS, limit=0),
        grpc.StatusCode.INVALID_ARGUMENT,
        "must be 1 or larger",
    ),
    "a collection made twice": (make_users, grpc.StatusCode.ALREADY_EXISTS, "already exists"),
}


@pytest.mark.parametrize(("call", "code", "sentence"), BAD_REQUESTS.values(), ids=BAD_REQUESTS.keys())
def test_bad_requests_get_the_status_of_a_server(
    client: QdrantClient, call: Callable[[QdrantClient], Any], code: grpc.StatusCode, sentence: str
) -> None:
    """INVALID_ARGUMENT, NOT_FOUND or ALREADY_EXISTS with a sentence that names what was wrong; nothing is written."""
    with refusal(code, sentence):
        call(client)
    assert client.count(USERS).count == 0


def test_what_the_double_does_not_know_it_refuses(client: QdrantClient) -> None:
    """Unserved methods and unserved settings are UNIMPLEMENTED by name, never ignored."""
    with refusal(grpc.StatusCode.UNIMPLEMENTED, "Facet"):
        client.facet(USERS, "gender")
    with refusal(grpc.StatusCode.UNIMPLEMENTED, "QueryPoints.prefetch"):
        client.query_points(USERS, prefetch=models.Prefetch(limit=1))
    with refusal(grpc.StatusCode.UNIMPLEMENTED):
        client.list_snapshots(USERS)


# Collections, aliases, version, credentials.


def test_a_collection_is_described_as_it_was_made(client: QdrantClient) -> None:
    """Sparse vectors, copies, shards and metadata as given, one of each where nothing was said; points and indexes."""
    make_users(client, "copied", replication_factor=3, write_consistency_factor=2, shard_number=4, metadata={"v": 1})
    copied = client.get_collection("copied").config
    assert copied.params.sparse_vectors == {TASTE: models.SparseVectorParams()}
    factors = (copied.params.replication_factor, copied.params.write_consistency_factor, copied.params.shard_number)
    assert (factors, copied.metadata) == ((3, 2, 4), {"v": 1})
    client.upsert(USERS, [user(1, age=3), user(2)])
    client.create_payload_index(USERS, "age", models.PayloadSchemaType.INTEGER)
    users = client.get_collection(USERS)
    single = (users.config.params.replication_factor, users.config.params.write_consistency_factor)
    assert (users.points_count, users.config.params.shard_number, single) == (2, 1, (1, 1))
    assert {name: (index.data_type, index.points) for name, index in users.payload_schema.items()} == {
        "age": (models.PayloadSchemaType.INTEGER, 1)
    }


def test_a_filter_over_an_index_selects_the_same_as_without(client: QdrantClient) -> None:
    """An index, plain or with parameters, changes speed and not answers; it can be removed."""
    client.upsert(USERS, [user(number, age=number, gender="FM"[number % 2]) for number in range(20)])
    wanted = models.Filter(must=[field("age", gte=5, lt=9), field("gender", models.MatchValue(value="F"))])
    before = client.scroll(USERS, wanted)[0]
    params = models.IntegerIndexParams(type=models.IntegerIndexType.INTEGER, lookup=False, range=True)
    client.create_payload_index(USERS, "age", params)
    client.create_payload_index(USERS, "gender", models.PayloadSchemaType.KEYWORD)
    assert client.scroll(USERS, wanted)[0] == before
    indexed = client.get_collection(USERS).payload_schema
    assert indexed["age"].params == params
    client.delete_payload_index(USERS, "age")
    assert set(client.get_collection(USERS).payload_schema) == {"gender"}


def test_collections_come_and_go(client: QdrantClient) -> None:
    """Listed and existing until deleted, with or without vectors; a deleted one can be made again, empty."""
    client.create_collection("items", vectors_config={})
    client.upsert("items", [models.PointStruct(id=1, vector={}, payload={"title": "Heat"})])
    assert [one.name for one in client.get_collections().collections] == ["items", USERS]
    assert client.delete_collection("items")
    assert not client.delete_collection("items")
    assert not client.collection_exists("items")
    client.create_collection("items", vectors_config={})
    assert client.count("items").count == 0


def test_an_alias_stands_for_its_collection_everywhere(client: QdrantClient) -> None:
    """Reads and writes through an alias reach the collection; one request moves it, a failed one moves nothing."""
    make_users(client, "users_2")

    def point_to(*collections: str) -> None:
        actions = [models.CreateAlias(collection_name=one, alias_name="live") for one in collections]
        client.update_collection_aliases([models.CreateAliasOperation(create_alias=action) for action in actions])

    point_to(USERS)
    client.upsert("live", [user(1, n=1)])
    assert payloads(client, 1) == {1: {"n": 1}}
    assert client.collection_exists("live")
    assert client.get_collection("live").points_count == 1
    with refusal(grpc.StatusCode.NOT_FOUND, "Collection `nowhere` doesn't exist!"):
        point_to("users_2", "nowhere")
    assert client.count("live").count == 1
    point_to("users_2")
    assert client.count("live").count == 0
    assert [one.alias_name for one in client.get_collection_aliases("users_2").aliases] == ["live"]
    assert not client.get_collection_aliases(USERS).aliases


def test_aliases_are_renamed_deleted_and_go_with_their_collection(client: QdrantClient) -> None:
    """Whatever happened to it, an alias never outlives its collection."""
    rename = models.RenameAlias(old_alias_name="a", new_alias_name="b")
    operations: list[Any] = [
        models.CreateAliasOperation(create_alias=models.CreateAlias(collection_name=USERS, alias_name="a")),
        models.CreateAliasOperation(create_alias=models.CreateAlias(collection_name=USERS, alias_name="c")),
        models.RenameAliasOperation(rename_alias=rename),
        models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name="c")),
    ]
    client.update_collection_aliases(operations)
    assert [one.alias_name for one in client.get_aliases().aliases] == ["b"]
    assert not client.delete_collection("b")
    client.delete_collection(USERS)
    assert not client.get_aliases().aliases


def test_the_version_can_be_that_of_an_old_server(tmp_path: Path) -> None:
    """The health check says what the double was told to say."""
    with QdrantDouble(tmp_path, version="1.15.4") as old:
        client = connect(old.port)
        assert client.info().version == "1.15.4"
        client.close()


@pytest.mark.parametrize(
    ("key", "code"),
    [(None, grpc.StatusCode.UNAUTHENTICATED), ("wrong", grpc.StatusCode.UNAUTHENTICATED), ("right", None)],
)
def test_a_key_is_asked_for_where_one_is_set(tmp_path: Path, key: str | None, code: grpc.StatusCode | None) -> None:
    """Missing and wrong keys are UNAUTHENTICATED everywhere but in the health check, which anyone may call."""
    with QdrantDouble(tmp_path, credentials=Credentials(api_key="right")) as double:
        client = connect(double.port, headers={} if key is None else {"api-key": key})
        assert client.info().version == qdrant_double.VERSION
        if code is None:
            assert not client.get_collections().collections
        else:
            with refusal(code):
                client.get_collections()
        client.close()


def test_a_read_only_key_reads_and_may_not_write(tmp_path: Path) -> None:
    """Its writes are PERMISSION_DENIED."""
    with QdrantDouble(tmp_path, credentials=Credentials(api_key="all", read_only_api_key="some")) as double:
        writer = connect(double.port, headers={"api-key": "all"})
        make_users(writer)
        writer.close()
        reader = connect(double.port, headers={"api-key": "some"})
        assert reader.count(USERS).count == 0
        with refusal(grpc.StatusCode.PERMISSION_DENIED):
            reader.upsert(USERS, [user(1)])
        reader.close()


def test_tls_is_served_to_those_who_trust_the_certificate(tmp_path: Path) -> None:
    """With the root certificate the call and its key pass; without it the connection is UNAVAILABLE."""
    certificate, private_key = (TLS / "certificate.pem").read_bytes(), (TLS / "private_key.pem").read_bytes()
    keys = Credentials(api_key="secret", certificate=certificate, private_key=private_key)
    with QdrantDouble(tmp_path, credentials=keys) as double:
        trusting = connect(double.port, https=True, api_key="secret", grpc_options={"root_certificates": certificate})
        assert not trusting.collection_exists(USERS)
        trusting.close()
        wary = connect(double.port, https=True, api_key="secret")
        with refusal(grpc.StatusCode.UNAVAILABLE):
            wary.collection_exists(USERS)
        wary.close()


# Faults.


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("unavailable", grpc.StatusCode.UNAVAILABLE),
        ("deadline", grpc.StatusCode.DEADLINE_EXCEEDED),
        ("cancelled", grpc.StatusCode.CANCELLED),
        ("internal", grpc.StatusCode.INTERNAL),
        ("resource_exhausted", grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
)
def test_a_refused_write_is_not_applied_and_the_next_one_is(
    double: QdrantDouble, client: QdrantClient, kind: Any, code: grpc.StatusCode
) -> None:
    """The planned number of calls fails with the planned status, after those let through; then all is well."""
    double.fail_next("Upsert", kind, times=2, skip=1)
    client.upsert(USERS, [user(1)])
    for number in (2, 3):
        with refusal(code):
            client.upsert(USERS, [user(number)])
    client.upsert(USERS, [user(4)])
    assert set(payloads(client, 1, 2, 3, 4)) == {1, 4}
    assert double.calls["Upsert"] == 4


def test_a_rate_limit_says_when_to_come_back(double: QdrantDouble, client: QdrantClient) -> None:
    """With retry-after the client raises its own error carrying the seconds, on the raw stubs as well."""
    double.fail_next("UpdateBatch", "resource_exhausted", retry_after_s=3)
    with pytest.raises(ResourceExhaustedResponse, check=lambda error: error.retry_after_s == 3):
        client.grpc_points.UpdateBatch(pb.UpdateBatchPoints(collection_name=USERS))


def test_a_hanging_call_ends_at_the_callers_deadline_and_is_not_applied(
    double: QdrantDouble, client: QdrantClient
) -> None:
    """The caller's own deadline is what ends it; other calls go on meanwhile."""
    double.fail_next("Upsert", "hang")
    with refusal(grpc.StatusCode.DEADLINE_EXCEEDED):
        client.grpc_points.Upsert(points_request(indices=[1], values=[1.0]), timeout=DEADLINE_S)
    assert client.count(USERS).count == 0


def test_a_lost_answer_leaves_the_write_applied(double: QdrantDouble, client: QdrantClient) -> None:
    """UNAVAILABLE does not mean that nothing happened."""
    double.fail_next("Upsert", "lost_answer")
    with refusal(grpc.StatusCode.UNAVAILABLE):
        client.upsert(USERS, [user(1)])
    assert set(payloads(client, 1)) == {1}


def test_a_torn_batch_leaves_only_its_first_operation(double: QdrantDouble, client: QdrantClient) -> None:
    """A batch is ordered, not atomic: a server that dies inside one keeps the part before."""
    double.fail_next("UpdateBatch", "torn")
    batch = [models.UpsertOperation(upsert=models.PointsList(points=[user(number)])) for number in (1, 2)]
    with refusal(grpc.StatusCode.UNAVAILABLE):
        client.batch_update_points(USERS, batch)
    assert set(payloads(client, 1, 2)) == {1}


def test_a_delayed_write_arrives_after_those_that_came_later(double: QdrantDouble, client: QdrantClient) -> None:
    """It is answered with an error, applied at release over what was written since, and its answer goes to nobody."""
    double.fail_next("Upsert", "delayed")
    with refusal(grpc.StatusCode.UNAVAILABLE):
        client.upsert(USERS, [user(1, writer="zombie")])
    client.upsert(USERS, [user(1, writer="owner")])
    assert payloads(client, 1) == {1: {"writer": "owner"}}
    [answer] = double.release()
    assert answer.result.status == pb.Completed
    assert payloads(client, 1) == {1: {"writer": "zombie"}}
    assert not double.release()


def test_a_hook_writes_between_a_read_and_the_write_that_follows_it(double: QdrantDouble, client: QdrantClient) -> None:
    """A zombie's write put before the owner's makes the owner's compare-and-set miss; the hook sees the request."""
    client.upsert(USERS, [user(1, tag=1)])
    seen: list[int] = []

    def zombie(request: pb.UpsertPoints) -> None:
        seen.append(len(request.points))
        other = connect(double.port)
        other.upsert(USERS, [user(1, tag=2)])
        other.close()

    double.before("Upsert", zombie)
    client.upsert(USERS, [user(1, tag=3)], update_filter=tagged(1), update_mode=models.UpdateMode.UPDATE_ONLY)
    assert (payloads(client, 1), seen) == ({1: {"tag": 2}}, [1])


def test_a_standing_hook_sees_every_call(double: QdrantDouble, client: QdrantClient) -> None:
    """times=None: a test can hold every write to strong ordering and wait=true."""
    orderings: list[int] = []
    double.before("Upsert", lambda request: orderings.append(request.ordering.type), times=None)
    for ordering in (models.WriteOrdering.STRONG, models.WriteOrdering.WEAK):
        client.upsert(USERS, [user(1)], ordering=ordering)
    assert orderings == [pb.Strong, pb.Weak]


def test_calls_are_counted_by_method(double: QdrantDouble, client: QdrantClient) -> None:
    """Point methods by their name, others by service and name, so that the two Gets are two."""
    client.retrieve(USERS, [1])
    client.get_collection(USERS)
    assert {name: double.calls[name] for name in ("Get", "Collections.Get", "Collections.Create")} == {
        "Get": 1,
        "Collections.Get": 1,
        "Collections.Create": 1,
    }


@pytest.mark.parametrize(("method", "kind"), [("Upsrt", "hang"), ("Upsert", "flaky"), ("Upsert", "torn")])
def test_a_fault_that_could_never_happen_is_an_error(double: QdrantDouble, method: str, kind: Any) -> None:
    """A misspelt method or kind must not become a test that passes for want of its fault."""
    with pytest.raises(ValueError, match=r"the double serves no|no fault"):
        double.fail_next(method, kind)


# Stops and restarts.


def test_a_stopped_double_is_unavailable_and_back_with_its_data_on_the_same_port(
    double: QdrantDouble, client: QdrantClient
) -> None:
    """One client lives through it; points, collections, aliases and indexes are there again."""
    client.upsert(USERS, [user(1, {5: 0.5}, tag=TAG)])
    client.create_payload_index(USERS, "tag", models.PayloadSchemaType.INTEGER)
    alias = models.CreateAlias(collection_name=USERS, alias_name="live")
    client.update_collection_aliases([models.CreateAliasOperation(create_alias=alias)])
    double.stop()
    with refusal(grpc.StatusCode.UNAVAILABLE):
        client.count(USERS)
    double.start()
    count = pb.CountPoints(collection_name="live")
    assert client.grpc_points.Count(count, timeout=TIMEOUT_S, wait_for_ready=True).result.count == 1
    assert payloads(client, 1) == {1: {"tag": TAG}}
    assert set(client.get_collection(USERS).payload_schema) == {"tag"}


@pytest.mark.parametrize("end", [QdrantDouble.stop, lambda double: double.release()], ids=["stop", "release"])
def test_stopping_and_releasing_wake_what_hangs(
    double: QdrantDouble, client: QdrantClient, end: Callable[[QdrantDouble], object]
) -> None:
    """No call holds a double open, and a test can end the wait itself."""
    double.fail_next("Count", "hang")
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(client.count, USERS)
        while not double.faults.hanging:
            assert not hanging.done()
        end(double)
        with refusal(grpc.StatusCode.CANCELLED):
            hanging.result()


def test_two_doubles_do_not_share_a_port(double: QdrantDouble, tmp_path: Path) -> None:
    """A taken port is an error, not a coin toss between two servers."""
    with pytest.raises(RuntimeError):
        QdrantDouble(tmp_path / "other", port=double.port).start()


@pytest.mark.parametrize(("ending", "status"), [(signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)])
def test_as_a_program_it_serves_until_it_is_ended_and_keeps_every_answered_write(
    tmp_path: Path, ending: signal.Signals, status: int
) -> None:
    """SIGTERM ends it with 0; even after kill -9 the next one on the folder has every write that was answered."""
    command = [sys.executable, qdrant_double.__file__, "--folder", str(tmp_path), "--version", "1.18.0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        client = connect(int(program.stdout.readline()))
        assert client.info().version == "1.18.0"
        make_users(client)
        for number in range(20):
            client.upsert(USERS, [user(number)])
        os.kill(program.pid, ending)
        assert program.wait(TIMEOUT_S) == status
        client.close()
    with QdrantDouble(tmp_path) as next_one:
        client = connect(next_one.port)
        assert client.count(USERS).count == 20
        client.close()
