import csv
import io
import zipfile
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers import rating_rows
from producers.datasets import bundled_dataset, load_dataset
from producers.movielens_100k import GENRES
from producers.tables import CatalogueItem, DatasetError, Ratings, User, time_order
from schemas.scale import Scale

Row = tuple[int, int, float, int]
Files = dict[str, bytes]

ML_ROWS: list[Row] = [(1, 31, 2.5, 1_260_759_144), (7, 10, 4.0, 851_868_750), (1, 1029, 3.0, 1_260_759_179)]


def latest(rows: Sequence[Row]) -> Files:
    lines = [f"{user},{item},{rating},{seconds}\n" for user, item, rating, seconds in rows]
    return {"ratings.csv": ("userId,movieId,rating,timestamp\n" + "".join(lines)).encode()}


def dat(rows: Sequence[Row]) -> Files:
    return {"ratings.dat": "".join(f"{u}::{i}::{r:g}::{s}\n" for u, i, r, s in rows).encode()}


def tabs(rows: Sequence[Row]) -> Files:
    return {"u.data": "".join(f"{u}\t{i}\t{r:g}\t{s}\n" for u, i, r, s in rows).encode()}


def named(rows: Sequence[Row]) -> Files:
    lines = [f"{s},{r},x,{i},{u}\r\n" for u, i, r, s in rows]
    return {"purchases.csv": ("Unix Time,Stars,note,ASIN,Customer-ID\r\n" + "".join(lines)).encode()}


FORMS = [latest, dat, tabs, named]


def folder(path: Path, files: Files) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (path / name).write_bytes(content)
    return path


def zipped(path: Path, files: Files, top: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(top + name, content)
    return path


def rows_of(ratings: Ratings) -> list[tuple[int | str, int | str, float, int]]:
    return list(ratings.rows())


def in_ms(rows: Sequence[Row]) -> list[tuple[int, int, float, int]]:
    return [(user, item, rating, seconds * 1000) for user, item, rating, seconds in rows]


ROWS = st.lists(
    st.tuples(
        st.integers(1, 2**40),
        st.integers(0, 2**32 - 1),
        st.integers(1, 10).map(lambda halves: halves / 2),
        st.integers(631_152_000, 2**32 - 1),
    ),
    min_size=1,
    max_size=20,
)


@pytest.mark.parametrize("form", FORMS)
@given(rows=ROWS)
@settings(max_examples=25, deadline=None)
def test_every_form_reads_back_what_was_written(
    form: Callable[[Sequence[Row]], Files], rows: list[Row], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Reading any form is the inverse of writing it: same rows, same order, times in milliseconds."""
    path = folder(tmp_path_factory.mktemp("data"), form(rows))
    assert rows_of(load_dataset(path).ratings) == in_ms(rows)


@pytest.mark.parametrize("form", FORMS)
def test_a_folder_and_its_zip_are_the_same_data_set(form: Callable[[Sequence[Row]], Files], tmp_path: Path) -> None:
    """Neither packing nor a folder inside (nor what an archiver leaves beside it) changes a data set."""
    files = form(ML_ROWS)
    packed = zipped(tmp_path / "flat.zip", files)
    nested = zipped(tmp_path / "nested.zip", files, "ml-some/")
    with zipfile.ZipFile(nested, "a") as archive:
        archive.writestr("__MACOSX/ml-some/._x", b"")
    paths = [folder(tmp_path / "plain", files), folder(tmp_path / "outer" / "inner", files).parent, packed, nested]
    assert [rows_of(load_dataset(path).ratings) for path in paths] == [in_ms(ML_ROWS)] * 4


def test_ml_latest_brings_titles_genres_year_links_and_tags(tmp_path: Path) -> None:
    """Every column of movies.csv, links.csv and tags.csv that says something of an item is kept."""
    movies = 'movieId,title,genres\n31,"Misérables, Les (1995)",Drama|War\n10,Babylon 5,(no genres listed)\n'
    files = latest(ML_ROWS) | {
        "movies.csv": movies.encode(),
        "links.csv": b"movieId,imdbId,tmdbId\n31,0113828,4415\n10,0105946,\n",
        "tags.csv": b"userId,movieId,tag,timestamp\n1,31,epic,1\n2,31,France,2\n3,31,france ,3\n",
    }
    assert load_dataset(folder(tmp_path, files)).items == {
        31: CatalogueItem(
            31, "Misérables, Les (1995)", ("Drama", "War"), 1995, "0113828", 4415, tags=("france", "epic")
        ),
        10: CatalogueItem(10, "Babylon 5", imdb_id="0105946"),
    }


def test_ml_1m_brings_movies_and_users(tmp_path: Path) -> None:
    """ml-1m's Latin-1 titles and its codes for occupations are understood."""
    files = dat(ML_ROWS) | {
        "movies.dat": "31::Misérables, Les (1995)::Drama|Musical\n".encode("latin-1"),
        "users.dat": b"1::F::18::10::48067\n7::M::56::16::70072\n",
    }
    data = load_dataset(folder(tmp_path, files))
    assert data.items == {31: CatalogueItem(31, "Misérables, Les (1995)", ("Drama", "Musical"), 1995)}
    assert data.users == {1: User(1, 18, "F", "K-12 student"), 7: User(7, 56, "M", "self-employed")}
    assert data.users[1].attributes() == {"age": 18, "gender": "F", "occupation": "K-12 student"}


def test_ml_100k_brings_movies_and_users(tmp_path: Path) -> None:
    """Genre flags become names; the release date tells a year that the title does not."""
    flags = {31: "|".join("1" if name in {"Comedy", "Drama"} else "0" for name in GENRES)}
    flags[10] = "|".join("1" if name == "unknown" else "0" for name in GENRES)
    movies = f"31|Désirée|01-Jan-1954||url|{flags[31]}\n10|unknown||||{flags[10]}\n"
    files = tabs(ML_ROWS) | {"u.item": movies.encode("latin-1"), "u.user": b"1|24|M|technician|85711\n"}
    data = load_dataset(folder(tmp_path, files))
    assert data.items == {31: CatalogueItem(31, "Désirée", ("Comedy", "Drama"), 1954), 10: CatalogueItem(10, "unknown")}
    assert data.users == {1: User(1, 24, "M", "technician")}


def test_movietweetings_is_read_on_its_own_scale(tmp_path: Path) -> None:
    """The `::` form beyond five stars tells its scale; its ids are IMDb's, its text UTF-8, its users say nothing."""
    files = dat([(1, 114508, 8, 1_381_006_850), (2, 2844, 0, 1_381_006_851), (2, 114508, 9.5, 1_381_006_852)]) | {
        "movies.dat": "0114508::Species (1995)::Action\n0002844::Fantômas: À l'ombre :: 1 (1913)::\n".encode(),
        "users.dat": b"1::139564917\n2::17528189\n",
    }
    data = load_dataset(folder(tmp_path, files))
    assert data.scale == Scale(0, 9.5)
    assert data.items[2844] == CatalogueItem(2844, "Fantômas: À l'ombre :: 1 (1913)", (), 1913, "0002844")
    assert data.users == {}
    assert load_dataset(tmp_path, Scale(0, 10)).scale == Scale(0, 10)


@pytest.mark.parametrize(
    ("title", "year"),
    [
        ("Toy Story (1995)", 1995),
        ("Doctor Who (2005-)", 2005),
        ("Fawlty Towers (1975-1979)", 1975),
        ("(500) Days", None),
    ],
)
def test_the_year_is_what_ends_a_title(title: str, year: int | None, tmp_path: Path) -> None:
    """A year counts only in the parentheses at the end; of a span the first."""
    files = dat(ML_ROWS) | {"movies.dat": f"31::{title}::Drama\n".encode()}
    assert load_dataset(folder(tmp_path, files)).items[31].year == year


@pytest.mark.parametrize(
    ("user", "item", "time", "expected"),
    [
        ("42", "318", "964982703", (42, 318, 964_982_703_000)),
        ("ann", "318", "964982703.5", ("ann", 318, 964_982_703_500)),
        ("007", "B00", "964982703123", ("007", "B00", 964_982_703_123)),
        ("42", "4294967296", "2000-07-30T18:45:03Z", (42, "4294967296", 964_982_703_000)),
        ("42", "318", "2000-07-30 20:45:03+02:00", (42, 318, 964_982_703_000)),
        ("42", "318", "2000-07-30", (42, 318, 964_915_200_000)),
    ],
)
def test_ids_and_times_of_a_csv_file_mean_what_they_say(
    user: str, item: str, time: str, expected: tuple[int | str, int | str, int], tmp_path: Path
) -> None:
    """Ids are integers only where that loses nothing; a time may be seconds, milliseconds or ISO 8601."""
    path = tmp_path / "mine.csv"
    path.write_text(f"user,item,rating,time\n{user},{item},3,{time}\n")
    data = load_dataset(path)
    assert rows_of(data.ratings) == [(expected[0], expected[1], 3.0, expected[2])]
    assert data.name == "mine"


def test_one_id_that_is_text_makes_its_column_text(tmp_path: Path) -> None:
    """A column is never half integers: `1` beside `x` is the text `1`."""
    path = tmp_path / "mixed.csv"
    path.write_text("user,item,rating,time\n1,5,3,964982703\nx,6,3,964982704\n")
    ratings = load_dataset(path).ratings
    assert ratings.user.tolist() == ["1", "x"]
    assert ratings.item.dtype == np.int64


GOOD = "userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n"


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({}, ["no ratings.csv, ratings.dat or u.data", "nothing"]),
        ({"notes.txt": b"x"}, ["notes.txt"]),
        ({"ratings.csv": b""}, ["ratings.csv, line 1", "user column"]),
        ({"ratings.csv": b"user,item,stars\n1,2,3\n"}, ["line 1", "time column", "timestamp"]),
        ({"ratings.csv": GOOD[:32].encode()}, ["ratings.csv", "no ratings"]),
        (
            {"ratings.csv": (GOOD + "1,31,2.5\n").encode()},
            ["ratings.csv, line 3", "3 columns", "user,item,rating,time"],
        ),
        ({"ratings.csv": (GOOD + "\n1,3x,2.5,1260759144\n").encode()}, ["line 4", "item id '3x'", "4294967295"]),
        ({"ratings.csv": (GOOD + "1,-1,2.5,1260759144\n").encode()}, ["line 3", "item id '-1'"]),
        ({"ratings.csv": (GOOD + "1,31,nan,1260759144\n").encode()}, ["line 3", "rating 'nan'", "finite"]),
        ({"ratings.csv": (GOOD + "1,31,2.5,1260759144000\n").encode()}, ["line 3", "time", "seconds since 1970"]),
        ({"ratings.csv": GOOD.encode() + b"\xff,1,1,1\n"}, ["ratings.csv", "utf-8"]),
        ({"ratings.dat": b"1::2::3\n"}, ["ratings.dat, line 1", "3 columns"]),
        ({"u.data": b"1\t2\tthree\t4\n"}, ["u.data, line 1", "rating 'three'"]),
        ({"ratings.dat": b"1::2::9::1381006850\n"}, ["ratings.dat", "tell their scale"]),
        (latest(ML_ROWS) | {"movies.csv": b"movieId,title\n1,x\n"}, ["movies.csv, line 1", "'genres'"]),
        (latest(ML_ROWS) | {"movies.csv": b"movieId,title,genres\n1,x\n"}, ["movies.csv, line 2", "2 columns"]),
        (latest(ML_ROWS) | {"links.csv": b"movieId,imdbId,tmdbId\n1,1,x\n"}, ["links.csv, line 2", "tmdbId 'x'"]),
        (dat(ML_ROWS) | {"movies.dat": b"31::Alone\n"}, ["movies.dat, line 1", "id::title::genres"]),
        (dat(ML_ROWS) | {"users.dat": b"1::F::1::21::48067\n"}, ["users.dat, line 1", "occupation 21"]),
        (dat(ML_ROWS) | {"users.dat": b"1::F::old::2::48067\n"}, ["users.dat, line 1", "age 'old'"]),
        (tabs(ML_ROWS) | {"u.item": b"1|x\n"}, ["u.item, line 1", "2 columns"]),
        (tabs(ML_ROWS) | {"u.user": b"1|24|M\n"}, ["u.user, line 1", "3 columns"]),
    ],
)
def test_what_cannot_be_read_is_named(files: Files, told: list[str], tmp_path: Path) -> None:
    """A bad data set is one error that names the file, the line where there is one, and what was due."""
    with pytest.raises(DatasetError) as caught:
        load_dataset(folder(tmp_path, files))
    assert [part for part in told if part not in str(caught.value)] == []


def test_a_path_that_is_no_data_set_is_named(tmp_path: Path) -> None:
    """Nothing there, something else there, and a damaged zip are each said."""
    other = tmp_path / "ratings.dat"
    other.write_text("1::2::3::4")
    torn = zipped(tmp_path / "torn.zip", latest(ML_ROWS * 100))
    damaged = torn.read_bytes()
    torn.write_bytes(damaged[:60] + bytes([damaged[60] ^ 255]) + damaged[61:])
    for path, told in [(tmp_path / "none", "no such file"), (other, "neither a folder"), (torn, "fetch the data set")]:
        with pytest.raises(DatasetError, match=told):
            load_dataset(path)


def test_a_rating_outside_the_scale_that_was_told_is_refused(tmp_path: Path) -> None:
    """A told scale is a law for the file: the first line beyond it is named."""
    with pytest.raises(DatasetError, match=r"line 3: the rating '4.0' is not a rating from 0.5 to 3"):
        load_dataset(folder(tmp_path, latest(ML_ROWS)), Scale(0.5, 3))


def test_more_ratings_than_the_limit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file at the limit is read; one row more is an error and never a silent cut."""
    path = folder(tmp_path, latest(ML_ROWS))
    monkeypatch.setattr(rating_rows, "RATINGS_MAX", 3)
    assert len(load_dataset(path).ratings) == 3
    monkeypatch.setattr(rating_rows, "RATINGS_MAX", 2)
    with pytest.raises(DatasetError, match="over 2 ratings"):
        load_dataset(path)


def test_the_shipped_data_set_is_whole_and_carries_its_licence() -> None:
    """ml-latest-small is all there, dated nowhere, and its README is readable beside it."""
    data = bundled_dataset()
    assert (len(data.ratings), len(data.items), len(np.unique(data.ratings.user))) == (100_836, 9_742, 610)
    assert (data.name, data.scale) == ("ml-latest-small", Scale(0.5, 5))
    assert data.items[318].title == "Shawshank Redemption, The (1994)"
    shipped = resources.files("producers") / "data"
    with zipfile.ZipFile(io.BytesIO((shipped / "ml-latest-small.zip").read_bytes())) as archive:
        readme = archive.read("ml-latest-small/README.txt")
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        rows = csv.reader(io.StringIO(archive.read("ml-latest-small/ratings.csv").decode()))
        assert sum(float(row[2]) for row in rows if row[0] != "userId") == data.ratings.rating.sum()
    assert readme == (shipped / "ml-latest-small-README.txt").read_bytes()
    assert b"Usage License" in readme


def ratings_at(times: Sequence[int]) -> Ratings:
    count = len(times)
    rows = np.arange(count, dtype=np.int64)
    return Ratings(rows, rows, np.ones(count), np.array(times, dtype=np.int64))


@given(times=st.lists(st.integers(0, 5), max_size=50), seed=st.integers(0, 2**32))
def test_time_order_only_reorders(times: list[int], seed: int) -> None:
    """Sorted by time, every row kept, the same for the same seed."""
    ordered = time_order(ratings_at(times), seed)
    assert ordered.rated_at_ms.tolist() == sorted(times)
    assert sorted(ordered.user.tolist()) == list(range(len(times)))
    assert [times[row] for row in ordered.user.tolist()] == sorted(times)
    assert rows_of(ordered) == rows_of(time_order(ratings_at(times), seed))


def test_equal_times_are_shuffled_and_pinned() -> None:
    """The order of the file does not leak through equal times, and the default draw never changes."""
    drawn = time_order(ratings_at([0] * 8)).user.tolist()
    assert drawn == [4, 6, 0, 5, 1, 2, 3, 7]
    assert drawn != time_order(ratings_at([0] * 8), seed=1).user.tolist()


def test_rows_are_the_columns_whatever_their_number() -> None:
    """Rows come out block by block, none twice and none missing, as plain Python values."""
    ratings = ratings_at(range(150_000))
    rows = rows_of(ratings)
    assert rows == list(zip(range(150_000), range(150_000), [1.0] * 150_000, range(150_000), strict=True))
    assert {type(value) for value in rows[0]} == {int, float}


def test_columns_have_one_length() -> None:
    """Ratings cannot be made of columns that differ in length."""
    column = np.zeros(2, dtype=np.int64)
    with pytest.raises(ValueError, match="differ in length"):
        Ratings(column, column, np.zeros(1), column)
