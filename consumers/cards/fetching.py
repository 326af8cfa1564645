"""One GET over HTTP, bounded in time and bytes, that says why it failed without saying what it asked for.

An address may hold a key, so that no error here quotes an address, nor what a library says of one. There are no
redirects: what is fetched is what was named, by http or https, and never a file.
"""

import time
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from urllib.error import HTTPError, URLError
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
)

_CHUNK_BYTES = 65_536
_HEADERS = {"User-Agent": "tastestream", "Accept-Encoding": "identity"}


@dataclass(frozen=True, slots=True)
class Answer:
    """The media type that an answer claims, in small letters and without parameters, and its body."""

    media_type: str
    body: bytes


class FetchError(Exception):
    """Nothing was fetched; `status` is what the server answered, None where it did not answer at all."""

    def __init__(self, why: str, status: int | None = None) -> None:
        super().__init__(why)
        self.status = status


def fetch(url: str, max_bytes: int, timeout_s: float) -> Answer:
    """What a server answers.

    Raises:
        FetchError: it does not, not in time, not with 200, or with more bytes than these.
    """
    deadline = time.monotonic() + timeout_s
    try:
        # Only http and https have a handler in this opener.
        with _opener().open(Request(url, headers=_HEADERS), timeout=timeout_s) as response:  # noqa: S310
            body = _read(response, max_bytes, deadline)
            return Answer(response.headers.get_content_type(), body)
    except HTTPError as error:
        error.close()
        raise FetchError(f"HTTP {error.code}", error.code) from None
    except TimeoutError:
        raise FetchError("no answer in time") from None
    except URLError as error:
        is_late = isinstance(error.reason, TimeoutError)
        raise FetchError("no answer in time" if is_late else "the server cannot be reached") from None
    except (OSError, HTTPException, ValueError):
        raise FetchError("the connection failed") from None


def _read(response: HTTPResponse, max_bytes: int, deadline: float) -> bytes:
    body = bytearray()
    # A server that sends a byte now and then never runs into the timeout of a single read.
    while chunk := response.read1(_CHUNK_BYTES):
        body += chunk
        if len(body) > max_bytes:
            raise FetchError(f"more than {max_bytes:,} bytes", response.status)
        if time.monotonic() > deadline:
            raise TimeoutError
    return bytes(body)


def _opener() -> OpenerDirector:
    opener = OpenerDirector()
    handlers = (ProxyHandler, HTTPHandler, HTTPSHandler, HTTPErrorProcessor, HTTPDefaultErrorHandler, UnknownHandler)
    for handler in handlers:
        opener.add_handler(handler())
    return opener
