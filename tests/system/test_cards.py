"""`tastestream cards` through the real broker: ratings and a catalogue in, a page out; OMDb listens on loopback."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from deployment import Deployment
from omdb_double import OmdbDouble, document, omdb_double
from service_process import WAIT_S, clean_environment

from consumers.catalogue_reading import item_producer
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


# The program, with another address of OMDb as its first argument: no setting has it.
PROGRAM = """
import sys
from consumers.cards import posters
from consumers.cli import main
posters.OMDB_URL = sys.argv.pop(1)
main()
"""


@pytest.fixture
def deployment(broker: str, topic_prefix: str, tmp_path: Path) -> Iterator[Deployment]:
    """One that has published ann's list, with reasons for two items, and whose worker has ended."""
    # One partition, so that her list comes after everybody's ratings.
    own = {"ranking__explain_items": "2", "topics__partitions": "1"}
    with Deployment(broker, topic_prefix, tmp_path, **own) as made:
        made.make_topics()
        with item_producer(made.settings) as producer:
            for item in ITEMS:
                producer.put(item)
        made.produce(shared_taste())
        worker = made.worker().start().await_ready()
        made.await_lag(0, worker)
        assert worker.stop() == 0
        yield made


@pytest.fixture
def omdb() -> Iterator[OmdbDouble]:
    with omdb_double() as double:
        yield double


class Maker:
    """Types `tastestream cards` with a deployment's settings."""

    def __init__(self, deployment: Deployment, omdb: OmdbDouble, folder: Path) -> None:
        self._omdb = omdb
        self._folder = folder
        self._environment = clean_environment({**deployment._variables, "COLUMNS": "200"})

    def __call__(self, *arguments: str, key: str = "") -> subprocess.CompletedProcess[str]:
        """The command, run to its end; nothing it says may hold the key."""
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, self._omdb.url, "cards", *arguments],
            cwd=self._folder,
            env=self._environment | {"OMDB_API_KEY": key},
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
        assert KEY not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    def page(self, key: str = "") -> tuple[str, str]:
        """The page of ann's three cards, and what was said of its posters."""
        done = self("ann", "--out", "ann.html", key=key)
        assert (done.returncode, done.stdout) == (0, "ann.html: 3 cards\n"), done.stderr
        page = (self._folder / "ann.html").read_text(encoding="utf-8")
        assert page.count('<li class="card">') == 3
        assert KEY not in page
        return page, done.stderr


@pytest.fixture
def cards(deployment: Deployment, omdb: OmdbDouble, tmp_path: Path) -> Maker:
    return Maker(deployment, omdb, tmp_path)


def test_a_list_becomes_a_page_of_cards(cards: Maker, omdb: OmdbDouble) -> None:
    """Without a key nothing is asked for: tiles are drawn, what is not known is called so, and titles are only text."""
    page, said = cards.page()
    assert (page.count("data:image/svg+xml"), said, omdb.requests) == (3, "", [])
    for told in (">Seven</h2>", "1995 · Crime", "Unknown Title", "&lt;script&gt;alert(1)", "Sci-Fi &amp; &lt;b&gt;"):
        assert told in page
    assert "<script" not in page
    assert (page.count('<section class="why">'), page.count("your 5 for item 1<")) == (2, 2)


def test_posters_come_from_omdb_once(cards: Maker, omdb: OmdbDouble) -> None:
    """The page holds those that there are, one line says what is missing; a second page needs no request."""
    omdb.with_poster("tt0114369")
    for _ in range(2):
        page, said = cards.page(KEY)
        assert said == "tastestream: posters that could not be had: 1 (1: OMDb has none)\n"
        assert (page.count("data:image/jpeg"), page.count("data:image/svg+xml")) == (1, 2)
    assert len(omdb.requests) == 3
    assert cards("ann", "--out", "posters.html", "--only-with-poster", key=KEY).stdout == "posters.html: 1 card\n"


def test_omdb_may_be_down(cards: Maker, omdb: OmdbDouble) -> None:
    """A page of tiles all the same, and one line that says why."""
    omdb.documents["tt0114369"] = omdb.documents["tt0001234"] = document({"Error": KEY}, 503)
    page, said = cards.page(KEY)
    assert page.count("data:image/svg+xml") == 3
    assert said == "tastestream: posters that could not be had: 2 (2: HTTP 503)\n"


def test_what_cannot_be_shown_is_refused_in_words(cards: Maker) -> None:
    """A user without a list, a folder that is not there, posters alone without a key."""
    nobody = cards("nobody", "--out", "x.html")
    assert (nobody.returncode, "has no list" in nobody.stderr) == (ExitCode.CHECK_FAILED, True)
    nowhere = cards("ann", "--out", "nowhere/x.html")
    assert (nowhere.returncode, "there is no folder" in nowhere.stderr) == (ExitCode.USAGE, True)
    keyless = cards("ann", "--out", "x.html", "--only-with-poster")
    assert (keyless.returncode, "OMDB_API_KEY" in keyless.stderr) == (ExitCode.USAGE, True)
