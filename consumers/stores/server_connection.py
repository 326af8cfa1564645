"""The connection to a Qdrant server: its options, its version, and what its errors mean for us.

Nothing here retries: after an error a write may or may not have happened, and only the state protocol above the store
knows how to go on.
"""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import SplitResult, urlsplit

import grpc
from qdrant_client import QdrantClient
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse

from consumers.stores.server_options import GRPC_PORT, ServerOptions
from recommender.store import StoreError, StoreUnavailableError

MINIMUM_VERSION = (1, 19)
# gRPC waits up to two minutes before it dials a lost server again; a worker that pauses wants it back sooner.
RECONNECT_BACKOFF_MAX_MS = 1_000

_PASSING = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)
_NO_ACCESS = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})


class Connection:
    """A client of one server, and the place its errors name."""

    def __init__(self, options: ServerOptions) -> None:
        """Connect lazily; the first request finds out whether the server answers.

        Raises:
            StoreError: the url or the CA file cannot be used.
        """
        url = _server_url(options.url)
        self.place = f"{url.scheme}://{url.netloc.rpartition('@')[2]}"
        self._client = _client(url, options)
        self.points = self._client.grpc_points

    @property
    def models(self) -> QdrantClient:
        """The client itself, for everything outside the hot path."""
        return self._client

    def refuse_old_server(self) -> None:
        """Check the server's version.

        Raises:
            StoreError: it is older than conditional writes need.
        """
        with self.errors("ask for its version"):
            found = self._client.info().version
        version = re.match(r"(\d+)\.(\d+)", found)
        if version is None or (int(version[1]), int(version[2])) < MINIMUM_VERSION:
            needed = ".".join(map(str, MINIMUM_VERSION))
            raise StoreError(
                f"the Qdrant server at {self.place} has version {found or 'unknown'}, at least {needed} is needed "
                "(conditional writes that replay exactly): upgrade it, or name another (qdrant.url)"
            )

    @contextmanager
    def errors(self, doing: str) -> Iterator[None]:
        """Turn the errors of gRPC into ours.

        Raises:
            StoreUnavailableError: it may pass; a write may or may not have happened.
            StoreError: it will not pass by itself.
        """
        try:
            yield
        except ResourceExhaustedResponse as error:
            sentence = f"could not {doing}: Qdrant at {self.place} asks to wait {error.retry_after_s} s ({error})"
            raise StoreUnavailableError(sentence, error.retry_after_s) from error
        except grpc.RpcError as error:
            raise self._meaning(cast("grpc.Call", error), doing) from error

    def close(self) -> None:
        """Close the channel."""
        self._client.close()

    def _meaning(self, call: Any, doing: str) -> StoreError:
        code, details = call.code(), call.details()
        sentence = f"could not {doing}: Qdrant at {self.place} answered {code.name}: {details}"
        if code is grpc.StatusCode.UNAVAILABLE:
            sentence += f"; {_unavailable(details or '')}"
        if code in _PASSING:
            return StoreUnavailableError(sentence)
        if code in _NO_ACCESS:
            return StoreError(f"{sentence}; set a key that may read and write (qdrant.api_key)")
        return StoreError(sentence)


def _unavailable(details: str) -> str:
    """What to look at; gRPC tells what is wrong with TLS in its text alone."""
    if "CERTIFICATE_VERIFY_FAILED" in details:
        return "its certificate is not trusted: name a file with its authority's (qdrant.ca_file)"
    if "security handshaker" in details:
        return "see that the file of authorities holds certificates in PEM (qdrant.ca_file)"
    if "WRONG_VERSION_NUMBER" in details:
        return "it speaks no TLS there: see whether http:// is meant (qdrant.url)"
    return "see that it runs, and where, and whether with TLS (qdrant.url)"


def _server_url(text: str) -> SplitResult:
    url = urlsplit(text)
    try:
        fit = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        fit = False
    if not fit:
        raise StoreError(f"qdrant.url is http://host:{GRPC_PORT} or https://host:{GRPC_PORT}, not {text!r}")
    return url


def _client(url: SplitResult, options: ServerOptions) -> QdrantClient:
    channel: dict[str, Any] = {"grpc.max_reconnect_backoff_ms": RECONNECT_BACKOFF_MAX_MS}
    if options.tls_ca_file is not None:
        channel["root_certificates"] = _certificates(options.tls_ca_file, url)
    host = cast("str", url.hostname)
    return QdrantClient(
        host=f"[{host}]" if ":" in host else host,
        grpc_port=url.port or GRPC_PORT,
        https=url.scheme == "https",
        prefer_grpc=True,
        timeout=math.ceil(options.timeout_s),
        # As a header, because the client's own parameter warns about loopback too.
        headers={} if options.api_key is None else {"api-key": options.api_key},
        grpc_options=channel,
        check_compatibility=False,
        pool_size=1,
    )


def _certificates(file: Path, url: SplitResult) -> bytes:
    if url.scheme != "https":
        raise StoreError(f"qdrant.ca_file is set, but qdrant.url begins with {url.scheme}://: make it https://")
    try:
        return file.read_bytes()
    except OSError as error:
        raise StoreError(f"qdrant.ca_file cannot be read: {error}") from error
