"""The OMDb API on loopback, as it is documented, with what the test wants it to say; it notes every request."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

JPEG = b"\xff\xd8\xff\xe0" + b"a picture" * 20
WAIT_MAX_S = 30.0

Said = tuple[int, dict[str, str], bytes]


@dataclass
class OmdbDouble:
    """Says what `documents` has by IMDb id, and what `files` has by path; the rest is not found, as OMDb says it.

    Attributes:
        url: where it listens.
        requests: paths with their queries, in order.
        released: while it is not set, nothing is answered.
    """

    url: str = ""
    documents: dict[str, Said] = field(default_factory=dict)
    files: dict[str, Said] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def with_poster(self, imdb_id: str, content: bytes = JPEG, media_type: str = "image/jpeg") -> None:
        """Have a poster of an id."""
        self.documents[imdb_id] = document({"Response": "True", "Poster": f"{self.url}posters/{imdb_id}.jpg"})
        self.files[f"/posters/{imdb_id}.jpg"] = (200, {"Content-Type": media_type}, content)

    def answer(self, target: str) -> Said:
        """What a request gets."""
        self.requests.append(target)
        self.released.wait(WAIT_MAX_S)
        address = urlsplit(target)
        if address.path in self.files:
            return self.files[address.path]
        (imdb_id,) = parse_qs(address.query)["i"]
        return self.documents.get(imdb_id, document({"Response": "False", "Error": "Movie not found!"}))


def document(says: Any, status: int = 200) -> Said:
    """An answer in JSON."""
    return status, {"Content-Type": "application/json; charset=utf-8"}, json.dumps(says).encode()


@contextmanager
def omdb_double() -> Iterator[OmdbDouble]:
    """The double, listening."""
    double = OmdbDouble()
    double.released.set()
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(double.answer)) as server:
        double.url = f"http://127.0.0.1:{server.server_port}/"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield double
        finally:
            double.released.set()
            server.shutdown()
            thread.join()


def _handler(answer: Callable[[str], Said]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the standard library's name
            status, headers, body = answer(self.path)
            try:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
            except OSError:
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the standard library's name
            """Say nothing."""

    return Handler
