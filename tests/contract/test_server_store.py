"""What only the server store has to stand: faults, keys, versions, other workers. Against the gRPC double."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import qdrant_client.grpc as pb
import qdrant_double
import stamina
from certificates import Authority
from qdrant_client import QdrantClient, models
from qdrant_double import Credentials, QdrantDouble
from qdrant_faults import Kind
from sample_states import insert, replace_tagged, sample_state, tags, vector, write
from store_places import SETTINGS

from consumers.stores.server import ServerStore
from consumers.stores.server_messages import neighbours
from consumers.stores.server_options import ReadConsistency, Replication, ServerOptions
from recommender.profile import UserState
from recommender.store import NeighbourQuery, Store, StoreError, StoreMismatchError, StoreUnavailableError

TLS = Path(qdrant_double.__file__).parent / "tls"
COLLECTION = "users"


@pytest.fixture
def double(tmp_path: Path) -> Iterator[QdrantDouble]:
    with QdrantDouble(tmp_path / "double") as running:
        yield running


@pytest.fixture
def store(double: QdrantDouble) -> Iterator[ServerStore]:
    opened = ServerStore(options(double), SETTINGS)
    yield opened
    opened.close()


@pytest.fixture
def client(double: QdrantDouble) -> Iterator[QdrantClient]:
    connected = QdrantClient(host="localhost", grpc_port=double.port, prefer_grpc=True, check_compatibility=False)
    yield connected
    connected.close()


def options(double: QdrantDouble, **changed: Any) -> ServerOptions:
    return replace(ServerOptions(f"http://127.0.0.1:{double.port}", COLLECTION, timeout_s=20.0), **changed)


def reached(opened: ServerStore) -> None:
    """Write through a store and close it: it works."""
    write(opened, insert(sample_state("u", 1)))
    assert tags(opened, ["u"]) == {"u": 1}
    opened.close()


# Errors

REQUESTS: dict[str, Callable[[Store], object]] = {
    "UpdateBatch": lambda store: write(store, insert(sample_state("u", 1))),
    "Get": lambda store: store.read(["u"], []),
    "QueryBatch": lambda store: store.nearest([NeighbourQuery(vector({1: 1.0}), 5, 0)]),
    "Scroll": lambda store: store.scan(None, 5),
}


@pytest.mark.parametrize("method", REQUESTS)
@pytest.mark.parametrize("kind", ["unavailable", "deadline", "cancelled", "internal", "resource_exhausted"])
def test_what_may_pass_is_unavailable(store: ServerStore, double: QdrantDouble, method: str, kind: Kind) -> None:
    """A passing fault is raised at once, says what was tried, where and why, and the following request goes through."""
    double.fail_next(method, kind)
    calls = double.calls[method]
    with pytest.raises(
        StoreUnavailableError, match=rf"^could not \w+ .*: Qdrant at http://127.0.0.1:{double.port} "
    ) as it:
        REQUESTS[method](store)
    assert it.value.retry_after_s is None
    assert double.calls[method] == calls + 1
    REQUESTS[method](store)


@pytest.mark.parametrize("method", REQUESTS)
def test_a_rate_limit_says_how_long_to_wait(store: ServerStore, double: QdrantDouble, method: str) -> None:
    """Seconds of a Retry-After travel with the error."""
    double.fail_next(method, "resource_exhausted", retry_after_s=7)
    with pytest.raises(StoreUnavailableError, match="asks to wait 7 s") as refusal:
        REQUESTS[method](store)
    assert refusal.value.retry_after_s == 7


@pytest.mark.parametrize("method", REQUESTS)
def test_a_server_that_hangs_is_given_up(store: ServerStore, double: QdrantDouble, method: str) -> None:
    """A request without an answer ends at its deadline."""
    double.fail_next(method, "hang")
    store._points._timeout_s = 0.2
    with pytest.raises(StoreUnavailableError, match="DEADLINE_EXCEEDED"):
        REQUESTS[method](store)
    double.release()


def test_a_lost_answer_is_an_error_though_the_write_was_applied(store: ServerStore, double: QdrantDouble) -> None:
    """The store neither hides the loss nor repeats the write; what happened shows when it is read."""
    double.fail_next("UpdateBatch", "lost_answer")
    with pytest.raises(StoreUnavailableError):
        write(store, insert(sample_state("u", 1)), **{"topic.0": 4})
    assert tags(store, ["u"]) == {"u": 1}
    assert double.calls["UpdateBatch"] == 2  # the settings, and this one


def test_a_torn_request_has_written_its_markers_only(store: ServerStore, double: QdrantDouble) -> None:
    """Operations are applied in order, markers first: a torn request leaves states unwritten, and says so."""
    double.fail_next("UpdateBatch", "torn")
    with pytest.raises(StoreUnavailableError):
        write(store, insert(sample_state("u", 1)), **{"topic.0": 4})
    assert store.read(["u"], ["topic.0"]).markers == {"topic.0": 4}
    assert tags(store, ["u"]) == {}


def test_a_delayed_write_meets_its_condition_when_it_lands(store: ServerStore, double: QdrantDouble) -> None:
    """A request that lands late writes nothing where its tag was replaced in the meantime."""
    write(store, insert(sample_state("u", 1)))
    double.fail_next("UpdateBatch", "delayed")
    with pytest.raises(StoreUnavailableError):
        write(store, replace_tagged(sample_state("u", 2), 1))
    write(store, replace_tagged(sample_state("u", 3), 1))
    double.release()
    assert tags(store, ["u"]) == {"u": 3}


@pytest.mark.parametrize("status", ["Acknowledged", "ClockRejected", "WaitTimeout"])
def test_only_completed_counts_as_written(store: ServerStore, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that only took note of an operation is one that may not have applied it."""
    done, noted = pb.UpdateResult(status=pb.Completed), pb.UpdateResult(status=pb.UpdateStatus.Value(status))
    answer = pb.UpdateBatchResponse(result=[done, noted])
    monkeypatch.setattr(store._points._stub, "UpdateBatch", lambda *_, **__: answer)
    with pytest.raises(StoreUnavailableError, match=f"completed only 1 of 2 operations \\({status}\\)"):
        write(store, insert(sample_state("u", 1)), **{"topic.0": 4})


def test_a_state_write_waits_and_is_strongly_ordered(store: ServerStore, double: QdrantDouble) -> None:
    """One request carries markers, updates and inserts in that order, waiting, with strong ordering."""
    seen: list[pb.UpdateBatchPoints] = []
    double.before("UpdateBatch", seen.append)
    write(store, insert(sample_state("new", 1)), replace_tagged(sample_state("old", 2), 9, 8), **{"topic.0": 4})
    [request] = seen
    assert (request.wait, request.ordering.type) == (True, pb.WriteOrderingType.Strong)
    modes = [operation.upsert.update_mode for operation in request.operations]
    assert modes == [pb.UpdateMode.Upsert, pb.UpdateMode.UpdateOnly, pb.UpdateMode.InsertOnly]


@pytest.mark.parametrize("read_consistency", ["default", "quorum"])
def test_every_read_asks_for_its_consistency(double: QdrantDouble, read_consistency: ReadConsistency) -> None:
    """Quorum reads are asked for in each read request, or in none."""
    store = ServerStore(options(double, read_consistency=read_consistency), SETTINGS)
    seen: list[Any] = []
    reads = ("Get", "QueryBatch", "Scroll")
    for method in reads:
        double.before(method, seen.append)
        REQUESTS[method](store)
    quorum = [request.read_consistency.type == pb.ReadConsistencyType.Quorum for request in seen]
    assert [request.HasField("read_consistency") for request in seen] == [read_consistency == "quorum"] * len(reads)
    assert all(quorum) or read_consistency == "default"
    store.close()


def test_a_neighbour_s_version_is_its_tag(store: ServerStore, double: QdrantDouble) -> None:
    """Replicas count versions of points apart, tags are the same on all; nothing else of the payload is asked for."""
    write(store, insert(sample_state("u", 2**62 + 1), vector({1: 1.0})))
    seen: list[pb.QueryBatchPoints] = []
    double.before("QueryBatch", seen.append)
    [found] = store.nearest([NeighbourQuery(vector({1: 1.0}), 5, 0)])
    assert found.versions == [2**62 + 1]
    [query] = seen[0].query_points
    assert list(query.with_payload.include.fields) == ["tag"]
    assert query.HasField("score_threshold")


def test_a_similarity_of_zero_is_none() -> None:
    """Whether a server returns what lies exactly on the threshold does not matter."""
    found = [pb.ScoredPoint(id=pb.PointId(num=number), score=score) for number, score in ((1, 0.5), (2, 0.0))]
    assert neighbours(found, NeighbourQuery(vector({1: 1.0}), 5, 0)).ids == [1]


def test_a_collection_that_vanished_does_not_look_like_a_pause(store: ServerStore, client: QdrantClient) -> None:
    """NOT_FOUND is an error that waiting does not cure."""
    client.delete_collection(COLLECTION)
    for request in REQUESTS.values():
        with pytest.raises(StoreError, match=f"NOT_FOUND.*{COLLECTION}") as refusal:
            request(store)
        assert not isinstance(refusal.value, StoreUnavailableError)


def test_the_store_finds_a_restarted_server(store: ServerStore, double: QdrantDouble) -> None:
    """While the server is away requests fail as unavailable; when it is back they go through, states kept."""
    write(store, insert(sample_state("u", 1)))
    double.stop()
    with pytest.raises(StoreUnavailableError):
        tags(store, ["u"])
    double.start()
    for attempt in stamina.retry_context(on=StoreUnavailableError, attempts=None, timeout=60, wait_max=0.2):
        with attempt:
            assert tags(store, ["u"]) == {"u": 1}


# At the start


def test_a_server_that_is_not_there_is_unavailable(double: QdrantDouble) -> None:
    """The sentence names the url."""
    wanted = options(double)
    double.stop()
    with pytest.raises(StoreUnavailableError, match=f"Qdrant at {wanted.url} answered UNAVAILABLE"):
        ServerStore(wanted, SETTINGS)


@pytest.mark.parametrize("version", ["1.18.9", "0.11.0", "", "unheard of"])
def test_an_old_server_is_refused(tmp_path: Path, version: str) -> None:
    """The sentence says which version was found and which is needed; nothing is made there."""
    with QdrantDouble(tmp_path, version=version) as double:
        with pytest.raises(StoreError, match=f"has version {version or 'unknown'}, at least 1.19 is needed"):
            ServerStore(options(double), SETTINGS)
        assert not double.calls["Collections.Create"]


@pytest.mark.parametrize("version", ["1.19.0", "1.19.0-dev", "1.20.3", "2.0.0", "10.1.0"])
def test_later_servers_are_taken(tmp_path: Path, version: str) -> None:
    """Numbers are compared as numbers; suffixes do not matter."""
    with QdrantDouble(tmp_path, version=version) as double:
        reached(ServerStore(options(double), SETTINGS))


@pytest.mark.parametrize("given", [None, "wrong", "read-only"])
def test_a_key_that_may_not_write_is_refused(tmp_path: Path, given: str | None) -> None:
    """Missing, wrong and read-only keys name the setting, never the key; waiting does not cure them."""
    with QdrantDouble(tmp_path, credentials=Credentials("right", "read-only")) as double:
        with pytest.raises(StoreError, match=r"set a key that may read and write \(qdrant.api_key\)") as refusal:
            ServerStore(options(double, api_key=given), SETTINGS)
        assert not isinstance(refusal.value, StoreUnavailableError)
        assert "wrong" not in str(refusal.value)
        reached(ServerStore(options(double, api_key="right"), SETTINGS))


def test_a_key_is_never_printed() -> None:
    """Options can be logged."""
    assert "secret" not in repr(ServerOptions("http://host", "users", api_key="secret"))


def test_tls_with_a_ca_of_ones_own(tmp_path: Path) -> None:
    """With https and the CA file the server is trusted; without the file, or with another one, it is not."""
    certificate, unrelated = TLS / "certificate.pem", Authority(tmp_path / "unrelated").file
    keys = Credentials("key", None, certificate.read_bytes(), (TLS / "private_key.pem").read_bytes())
    with QdrantDouble(tmp_path, credentials=keys) as double:
        trusting = options(double, url=f"https://localhost:{double.port}", api_key="key", tls_ca_file=certificate)
        reached(ServerStore(trusting, SETTINGS))
        for untrusting in (None, unrelated):
            with pytest.raises(StoreUnavailableError, match=r"https://localhost.*not trusted: .*\(qdrant\.ca_file\)"):
                ServerStore(replace(trusting, tls_ca_file=untrusting), SETTINGS)


@pytest.mark.parametrize(
    "url", ["localhost:6334", "ftp://host:6334", "http://", "http://host:port", "http://host:0", ""]
)
def test_a_url_that_is_none_is_refused(url: str) -> None:
    """The sentence shows what a url looks like."""
    with pytest.raises(StoreError, match=r"qdrant\.url is http://host:6334 or https://host:6334, not"):
        ServerStore(ServerOptions(url, COLLECTION), SETTINGS)


def test_a_ca_file_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    """A file that is not there, or one that would go unused because the url is plain http, is an error."""
    with pytest.raises(StoreError, match=r"qdrant\.ca_file cannot be read"):
        ServerStore(ServerOptions("https://host", COLLECTION, tls_ca_file=tmp_path / "gone"), SETTINGS)
    with pytest.raises(StoreError, match="make it https://"):
        ServerStore(ServerOptions("http://host", COLLECTION, tls_ca_file=TLS / "certificate.pem"), SETTINGS)


def test_tls_that_does_not_come_about_says_why(double: QdrantDouble, tmp_path: Path) -> None:
    """A file that holds no certificate, and a server without TLS: the sentence names the setting to look at."""
    (tmp_path / "no.pem").write_text("no certificate")
    for ca_file, sentence in (
        (None, r"speaks no TLS there.*\(qdrant\.url\)"),
        ("no.pem", r"in PEM \(qdrant\.ca_file\)"),
    ):
        file = None if ca_file is None else tmp_path / ca_file
        with pytest.raises(StoreUnavailableError, match=sentence):
            ServerStore(options(double, url=f"https://localhost:{double.port}", tls_ca_file=file), SETTINGS)


def test_a_password_in_the_url_is_not_repeated(double: QdrantDouble) -> None:
    """Errors name the server without what stands before the @."""
    wanted = options(double, url=f"http://me:secret@127.0.0.1:{double.port}")
    double.stop()
    with pytest.raises(StoreUnavailableError) as refusal:
        ServerStore(wanted, SETTINGS)
    assert "secret" not in str(refusal.value)


# Replication

UNSAFE = [(2, 2, "default"), (2, 2, "quorum"), (2, 1, "quorum"), (3, 1, "quorum"), (3, 2, "default"), (3, 3, "quorum")]


@pytest.mark.parametrize(("factor", "writes", "reads"), UNSAFE)
def test_unsafe_replication_is_refused(factor: int, writes: int, reads: ReadConsistency) -> None:
    """Settings under which updates were seen lost, or were not tried, are refused with those that are safe."""
    found = Replication(factor, writes, reads)
    for accepting in (False, True):
        options = ServerOptions("http://host", COLLECTION, accept_lost_ratings_if_a_worker_dies=accepting)
        with pytest.raises(StoreError, match="can lose updates: use 3, 2 and quorum; or, without replicas, 1 and 1"):
            options.refuse_unsafe(found)


TWO_REPLICAS: Mapping[str, Any] = {"replication_factor": 2, "write_consistency_factor": 1}


def test_two_replicas_are_refused_unless_their_risk_is_taken(double: QdrantDouble, client: QdrantClient) -> None:
    """The sentence says what can be lost, what to set instead, and the setting that takes the risk; made or found."""
    wanted = options(double, **TWO_REPLICAS, node_urls=(f"http://localhost:{double.port}",) * 2)
    accepting = replace(wanted, accept_lost_ratings_if_a_worker_dies=True)
    sentence = (
        "loses a rating when a worker dies .*: use 3, 2 and quorum; .*accept_lost_ratings_if_a_worker_dies = true"
    )
    with pytest.raises(StoreError, match=sentence):
        ServerStore(wanted, SETTINGS)
    assert not double.calls["Collections.Create"]
    reached(ServerStore(accepting, SETTINGS))
    made = client.get_collection(COLLECTION).config.params
    assert (made.replication_factor, made.write_consistency_factor) == (2, 1)
    with pytest.raises(StoreError, match=f"collection '{COLLECTION}' at .*{sentence}"):
        ServerStore(wanted, SETTINGS)


@pytest.mark.parametrize(("factor", "writes", "reads"), [(1, 1, "default"), (1, 1, "quorum"), (3, 2, "quorum")])
def test_safe_replication_is_what_the_collection_is_made_with(
    double: QdrantDouble, client: QdrantClient, factor: int, writes: int, reads: ReadConsistency
) -> None:
    """A new collection gets shards, replication and write consistency as set."""
    wanted = options(
        double,
        shards=2,
        replication_factor=factor,
        write_consistency_factor=writes,
        read_consistency=reads,
        node_urls=(f"http://localhost:{double.port}",) * factor,
    )
    reached(ServerStore(wanted, SETTINGS))
    made = client.get_collection(COLLECTION).config.params
    assert (made.shard_number, made.replication_factor, made.write_consistency_factor) == (2, factor, writes)


def test_the_collection_s_own_replication_counts(double: QdrantDouble, client: QdrantClient) -> None:
    """A collection that was made with unsafe replication is refused whatever the settings say."""
    sparse = {SETTINGS.value_rule: models.SparseVectorParams()}
    client.create_collection(
        COLLECTION, vectors_config={}, sparse_vectors_config=sparse, replication_factor=2, write_consistency_factor=2
    )
    with pytest.raises(StoreError, match=f"collection '{COLLECTION}' at .*replication_factor = 2 .* can lose updates"):
        ServerStore(options(double), SETTINGS)


def test_replicas_need_every_node_s_url(double: QdrantDouble) -> None:
    """Without a way to read each replica a hidden point could pass for a new one, so the store does not start."""
    wanted = options(
        double, replication_factor=3, write_consistency_factor=2, read_consistency="quorum", node_urls=("http://a",)
    )
    with pytest.raises(StoreError, match=r"has 3 replicas, qdrant\.node_urls names 1 nodes"):
        ServerStore(wanted, SETTINGS)


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[QdrantDouble]]:
    """Three doubles as the replicas of one collection, each with what a failed write may have left there."""
    with ExitStack() as running:
        yield [running.enter_context(QdrantDouble(tmp_path / f"node {number}")) for number in range(3)]


def leave(node: QdrantDouble, *states: UserState, **markers: int) -> None:
    """What stands on one replica."""
    alone = ServerStore(options(node), SETTINGS)
    write(alone, *map(insert, states), **markers)
    alone.close()


@pytest.fixture
def replicated(double: QdrantDouble, nodes: list[QdrantDouble]) -> Iterator[ServerStore]:
    """A store whose collection as a whole shows no users (`double`), with nodes that can be read one by one."""
    ServerStore(options(double), SETTINGS).close()
    opened = ServerStore(options(double, node_urls=tuple(options(node).url for node in nodes)), SETTINGS)
    yield opened
    opened.close()


def test_a_point_that_replicas_disagree_on_is_not_new(replicated: ServerStore, nodes: list[QdrantDouble]) -> None:
    """Hidden from consistent reads, it is read from every node: the state most of them hold, which was acknowledged."""
    leave(nodes[0], sample_state("u", 1, count=5))
    leave(nodes[1], sample_state("u", 2, count=3))
    leave(nodes[2], sample_state("u", 2, count=3))
    assert tags(replicated, ["u", "new"]) == {"u": 2}


def test_of_replicas_that_all_differ_the_furthest_counts(replicated: ServerStore, nodes: list[QdrantDouble]) -> None:
    """Each is a state the user had; the events between are read again. Of markers the lowest counts."""
    for number, node in enumerate(nodes):
        leave(node, sample_state("u", 10 + number, count=number), **{"topic.0": 7 - number})
    found = replicated.read(["u"], ["topic.0"])
    assert (found.states["u"].tag, found.markers) == (12, {"topic.0": 5})


def test_the_next_write_repairs_every_replica(
    replicated: ServerStore, double: QdrantDouble, nodes: list[QdrantDouble]
) -> None:
    """After such a read a write is allowed under each tag found, and where the point was missing."""
    leave(nodes[0], sample_state("u", 1))
    leave(nodes[1], sample_state("u", 2, count=3))
    seen: list[pb.UpdateBatchPoints] = []
    double.before("UpdateBatch", seen.append)
    leave(nodes[2])
    assert tags(replicated, ["u"]) == {"u": 2}
    write(replicated, replace_tagged(sample_state("u", 3), 2))
    [update, addition] = seen[0].operations
    assert list(update.upsert.update_filter.must[0].field.match.integers.integers) == [1, 2]
    assert addition.upsert.update_mode == pb.UpdateMode.InsertOnly
    assert tags(replicated, ["u"]) == {"u": 3}
    double.before("UpdateBatch", seen.append)
    write(replicated, replace_tagged(sample_state("u", 4), 3))
    assert list(seen[1].operations[0].upsert.update_filter.must[0].field.match.integers.integers) == [3]


def test_one_node_may_be_away(replicated: ServerStore, nodes: list[QdrantDouble]) -> None:
    """With one node away the others tell; with two nobody knows whether a user is new."""
    for node in nodes:
        leave(node, sample_state("u", 1))
    nodes[0].stop()
    assert tags(replicated, ["u"]) == {"u": 1}
    nodes[1].stop()
    with pytest.raises(StoreUnavailableError):
        tags(replicated, ["u"])


def test_what_the_collection_shows_is_asked_of_no_node(replicated: ServerStore, nodes: list[QdrantDouble]) -> None:
    """Nodes are asked only for what a consistent read does not show."""
    write(replicated, insert(sample_state("u", 1)), **{"topic.0": 4})
    before = [node.calls["Get"] for node in nodes]
    assert replicated.read(["u"], ["topic.0"]).markers == {"topic.0": 4}
    assert [node.calls["Get"] for node in nodes] == before


# Settings, and other workers


def test_a_collection_of_somebody_else_is_refused(double: QdrantDouble, client: QdrantClient) -> None:
    """Points without our settings, or no vector of ours, are left alone."""
    sparse = {"theirs": models.SparseVectorParams()}
    client.create_collection(COLLECTION, vectors_config={}, sparse_vectors_config=sparse)
    with pytest.raises(StoreMismatchError, match="is no store of ours"):
        ServerStore(options(double), SETTINGS)
    client.delete_collection(COLLECTION)
    sparse = {SETTINGS.value_rule: models.SparseVectorParams()}
    client.create_collection(COLLECTION, vectors_config={}, sparse_vectors_config=sparse)
    client.upsert(COLLECTION, [models.PointStruct(id=1, vector={}, payload={"name": "theirs"})])
    with pytest.raises(StoreMismatchError, match="is no store of ours"):
        ServerStore(options(double), SETTINGS)
    assert client.count(COLLECTION).count == 1


def test_an_empty_collection_made_beforehand_is_taken(double: QdrantDouble, client: QdrantClient) -> None:
    """Whoever wants other parameters may make the collection, with our vector in it."""
    sparse = {SETTINGS.value_rule: models.SparseVectorParams()}
    client.create_collection(COLLECTION, vectors_config={}, sparse_vectors_config=sparse)
    reached(ServerStore(options(double), SETTINGS))


def test_workers_that_start_at_once_agree(double: QdrantDouble) -> None:
    """One makes the collection, one writes the settings, all read the same ones back."""
    epochs = range(1, 9)
    with ThreadPoolExecutor(len(epochs)) as pool:
        stores = list(pool.map(lambda epoch: ServerStore(options(double), replace(SETTINGS, epoch=epoch)), epochs))
    assert len({store.settings.epoch for store in stores}) == 1
    for store in stores:
        store.close()


def test_a_worker_that_comes_last_takes_the_settings_it_finds(double: QdrantDouble) -> None:
    """Settings written between looking and writing win, and are the ones the late worker uses."""
    first: list[ServerStore] = []
    early = replace(SETTINGS, epoch=7)
    double.before("UpdateBatch", lambda _: first.append(ServerStore(options(double), early)))
    late = ServerStore(options(double), SETTINGS)
    assert late.settings == first[0].settings == early
    late.close()
    first[0].close()


def test_partition_counts_of_two_workers_are_merged(store: ServerStore, double: QdrantDouble) -> None:
    """A count that another worker adds at the very moment is kept."""
    other = ServerStore(options(double), SETTINGS)
    double.before("UpdateBatch", lambda _: other.remember_partitions({"theirs": 3}))
    store.remember_partitions({"ours": 2})
    assert store.settings.partitions == {"ours": 2, "theirs": 3}
    again = ServerStore(options(double), SETTINGS)
    assert again.settings.partitions == {"ours": 2, "theirs": 3}
    again.close()
    other.close()


def test_partition_counts_of_two_workers_may_not_differ(store: ServerStore, double: QdrantDouble) -> None:
    """Of two counts for one topic at the same moment the second is refused, and the first stays."""
    other = ServerStore(options(double), SETTINGS)
    double.before("UpdateBatch", lambda _: other.remember_partitions({"ratings": 3}))
    with pytest.raises(StoreMismatchError, match="'ratings' has 2 partitions, the store was filled from 3"):
        store.remember_partitions({"ratings": 2})
    again = ServerStore(options(double), SETTINGS)
    assert again.settings.partitions == {"ratings": 3}
    again.close()
    other.close()


def test_counts_that_are_known_cost_no_request(store: ServerStore, double: QdrantDouble) -> None:
    """Remembering again what is remembered asks the server nothing."""
    store.remember_partitions({"ratings": 2})
    calls = double.calls.total()
    store.remember_partitions({"ratings": 2})
    assert double.calls.total() == calls


def test_of_two_writers_under_one_tag_one_wins(store: ServerStore, double: QdrantDouble) -> None:
    """Two workers that read the same state never both replace it."""
    other = ServerStore(options(double), SETTINGS)
    write(store, insert(sample_state("u", 1)))
    double.before("UpdateBatch", lambda _: write(other, replace_tagged(sample_state("u", 2), 1)))
    write(store, replace_tagged(sample_state("u", 3), 1))
    assert tags(store, ["u"]) == tags(other, ["u"]) == {"u": 2}
    other.close()
