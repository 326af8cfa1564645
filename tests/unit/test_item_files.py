"""Items from files: every form gives the same records, and what cannot be used is said with its place."""

import json
from pathlib import Path

import pytest

from producers.item_files import read_bundled_items, read_items
from producers.items import ItemProducer
from producers.tables import DatasetError
from schemas.items import Item

MATRIX = Item(
    item_id=2571,
    title="Matrix, The (1999)",
    genres=["Action", "Sci-Fi"],
    tags=["hacking", "philosophy"],
    year=1999,
    links={"imdb": "0133093", "tmdb": "603"},
)
MOVIELENS = {
    "movies.csv": 'movieId,title,genres\n2571,"Matrix, The (1999)",Action|Sci-Fi\n',
    "links.csv": "movieId,imdbId,tmdbId\n2571,0133093,603\n",
    "tags.csv": "userId,movieId,tag,timestamp\n1,2571,Hacking,1\n2,2571,hacking,1\n3,2571,philosophy,1\n",
}
TABLE = (
    "Item ID,Title,Genres,Tags,Year,IMDb ID,tmdb,stock\n"
    '2571,"Matrix, The (1999)",Action|Sci-Fi,hacking|philosophy,1999,0133093,603,7\n'
)


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def movielens(folder: Path) -> Path:
    for name, text in MOVIELENS.items():
        written(folder / name, text)
    return folder


def send(path: Path) -> None:
    """Send what stands there to nobody."""
    with ItemProducer("127.0.0.1:1", settings={"delivery.timeout.ms": 100}) as producer:
        for item in read_items(path):
            producer.put(item)


def test_every_form_says_the_same(tmp_path: Path) -> None:
    """MovieLens (its ratings need not be there), a table and JSON lines of one item are one record."""
    lines = json.dumps(MATRIX.model_dump(by_alias=True)) + "\n\n"
    paths = [movielens(tmp_path / "ml"), written(tmp_path / "t.csv", TABLE), written(tmp_path / "t.jsonl", lines)]
    assert [list(read_items(path)) for path in paths] == [[MATRIX]] * 3


def test_the_shipped_data_set_has_all_its_movies() -> None:
    """Titles, links and tags of 9,742 movies, each a record that the wire takes."""
    items = {item.item_id: item for item in read_bundled_items()}
    assert len(items) == 9_742
    assert all(item.title and item.links["imdb"] for item in items.values())
    assert (items[318].year, items[318].links) == (1994, {"imdb": "0111161", "tmdb": "278"})
    assert "prison" in items[318].tags


def test_ids_are_of_the_catalogues_kind(tmp_path: Path) -> None:
    """Where ids are text, digits are text."""
    assert [item.item_id for item in read_items(written(tmp_path / "t.csv", TABLE), "string")] == ["2571"]
    assert [item.item_id for item in read_items(movielens(tmp_path / "ml"), "string")] == ["2571"]


def test_only_the_id_must_be_there(tmp_path: Path) -> None:
    """What a table does not have, or leaves empty, is not known."""
    table = written(tmp_path / "t.csv", "sku,year,title\n".replace("sku", "product") + "7,,\n")
    assert list(read_items(table)) == [Item(item_id=7)]


def test_what_cannot_be_a_label_is_left_out(tmp_path: Path) -> None:
    """Empty, doubled and endless tags do not refuse an item; control characters and runs of spaces become one space."""
    tags = "|".join(["a\tb", "a  b", "", "x" * 300, "c"])
    table = written(tmp_path / "t.csv", f'item,title,tags\n1,"A\x01 title",{tags}\n')
    assert list(read_items(table)) == [Item(item_id=1, title="A title", tags=["a b", "c"])]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("t.csv", "title,year\nT,1999\n", r"t.csv, line 1: the header names no item column"),
        ("t.csv", "item,title\n1\n", r"t.csv, line 2: 1 columns where item,title are due"),
        ("t.csv", "item,title\nSKU-1,T\n", r"string|item"),
        ("t.csv", "item,year\n1,soon\n", r"t.csv, line 2: item 1: year"),
        ("t.csv", "item,year\n1,0\n", r"t.csv, line 2: item 1: year"),
        ("t.jsonl", '{"item_id": 1}\n{"item_id": 1.5}\n', r"t.jsonl, line 2: item_id: an item id is an integer"),
        ("t.jsonl", "{\n", r"t.jsonl, line 1: the value is no JSON"),
        ("ml/ratings.csv", "userId,movieId,rating,timestamp\n", r"no movies.csv, movies.dat or u.item"),
    ],
)
def test_what_cannot_be_used_is_said_with_its_place(tmp_path: Path, name: str, text: str, said: str) -> None:
    """File, line, what is wrong: nothing is sent of a file that nobody understands, and nothing is guessed."""
    path = written(tmp_path / name, text)
    with pytest.raises(ValueError, match=said):
        send(path if path.parent == tmp_path else path.parent)


def test_nothing_there_is_said(tmp_path: Path) -> None:
    """A path that does not exist is an error of the command line, not an empty catalogue."""
    with pytest.raises(DatasetError, match="no such file"):
        list(read_items(tmp_path / "none"))
