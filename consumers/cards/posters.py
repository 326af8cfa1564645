"""Posters by IMDb id from the OMDb API (https://www.omdbapi.com), where an operator has a key for it.

- The key goes into the query of requests to the API, as it wants it, and nowhere else: into no text, no log, no page.
- Whatever fails costs that poster only, and is counted by its reason. A key that is refused, or an API that does not
  answer several times in a row, ends the asking: each further request would only take its time to fail too.
- The address of a poster is what the API says, so it is used only where it is https, or of the API's own server.
"""

from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

import orjson
from pydantic import SecretStr

from consumers.cards.fetching import Answer, FetchError, fetch
from consumers.cards.pictures import Picture, picture_of
from consumers.cards.poster_cache import PosterCache

OMDB_URL = "https://www.omdbapi.com/"
KEY_VARIABLE = "OMDB_API_KEY"
SILENCES_MAX = 2
"""So many requests in a row without any answer end the asking."""

_DOCUMENT_MAX_BYTES = 262_144
_REFUSED = 401
_NONE_THERE = "OMDb has none"
_NOT_KNOWN = ("not found", "incorrect imdb id")


class PosterError(Exception):
    """There is no poster to be had, in words for the operator."""


@dataclass(frozen=True, slots=True)
class PosterLimits:
    """What may be spent: requests for one page, seconds for each, bytes for each poster."""

    requests_max: int = 200
    timeout_s: float = 5.0
    poster_max_bytes: int = 1_048_576


@dataclass(slots=True)
class Posters:
    """Posters by IMDb id; `troubles` counts by reason those that could not be had."""

    key: SecretStr
    cache: PosterCache
    limits: PosterLimits = field(default_factory=PosterLimits)
    api: str = OMDB_URL
    troubles: Counter[str] = field(default_factory=Counter, init=False)
    cache_fails: bool = field(default=False, init=False)
    _requests: int = field(default=0, init=False)
    _silences: int = field(default=0, init=False)
    _ended: str = field(default="", init=False)

    def poster(self, imdb_id: str) -> Picture | None:
        """The poster of an id, from the cache or from OMDb; None, with its reason counted, where it cannot be had."""
        kept = self.cache.get(imdb_id)
        if isinstance(kept, Picture):
            return kept
        try:
            return self._asked(imdb_id) if kept is None else self._none()
        except PosterError as error:
            self.troubles[str(error)] += 1
        return None

    def _asked(self, imdb_id: str) -> Picture:
        address = self._address(imdb_id)
        if address is None:
            self._keep(imdb_id, b"")
            return self._none()
        picture = self._picture(address)
        self._keep(imdb_id, picture.content)
        return picture

    def _none(self) -> Picture:
        raise PosterError(_NONE_THERE)

    def _keep(self, imdb_id: str, content: bytes) -> None:
        self.cache_fails |= not self.cache.put(imdb_id, content)

    def _address(self, imdb_id: str) -> str | None:
        query = urlencode({"apikey": self.key.get_secret_value(), "i": imdb_id})
        document = _document(self._answer(f"{self.api}?{query}", _DOCUMENT_MAX_BYTES).body)
        if document.get("Response") == "False":
            if any(words in str(document.get("Error")).lower() for words in _NOT_KNOWN):
                return None
            raise PosterError("OMDb says that something went wrong there")
        address = document.get("Poster")
        if not isinstance(address, str):
            raise PosterError("OMDb answered with something else than it documents")
        return None if address == "N/A" else address

    def _picture(self, address: str) -> Picture:
        if not self._may_be_asked(address):
            raise PosterError("the poster's address is not https")
        answer = self._answer(address, self.limits.poster_max_bytes)
        picture = picture_of(answer.body)
        if picture is None or not answer.media_type.startswith("image/"):
            raise PosterError("the poster is no picture (JPEG, PNG, GIF, WebP)")
        return picture

    def _may_be_asked(self, address: str) -> bool:
        try:
            named, own = urlsplit(address), urlsplit(self.api)
        except ValueError:
            return False
        return named.scheme == "https" or (named.scheme, named.netloc) == (own.scheme, own.netloc)

    def _answer(self, url: str, max_bytes: int) -> Answer:
        if self._ended:
            raise PosterError(self._ended)
        if self._requests >= self.limits.requests_max:
            raise PosterError(f"not asked for beyond {self.limits.requests_max} requests (cards.requests_max)")
        self._requests += 1
        try:
            answer = fetch(url, max_bytes, self.limits.timeout_s)
        except FetchError as error:
            raise PosterError(self._told(error)) from None
        self._silences = 0
        return answer

    def _told(self, error: FetchError) -> str:
        if error.status == _REFUSED:
            self._ended = f"OMDb refuses the key of {KEY_VARIABLE}, or its requests of today are used up (HTTP 401)"
            return self._ended
        self._silences = self._silences + 1 if error.status is None else 0
        if self._silences >= SILENCES_MAX:
            self._ended = str(error)
        return str(error)


def _document(body: bytes) -> dict[str, object]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        raise PosterError("OMDb answered with something else than it documents")
    return document
