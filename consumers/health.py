"""Whether the worker lives and is ready, and the one small server that tells: `/livez`, `/readyz`, `/metrics`.

- Read-only, on threads of its own that touch nothing but `Health` and the metrics.
- Live: the last finished step or poll is younger than a limit. Ready: live, and the worker said so.
- The body says why not.
"""

import socket
import sys
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Protocol, Self

import structlog
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

REQUEST_TIMEOUT_S = 5.0
"""A client that says nothing for so long is dropped."""
CLOSE_POLL_S = 0.1
"""How long closing takes at most to be noticed."""
_PLAIN_TEXT = "text/plain; charset=utf-8"

log = structlog.get_logger()

Answer = tuple[HTTPStatus, str, bytes]


class Rendered(Protocol):
    """Metrics that can be served."""

    def render(self) -> bytes:
        """All of them in Prometheus' text format; called from any thread."""


class HealthServerError(Exception):
    """The address cannot be listened on; the message says what to do."""


class Health:
    """What the worker says about itself; safe between threads."""

    def __init__(self, silence_max_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._silence_max_s = silence_max_s
        self._clock = clock
        self._lock = threading.Lock()
        self._beat_at = clock()
        self._why_not = "the worker has not started yet"

    def beat(self) -> None:
        """A step or poll was finished."""
        with self._lock:
            self._beat_at = self._clock()

    def ready(self, is_ready: bool, why: str = "") -> None:
        """Whether lists are being refreshed; `why` not, if not."""
        with self._lock:
            self._why_not = "" if is_ready else why or "the worker is not ready"

    def why_not_live(self) -> str:
        """Why the process should be restarted; empty when it should not."""
        with self._lock:
            silence_s = self._clock() - self._beat_at
        if silence_s <= self._silence_max_s:
            return ""
        return f"no step or poll was finished for {silence_s:.1f} s; the limit is {self._silence_max_s:g} s"

    def why_not_ready(self) -> str:
        """Why lists are not being refreshed now; empty when they are."""
        with self._lock:
            why_not = self._why_not
        return why_not or self.why_not_live()


class HealthServer:
    """Serves health and metrics until closed; `port` is the port that was bound."""

    def __init__(self, host: str, port: int, health: Health, metrics: Rendered) -> None:
        """Listen on host and port (0: any free port).

        Raises:
            HealthServerError: the port is taken, or the address is none of this machine's.
        """
        try:
            self._server = _Server((host, port), health, metrics)
        except OSError as error:
            raise HealthServerError(
                f"health and metrics cannot be served on {host}:{port}: {error.strerror or error}; set http.host and "
                "http.port (0: any free port, off: none)"
            ) from error
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(CLOSE_POLL_S,), name="health", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening; safe to call twice."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], health: Health, metrics: Rendered) -> None:
        self._health = health
        self._metrics = metrics
        found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        self.address_family = found[0][0]
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # `HTTPServer` would look its own name up in DNS here, which can take many seconds.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def handle_error(self, *_: object) -> None:
        # A client that hangs up (an `OSError`) is no failure of ours.
        error = sys.exception()
        if not isinstance(error, OSError):
            log.error("a health request failed", exc_info=error)

    def answer(self, path: str) -> Answer:
        match path.partition("?")[0]:
            case "/livez":
                return _verdict(self._health.why_not_live())
            case "/readyz":
                return _verdict(self._health.why_not_ready())
            case "/metrics":
                return HTTPStatus.OK, CONTENT_TYPE_PLAIN_0_0_4, self._metrics.render()
        return HTTPStatus.NOT_FOUND, _PLAIN_TEXT, b"there are /livez, /readyz and /metrics\n"


def _verdict(why_not: str) -> Answer:
    status = HTTPStatus.SERVICE_UNAVAILABLE if why_not else HTTPStatus.OK
    return status, _PLAIN_TEXT, f"{why_not or 'ok'}\n".encode()


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = REQUEST_TIMEOUT_S
    server_version = "tastestream"
    sys_version = ""

    def do_GET(self) -> None:
        status, content_type, body = self.server.answer(self.path)
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Probes come every few seconds and are nothing to write home about."""
