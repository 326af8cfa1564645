"""A gRPC double of a Qdrant server whose answers come from real Qdrant Edge shards.

It stands in for a server where none can be started: the real qdrant-client talks to it over loopback, so client-side
conversion, retries, deadlines and credentials are the real ones, and conditions, filters and scores are the engine's.
It proves nothing about a cluster: there is one node, one replica, and a request is applied whole before the next one.

In a test, `with QdrantDouble(folder) as double:` serves on `double.port`, and `fail_next`, `before`, `release` and
`calls` plan and observe faults. As a program (`--folder`, `--port`, …) it prints its port and serves until SIGTERM, so
that several processes can share one. A folder can be served again after a stop or a kill; it keeps what it held.
"""

import argparse
import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import grpc
from grpc import StatusCode
from qdrant_catalog import Catalog, Health
from qdrant_client.grpc.collections_service_pb2_grpc import add_CollectionsServicer_to_server
from qdrant_client.grpc.points_service_pb2_grpc import add_PointsServicer_to_server
from qdrant_client.grpc.qdrant_pb2_grpc import add_QdrantServicer_to_server
from qdrant_collections import Collections
from qdrant_faults import Faults
from qdrant_points import Points
from qdrant_refusals import Refused, unserved

VERSION = "1.19.0"
WORKER_THREADS = 32
STOP_GRACE_S = 1.0
_UNLIMITED = -1

_SERVICES = {"Points": Points, "Collections": Catalog, "Qdrant": Health}
_READS = frozenset({"Get", "Query", "QueryBatch", "Scroll", "Count"}) | {
    f"Collections.{name}" for name in ("Get", "List", "CollectionExists", "ListAliases", "ListCollectionAliases")
}
# A server answers its health check to anyone, so a key is not proved by it.
_OPEN_TO_ALL = frozenset({"Qdrant.HealthCheck"})


def _name(service: str, method: str) -> str:
    return method if service == "Points" else f"{service}.{method}"


SERVED = frozenset(
    _name(service, method)
    for service, servicer in _SERVICES.items()
    for method in vars(servicer)
    if method[0].isupper()
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """The keys a double asks for (none: anyone may), and the PEM certificate and key it serves TLS with."""

    api_key: str | None = None
    read_only_api_key: str | None = None
    certificate: bytes | None = None
    private_key: bytes | None = None


class QdrantDouble:
    """A server over the collections in a folder, on a loopback port (0: a free one, kept over restarts)."""

    def __init__(
        self, folder: Path, *, port: int = 0, version: str = VERSION, credentials: Credentials | None = None
    ) -> None:
        self.port = port
        self.faults = Faults(SERVED)
        self.fail_next = self.faults.fail_next
        self.before = self.faults.before
        self.release = self.faults.release
        self.calm = self.faults.calm
        self._folder = folder
        self._version = version
        self._credentials = credentials or Credentials()
        self._running: tuple[grpc.Server, Collections] | None = None

    @property
    def calls(self) -> Counter[str]:
        """How often each method was called with the right key, calls that failed included."""
        return self.faults.calls

    def start(self) -> Self:
        """Open the folder and serve it.

        Raises:
            RuntimeError: The port is taken.
        """
        server = self._server()
        self.port = self._bind(server)
        collections = Collections(self._folder)
        add_PointsServicer_to_server(Points(collections), server)  # type: ignore[no-untyped-call]
        add_CollectionsServicer_to_server(Catalog(collections), server)  # type: ignore[no-untyped-call]
        add_QdrantServicer_to_server(Health(self._version), server)  # type: ignore[no-untyped-call]
        server.start()
        self._running = (server, collections)
        return self

    def stop(self) -> None:
        """Stop serving: what hangs is woken, what is being applied is finished, the shards are flushed and closed."""
        if self._running is None:
            return
        (server, collections), self._running = self._running, None
        stopped = server.stop(STOP_GRACE_S)
        self.faults.wake()
        stopped.wait()
        collections.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _server(self) -> grpc.Server:
        gate: Any = _Gate(self._credentials, self.faults)
        return grpc.server(
            ThreadPoolExecutor(WORKER_THREADS, thread_name_prefix="qdrant-double"),
            interceptors=[gate],
            options=[
                ("grpc.max_receive_message_length", _UNLIMITED),
                ("grpc.max_send_message_length", _UNLIMITED),
                ("grpc.so_reuseport", 0),
            ],
        )

    def _bind(self, server: grpc.Server) -> int:
        address = f"127.0.0.1:{self.port}"
        certificate, private_key = self._credentials.certificate, self._credentials.private_key
        if certificate is None or private_key is None:
            return int(server.add_insecure_port(address))
        return int(server.add_secure_port(address, grpc.ssl_server_credentials([(private_key, certificate)])))


class _Gate:
    """The server interceptor every request passes: the key, the planned faults, refusals turned into statuses."""

    def __init__(self, credentials: Credentials, faults: Faults) -> None:
        self._credentials = credentials
        self._faults = faults

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        handler = continuation(details)
        if handler is None:
            return None
        service, _, method = details.method.removeprefix("/qdrant.").partition("/")
        name = _name(service, method)
        metadata = {pair.key: pair.value for pair in details.invocation_metadata}

        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            try:
                self._admit(name, metadata)
                return self._faults.answer(name, request, context, lambda one: handler.unary_unary(one, context))
            except Refused as refusal:
                context.set_trailing_metadata(refusal.metadata)
                context.abort(refusal.code, refusal.sentence)
            except BaseException as error:
                # A panic of the engine is no Exception: gRPC would leave the caller waiting.
                if isinstance(error, Exception):
                    raise
                context.abort(StatusCode.INTERNAL, f"Service internal error: {error!r}")

        return grpc.unary_unary_rpc_method_handler(
            answer, request_deserializer=handler.request_deserializer, response_serializer=handler.response_serializer
        )

    def _admit(self, name: str, metadata: dict[str, str]) -> None:
        keys = self._credentials
        if keys.api_key is None or name in _OPEN_TO_ALL:
            pass
        elif (given := metadata.get("api-key") or metadata.get("authorization", "").removeprefix("Bearer ")) == "":
            raise Refused(StatusCode.UNAUTHENTICATED, "Must provide an API key or an Authorization bearer token")
        elif given not in (keys.api_key, keys.read_only_api_key):
            raise Refused(StatusCode.UNAUTHENTICATED, "Invalid API key or JWT")
        elif given != keys.api_key and name not in _READS:
            raise Refused(StatusCode.PERMISSION_DENIED, "Forbidden: Global manage access is required")
        if name not in SERVED:
            raise unserved(name)


def main() -> None:
    """Serve a folder until SIGTERM or Ctrl-C; the first line printed is the port."""
    options = _arguments()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    credentials = Credentials(
        options.api_key,
        options.read_only_api_key,
        options.certificate and options.certificate.read_bytes(),
        options.private_key and options.private_key.read_bytes(),
    )
    double = QdrantDouble(options.folder, port=options.port, version=options.version, credentials=credentials)
    with double:
        print(double.port, flush=True)  # noqa: T201 - whoever started the process reads the port from it
        stop.wait()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A gRPC double of a Qdrant server, over Qdrant Edge.")
    parser.add_argument("--folder", type=Path, required=True, help="where the collections are kept")
    parser.add_argument("--port", type=int, default=0, help="loopback port; 0 takes a free one")
    parser.add_argument("--version", default=VERSION, help="the version it claims to be")
    parser.add_argument("--api-key", help="the key to ask for")
    parser.add_argument("--read-only-api-key", help="a key that may only read")
    parser.add_argument("--certificate", type=Path, help="PEM certificate; with --private-key it serves TLS")
    parser.add_argument("--private-key", type=Path, help="PEM key of the certificate")
    return parser.parse_args()


if __name__ == "__main__":
    main()
