import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.catalogue import Catalogue, CatalogueItem
from recommender.item_filters import ItemFilter
from recommender.item_finder import canonical_link

MATRIX = CatalogueItem(
    "Matrix, The (1999)", ("Action", "Sci-Fi"), ("hacking",), 1999, {"imdb": "0133093", "tmdb": "603"}
)
LOST = CatalogueItem("City of Lost Children, The (Cité des enfants perdus, La) (1995)", ("Adventure",), (), 1995)


def catalogue(**titles: str) -> Catalogue:
    """Items 1, 2, 3, … of these titles."""
    made = Catalogue()
    for number, title in enumerate(titles.values(), 1):
        made.put(number, CatalogueItem(title))
    return made


@pytest.mark.parametrize(
    "asked",
    [
        "Matrix, The (1999)",
        "matrix, the (1999)",
        "The Matrix",
        "the  matrix (1999)",
        "Matrix, The",
        " THE MATRIX ",
    ],
)
def test_a_title_is_found_as_people_type_it(asked: str) -> None:
    """Case, spaces, the year and the place of the article do not count."""
    known = Catalogue()
    known.put(2571, MATRIX)
    assert known.titled(asked) == [2571]


@pytest.mark.parametrize(
    "asked", ["The City of Lost Children", "La Cité des enfants perdus", "city of lost children, the (1995)"]
)
def test_a_title_is_found_by_its_other_name(asked: str) -> None:
    """The name in parentheses is a name, and the one before them is one without it."""
    known = Catalogue()
    known.put(29, LOST)
    assert known.titled(asked) == [29]


def test_a_year_that_is_asked_for_counts() -> None:
    """Two films of one name are both found by it, and one by its year."""
    known = catalogue(a="Sabrina (1954)", b="Sabrina (1995)")
    assert known.titled("sabrina") == [1, 2]
    assert known.titled("Sabrina (1995)") == [2]
    assert known.titled("Sabrina (1996)") == []


def test_nothing_is_guessed() -> None:
    """A part of a title, an empty one and a misspelt one find nothing."""
    known = catalogue(a="Matrix, The (1999)", b="Heat (1995)")
    assert [known.titled(asked) for asked in ("Matr", "", "  ", "Haet", "(1995)")] == [[]] * 5


def test_exactly_this_title_comes_before_what_it_may_mean() -> None:
    """An item whose title is a form of another's can be named."""
    known = catalogue(a="Heat", b="Heat (1995)", c="HEAT")
    assert known.titled("Heat") == [1]
    assert known.titled("heat") == [1, 2, 3]


@pytest.mark.parametrize("asked", ["0133093", "tt0133093", "133093", " TT133093"])
def test_a_link_is_found_however_it_is_written(asked: str) -> None:
    """IMDb's ids come with "tt" and zeros, or without."""
    known = Catalogue()
    known.put(2571, MATRIX)
    assert known.linked("imdb", asked) == [2571]
    assert known.linked("IMDB", asked) == [2571]
    assert known.linked("tmdb", asked) == []


@given(st.integers(0, 10**9), st.integers(0, 4))
def test_the_same_number_is_the_same_link(number: int, zeros: int) -> None:
    """Leading zeros never tell two ids of numbers apart, and other numbers stay apart."""
    assert canonical_link("tmdb", "0" * zeros + str(number)) == canonical_link("tmdb", str(number))
    assert canonical_link("tmdb", str(number)) != canonical_link("tmdb", str(number + 1))


def test_what_was_removed_is_remembered_until_it_comes_back() -> None:
    """Removed items are told apart from those that were never mentioned, and are found by nothing."""
    known = Catalogue()
    known.put(2571, MATRIX)
    known.remove(2571)
    known.remove(9)
    assert known.removed.tolist() == [9, 2571]
    assert (known.get(2571), known.titled("The Matrix"), known.linked("tmdb", "603")) == (None, [], [])
    known.put(2571, MATRIX)
    assert known.removed.tolist() == [9]
    assert known.titled("The Matrix") == [2571]


def test_the_version_rises_with_changes_alone() -> None:
    """Reading the same catalogue twice makes nothing stale."""
    known = Catalogue()
    versions = [known.version]
    for _ in range(2):
        known.put(2571, MATRIX)
        versions.append(known.version)
    for _ in range(2):
        known.remove(2571)
        versions.append(known.version)
    assert versions == [0, 1, 1, 2, 2]


def test_it_holds_so_many_and_no_more() -> None:
    """Known and removed items count; what is there may change all the same."""
    known = Catalogue(items_max=2)
    assert known.put(1, MATRIX)
    assert known.remove(2)
    assert not known.put(3, LOST)
    assert not known.remove(4)
    assert known.put(1, LOST)
    assert known.put(2, MATRIX)
    assert (list(known.items), known.removed.tolist()) == ([1, 2], [])


Known = tuple[int, tuple[str, ...], tuple[str, ...], int | None]
NAMES = st.lists(st.sampled_from(["Drama", "drama", "War", "Comedy"]), max_size=3).map(tuple)
YEARS = st.none() | st.integers(1990, 1995)
ITEMS = st.sampled_from([1, 2, 3, 2**32 - 1])
CHANGES = st.lists(st.tuples(ITEMS, st.none() | st.tuples(NAMES, NAMES, YEARS)), max_size=20)


def passes(asked: ItemFilter, item: int, known: CatalogueItem | None, age_ms: int) -> bool:
    """The filter's own words, one item at a time."""
    known = known or CatalogueItem()
    names = [
        (asked.genres, known.genres),
        (asked.tags, known.tags),
    ]
    if any(wanted and not {w.casefold() for w in wanted} & {h.casefold() for h in have} for wanted, have in names):
        return False
    low, high = asked.year_from, asked.year_to
    if (low, high) != (None, None) and (known.year is None or not (low or 0) <= known.year <= (high or 9999)):
        return False
    recent = asked.popular_now_days is None or age_ms <= asked.popular_now_days * 86_400_000
    return recent and item not in asked.exclude and (not asked.include or item in asked.include)


@given(
    CHANGES,
    st.builds(
        ItemFilter,
        genres=NAMES,
        tags=NAMES,
        year_from=st.none() | st.integers(1989, 1992),
        year_to=st.none() | st.integers(1992, 1996),
        include=st.lists(ITEMS, max_size=3).map(tuple),
        exclude=st.sampled_from([(), (7,)]),
        popular_now_days=st.sampled_from([None, 1.0, 2.5]),
    ),
    st.lists(st.integers(0, 4 * 86_400_000), min_size=6, max_size=6),
)
def test_arrays_filter_as_a_loop_would(
    changes: list[tuple[int, tuple[tuple[str, ...], tuple[str, ...], int | None] | None]],
    asked: ItemFilter,
    ages: list[int],
) -> None:
    """Whatever came, changed and went, a filter lets through what its words say, unknown items included."""
    known = Catalogue()
    for item, what in changes:
        if what is None:
            known.remove(item)
        else:
            known.put(item, CatalogueItem("x", what[0], what[1], what[2]))
        asked.allowed(known, np.array([item], np.uint32), np.zeros(1, np.int64))
    items = [1, 2, 3, 4, 7, 2**32 - 1]
    found = asked.allowed(known, np.array(items, np.uint32), np.array(ages, np.int64))
    assert found.tolist() == [passes(asked, i, known.get(i), age) for i, age in zip(items, ages, strict=True)]


def test_more_items_than_the_arrays_began_with() -> None:
    """Rows beyond the first room keep their years, and unknown items none."""
    known = Catalogue()
    for item in range(3000):
        known.put(item, CatalogueItem(year=1900 + item % 100))
    items = np.arange(4000, dtype=np.uint32)
    found = ItemFilter(year_from=1950, year_to=1950).allowed(known, items)
    assert np.flatnonzero(found).tolist() == list(range(50, 3000, 100))


def test_a_misspelt_genre_is_told() -> None:
    """What no item has is named, whatever its case."""
    known = Catalogue()
    known.put(2571, MATRIX)
    asked = ItemFilter(genres=("action", "Sifi"), tags=("Hacking", "hakking"))
    assert asked.unknown(known) == ["no item has the genre 'Sifi'", "no item has the tag 'hakking'"]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"year_from": 2000, "year_to": 1999}, "swap"),
        ({"include": (1,), "exclude": (1, 2)}, "no item can pass"),
        ({"popular_now_days": 0.0}, "more than 0"),
        ({"popular_now_days": float("nan")}, "more than 0"),
    ],
)
def test_a_filter_that_nothing_can_pass_is_refused(given: dict[str, object], reason: str) -> None:
    """A contradiction is an error that says which, not an empty list."""
    with pytest.raises(ValueError, match=reason):
        ItemFilter(**given)  # type: ignore[arg-type]  # what a request may hold


TITLES = st.sampled_from(["Heat (1995)", "Heat", "Matrix, The (1999)", "The Matrix", None])
IMDB = st.sampled_from(["tt0000001", "1", "2"])


@given(st.lists(st.tuples(ITEMS, st.none() | st.tuples(TITLES, IMDB)), max_size=12))
def test_what_changes_after_the_first_search_is_found_as_if_it_had_always_been_so(
    changes: list[tuple[int, tuple[str | None, str] | None]],
) -> None:
    """The index that a first search makes is kept up with every change: a search finds what a new catalogue would."""
    kept, last = Catalogue(), dict[int, CatalogueItem]()
    assert kept.titled("Heat") == kept.linked("imdb", "1") == []
    for item, what in changes:
        if what is None:
            kept.remove(item)
            last.pop(item, None)
        else:
            last[item] = CatalogueItem(what[0], links={"imdb": what[1]})
            kept.put(item, last[item])
    fresh = Catalogue()
    for item, known in last.items():
        fresh.put(item, known)
    for title in ("Heat", "heat (1995)", "the matrix"):
        assert kept.titled(title) == fresh.titled(title)
    for identity in ("1", "2"):
        assert kept.linked("imdb", identity) == fresh.linked("imdb", identity)
