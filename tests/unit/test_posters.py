"""Posters: from OMDb as it answers, from the cache as it stands; whatever fails costs one poster and tells no key."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from omdb_double import JPEG, OmdbDouble, document, omdb_double
from pydantic import SecretStr

from consumers.cards.fetching import FetchError, fetch
from consumers.cards.pictures import Picture
from consumers.cards.poster_cache import BLOCK_BYTES, NO_POSTER, PosterCache
from consumers.cards.posters import SILENCES_MAX, PosterLimits, Posters

KEY = "key-not-to-be-seen"
TOY_STORY, HEAT, JUMANJI = "tt0114709", "tt0113277", "tt0113497"
HOUR_S = 3_600.0


@pytest.fixture
def omdb() -> Iterator[OmdbDouble]:
    with omdb_double() as double:
        yield double


def posters_of(omdb: OmdbDouble, folder: Path, **limits: float) -> Posters:
    given = PosterLimits(**{"timeout_s": 20.0, **limits})  # type: ignore[arg-type]  # some are counts
    return Posters(SecretStr(KEY), PosterCache(folder / "posters", 1_000_000, HOUR_S), given, omdb.url)


def test_a_poster_is_what_omdb_names_and_is_asked_for_once(omdb: OmdbDouble, tmp_path: Path) -> None:
    """One request with key and id, one for the picture without the key; afterwards the cache has it."""
    omdb.with_poster(TOY_STORY)
    assert posters_of(omdb, tmp_path).poster(TOY_STORY) == Picture("image/jpeg", JPEG)
    assert omdb.requests == [f"/?apikey={KEY}&i={TOY_STORY}", f"/posters/{TOY_STORY}.jpg"]
    again = posters_of(omdb, tmp_path)
    assert again.poster(TOY_STORY) == Picture("image/jpeg", JPEG)
    assert (len(omdb.requests), again.troubles.total()) == (2, 0)


@pytest.mark.parametrize(
    "says", [{"Response": "True", "Poster": "N/A"}, {"Response": "False", "Error": "Movie not found!"}]
)
def test_that_there_is_no_poster_is_kept_too(omdb: OmdbDouble, tmp_path: Path, says: dict[str, str]) -> None:
    """Whoever asks again gets the same answer without a request."""
    omdb.documents[HEAT] = document(says)
    for _ in range(2):
        posters = posters_of(omdb, tmp_path)
        assert posters.poster(HEAT) is None
        assert posters.troubles == {"OMDb has none": 1}
    assert len(omdb.requests) == 1


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (document({"Response": "False", "Error": "Error getting data."}), "went wrong there"),
        (document({}, 503), "HTTP 503"),
        (document({"Response": "True"}), "something else"),
        (document([]), "something else"),
        ((200, {}, b"<html>"), "something else"),
        ((302, {"Location": "/posters/x.jpg"}, b""), "HTTP 302"),
        ((200, {}, b"{" + b" " * 300_000), "more than"),
        (document({"Response": "True", "Poster": "file:///etc/hostname"}), "not https"),
        (document({"Response": "True", "Poster": "http://[::1"}), "not https"),
        (document({"Response": "True", "Poster": "http://127.0.0.1:1/internal"}), "not https"),
    ],
)
def test_what_is_no_answer_is_not_kept(
    omdb: OmdbDouble, tmp_path: Path, said: tuple[int, dict[str, str], bytes], why: str
) -> None:
    """It costs the poster and is told; the next page asks again, and may find it."""
    omdb.files["/posters/x.jpg"] = (200, {"Content-Type": "image/jpeg"}, JPEG)
    omdb.documents[HEAT] = said
    posters = posters_of(omdb, tmp_path)
    assert posters.poster(HEAT) is None
    assert len(omdb.requests) == 1
    (told,) = posters.troubles
    assert why in told
    omdb.with_poster(HEAT)
    assert posters.poster(HEAT) is not None


@pytest.mark.parametrize(
    ("content", "media_type"),
    [(b"<svg onload='x'/>", "image/jpeg"), (JPEG, "text/html"), (b"", "image/jpeg"), (JPEG * 100, "image/jpeg")],
    ids=["no picture", "other type", "empty", "too large"],
)
def test_only_pictures_of_a_bounded_size_are_taken(
    omdb: OmdbDouble, tmp_path: Path, content: bytes, media_type: str
) -> None:
    """Both the claimed type and the bytes themselves must say so."""
    omdb.with_poster(HEAT, content, media_type)
    posters = posters_of(omdb, tmp_path, poster_max_bytes=1_000)
    assert posters.poster(HEAT) is None
    assert posters.troubles.total() == 1
    assert list(tmp_path.iterdir()) == []


def test_a_refused_key_ends_the_asking(omdb: OmdbDouble, tmp_path: Path) -> None:
    """One request finds it out; nothing that is told holds the key."""
    omdb.documents[HEAT] = document({"Response": "False", "Error": f"Invalid API key {KEY}!"}, 401)
    posters = posters_of(omdb, tmp_path)
    assert [posters.poster(each) for each in (HEAT, TOY_STORY, JUMANJI)] == [None] * 3
    assert len(omdb.requests) == 1
    (told,) = posters.troubles
    assert "OMDB_API_KEY" in told
    assert KEY not in told + repr(posters)


def test_an_api_that_does_not_answer_ends_the_asking(omdb: OmdbDouble, tmp_path: Path) -> None:
    """A few times in a row, each bounded in time; no error quotes the address with the key in it."""
    omdb.released.clear()
    posters = posters_of(omdb, tmp_path, timeout_s=0.05)
    assert [posters.poster(f"tt000000{n}") for n in range(6)] == [None] * 6
    assert posters.troubles == {"no answer in time": 6}
    omdb.released.set()
    assert len(omdb.requests) <= SILENCES_MAX


def test_requests_are_bounded(omdb: OmdbDouble, tmp_path: Path) -> None:
    """A page asks for no more, and says which limit it was."""
    for each in (TOY_STORY, HEAT, JUMANJI):
        omdb.with_poster(each)
    posters = posters_of(omdb, tmp_path, requests_max=4)
    assert [posters.poster(each) is not None for each in (TOY_STORY, HEAT, JUMANJI)] == [True, True, False]
    (told,) = posters.troubles
    assert "cards.requests_max" in told


def test_nothing_but_http_is_opened(tmp_path: Path) -> None:
    """No file is read by an address; a port where nobody listens, and bytes that are no HTTP, are failures in words."""
    (tmp_path / "file").write_text("x")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for url in (
        (tmp_path / "file").as_uri(),
        f"http://127.0.0.1:{port}/?apikey={KEY}",
        f"http://[{KEY}",
        f"http://a b{KEY}",
    ):
        with pytest.raises(FetchError) as failure:
            fetch(url, 100, 1)
        assert KEY not in str(failure.value)
        assert failure.value.__suppress_context__


def test_the_cache_is_bounded_in_bytes(tmp_path: Path) -> None:
    """The oldest leave first, empty files count, and files of others stay."""
    (tmp_path / "mine.txt").write_text("x")
    cache = PosterCache(tmp_path, 2 * BLOCK_BYTES, HOUR_S)
    for age, each in enumerate((JUMANJI, HEAT, TOY_STORY)):
        assert cache.put(each, JPEG if each == HEAT else b"")
        os.utime(tmp_path / each, (at := (tmp_path / each).stat().st_mtime - 60 + 20 * age, at))
    assert cache.put("tt0000001", b"")
    assert {path.name for path in tmp_path.iterdir()} == {"mine.txt", TOY_STORY, "tt0000001"}
    assert (cache.get(HEAT), cache.get(TOY_STORY)) == (None, NO_POSTER)


def test_the_cache_forgets_with_age_and_trusts_no_file(tmp_path: Path) -> None:
    """What is too old, and what is no picture, is not known; a folder that cannot be used is no failure."""
    cache = PosterCache(tmp_path, 100_000, HOUR_S)
    cache.put(HEAT, JPEG)
    os.utime(tmp_path / HEAT, (1, 1))
    (tmp_path / TOY_STORY).write_bytes(b"<script>")
    assert (cache.get(HEAT), cache.get(TOY_STORY)) == (None, None)
    cache.put(JUMANJI, JPEG)
    assert not (tmp_path / HEAT).exists()
    elsewhere = PosterCache(tmp_path / TOY_STORY / "folder", 100_000, HOUR_S)
    assert (elsewhere.get(HEAT), elsewhere.put(HEAT, JPEG)) == (None, False)


def test_a_poster_does_not_need_the_cache(omdb: OmdbDouble, tmp_path: Path) -> None:
    """Where the folder cannot be written, the poster is shown all the same, and the page's maker can say so."""
    (tmp_path / "posters").write_text("no folder")
    omdb.with_poster(HEAT)
    posters = posters_of(omdb, tmp_path)
    assert posters.poster(HEAT) is not None
    assert posters.cache_fails
