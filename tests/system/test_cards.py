"""`tastestream cards` through the real broker: ratings and a catalogue in, a page out; posters from OMDb on loopback."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from deployment import Deployment
from omdb_double import OmdbDouble, document, omdb_double

from consumers.catalogue_reading import item_producer
from consumers.cli import _ended
from consumers.exit_codes import ExitCode
from schemas.events import Event, Rated
from schemas.items import Item

KEY = "key-not-to-be-seen"
HARM = "<script>alert(1)</script>"
SEVEN, EIGHT, NINE = 7, 8, 9
ITEMS = (
    Item(item_id=SEVEN, title="Seven (1995)", genres=["Crime"], year=1995, links={"imdb": "0114369"}),
    Item(item_id=EIGHT, title=HARM, genres=["Sci-Fi & <b>"], links={"imdb": "tt0001234"}),
)


def shared_taste() -> list[Event]:
    """Twelve users who like the same four items, and ann, who knows one of them."""
    events: list[Event] = [
        Rated(user_id=f"u{n}", item_id=item, rating=4.5) for n in range(12) for item in (SEVEN, EIGHT, NINE, 1)
    ]
    return [*events, Rated(user_id="ann", item_id=1, rating=5)]


@pytest.fixture
def deployment(
    broker: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logging_as_it_was: None
) -> Iterator[Deployment]:
    """One that has published ann's list, with its settings as those of a command in this process."""
    assert logging_as_it_was is None
    with Deployment(broker, topic_prefix, tmp_path) as made:
        made.make_topics()
        with item_producer(made.settings) as producer:
            for item in ITEMS:
                producer.put(item)
        made.produce(shared_taste())
        worker = made.worker().start().await_ready()
        made.await_lag(0, worker)
        assert worker.stop() == 0
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("OMDB_API_KEY", raising=False)
        for name, value in made._variables.items():
            monkeypatch.setenv(name, value)
        yield made


@pytest.fixture
def omdb(monkeypatch: pytest.MonkeyPatch) -> Iterator[OmdbDouble]:
    """An OMDb that the commands of this process ask, with a key."""
    with omdb_double() as double:
        monkeypatch.setattr("consumers.cards.posters.OMDB_URL", double.url)
        monkeypatch.setenv("OMDB_API_KEY", KEY)
        yield double


@pytest.mark.usefixtures("deployment")
def test_a_list_becomes_a_page_of_cards(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a key nothing is asked for: tiles are drawn, what is not known is called so, and titles are only text."""
    assert _ended(["cards", "ann", "--out", "ann.html"]) == ExitCode.OK
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("ann.html: 3 cards\n", "")
    page = (tmp_path / "ann.html").read_text(encoding="utf-8")
    assert (page.count('<li class="card">'), page.count("data:image/svg+xml")) == (3, 3)
    for told in (">Seven</h2>", "1995 · Crime", "Unknown Title", "&lt;script&gt;alert(1)", "Sci-Fi &amp; &lt;b&gt;"):
        assert told in page
    assert "<script" not in page
    assert not (tmp_path / ".tastestream" / "posters").exists()


@pytest.mark.usefixtures("deployment")
def test_posters_come_from_omdb_once(omdb: OmdbDouble, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The page holds those that there are, one line says what is missing; a second page needs no request."""
    omdb.with_poster("tt0114369")
    for _ in range(2):
        assert _ended(["cards", "ann", "--out", "ann.html"]) == ExitCode.OK
        printed = capsys.readouterr()
        assert printed.out == "ann.html: 3 cards\n"
        assert printed.err == "tastestream: posters that could not be had: 1 (1: OMDb has none)\n"
        page = (tmp_path / "ann.html").read_text(encoding="utf-8")
        assert (page.count("data:image/jpeg"), page.count("data:image/svg+xml")) == (1, 2)
        assert KEY not in page + printed.out + printed.err
    assert len(omdb.requests) == 3
    assert _ended(["cards", "ann", "--out", "posters.html", "--only-with-poster"]) == ExitCode.OK
    assert capsys.readouterr().out == "posters.html: 1 card\n"


@pytest.mark.usefixtures("deployment")
def test_omdb_may_be_down(omdb: OmdbDouble, capsys: pytest.CaptureFixture[str]) -> None:
    """A page of tiles all the same, and the key is in nothing that is said."""
    omdb.documents["tt0114369"] = omdb.documents["tt0001234"] = document({"Error": KEY}, 503)
    assert _ended(["cards", "ann", "--out", "ann.html"]) == ExitCode.OK
    printed = capsys.readouterr()
    assert printed.out == "ann.html: 3 cards\n"
    assert printed.err == "tastestream: posters that could not be had: 2 (2: HTTP 503)\n"


@pytest.mark.usefixtures("deployment")
def test_what_cannot_be_shown_is_refused_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    """A user without a list, a folder that is not there, posters alone without a key."""
    assert _ended(["cards", "nobody", "--out", "x.html"]) == ExitCode.CHECK_FAILED
    assert "has no list" in capsys.readouterr().err
    assert _ended(["cards", "ann", "--out", "nowhere/x.html"]) == ExitCode.USAGE
    assert "there is no folder" in " ".join(capsys.readouterr().err.split())
    assert _ended(["cards", "ann", "--out", "x.html", "--only-with-poster"]) == ExitCode.USAGE
    assert "OMDB_API_KEY" in capsys.readouterr().err
