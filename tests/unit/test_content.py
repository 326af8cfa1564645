"""Content vectors: what they are made of, that they are the same everywhere, and that the matrix keeps up."""

import hashlib
import math
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.catalogue import Catalogue, CatalogueItem
from recommender.content import DIMENSIONS, ContentVectors, Vectors, content_vector, taste_vector
from recommender.item_index import Dense, ItemIndex

NAMES = st.text(min_size=1, max_size=12)


def film(genres: tuple[str, ...] = (), tags: tuple[str, ...] = (), year: int | None = None) -> CatalogueItem:
    return CatalogueItem(None, genres, tags, year)


FILMS = st.builds(
    film,
    genres=st.lists(NAMES, max_size=4).map(tuple),
    tags=st.lists(NAMES, max_size=4).map(tuple),
    year=st.none() | st.integers(1880, 2030),
)
HEAT = film(("Crime", "Drama"), ("heist",), 1995)


class CountingCatalogue(Catalogue):
    """Counts how often it is asked."""

    asked = 0

    def get(self, item: int) -> CatalogueItem | None:
        self.asked += 1
        return super().get(item)


def catalogue_of(films: Mapping[int, CatalogueItem]) -> CountingCatalogue:
    catalogue = CountingCatalogue()
    for item, known in films.items():
        assert catalogue.put(item, known)
    return catalogue


def vector_of(known: CatalogueItem) -> Vectors:
    found = content_vector(known)
    assert found is not None
    return found


def likeness(one: CatalogueItem, other: CatalogueItem) -> float:
    return float(vector_of(one) @ vector_of(other))


def plain_signs(trait: str) -> list[float]:
    """A trait's signs, written out bit by bit."""
    digest = hashlib.blake2b(trait.encode(), digest_size=16, person=b"tastestream.ct").digest()
    bits = [byte >> (7 - place) & 1 for byte in digest for place in range(8)]
    return [(1 if bit else -1) / math.sqrt(128) for bit in bits]


def plain_vector(genres: list[str], tags: list[str], year: int) -> list[float]:
    """The formula of the module in plain Python."""
    share = year % 10 / 10
    terms = [(1 / math.sqrt(len(genres)), f"genre:{name}") for name in genres]
    terms += [(0.3 / math.sqrt(len(tags)), f"tag:{name}") for name in tags]
    terms += [((1 - share) / math.hypot(share, 1 - share), f"decade:{year // 10 * 10}")]
    terms += [(share / math.hypot(share, 1 - share), f"decade:{year // 10 * 10 + 10}")]
    rows = [[weight * sign for sign in plain_signs(trait)] for weight, trait in terms]
    total = [sum(column) for column in zip(*rows, strict=True)]
    length = math.sqrt(sum(value * value for value in total))
    return [value / length for value in total]


def test_a_vector_is_the_formula_written_out() -> None:
    """Genres, tags and the decades around the year, weighted, summed, at length 1."""
    expected = plain_vector(["crime", "drama"], ["heist"], 1995)
    assert vector_of(HEAT) == pytest.approx(np.array(expected), abs=1e-6)


def test_a_vector_is_the_same_in_another_process() -> None:
    """Nothing of a vector depends on the process: neither hash seeds nor what was made before."""
    program = (
        "import collections, recommender.content as c; F = collections.namedtuple('F', 'genres tags year');"
        f"print(c.content_vector(F({HEAT.genres!r}, {HEAT.tags!r}, {HEAT.year})).tobytes().hex())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == vector_of(HEAT).tobytes().hex()


@given(FILMS)
def test_a_vector_has_length_1_or_there_is_none(known: CatalogueItem) -> None:
    """Whatever the traits; and without any there is no vector."""
    found = content_vector(known)
    if known == film():
        assert found is None
    else:
        assert found is not None
        assert found.shape == (DIMENSIONS,)
        assert np.linalg.norm(found) == pytest.approx(1, abs=1e-5)


@given(FILMS, st.randoms(use_true_random=False))
def test_neither_order_nor_case_nor_repetition_of_names_matters(known: CatalogueItem, random: Random) -> None:
    """The same traits give the same bits, however they are listed."""
    shuffled = [*known.genres, *known.genres]
    random.shuffle(shuffled)
    other = replace(known, genres=tuple(shuffled), tags=known.tags[::-1])
    one, two = content_vector(known), content_vector(other)
    assert (one is None) == (two is None)
    if one is not None and two is not None:
        assert one.tobytes() == two.tobytes()
    loud = film(("DRAMA",), ("Noir",), known.year)
    assert vector_of(loud).tobytes() == vector_of(film(("drama",), ("noir",), known.year)).tobytes()


def test_what_is_shared_makes_alike() -> None:
    """More shared genres, and years closer by, are more alike, also across the turn of a decade."""
    assert likeness(HEAT, replace(HEAT, genres=("Crime",))) > likeness(HEAT, replace(HEAT, genres=("Comedy",)))
    by_distance = [likeness(HEAT, replace(HEAT, year=year)) for year in (1995, 1996, 1999, 2004)]
    assert by_distance == sorted(by_distance, reverse=True)
    turn = likeness(film(year=1999), film(year=2000))
    assert turn > likeness(film(year=1999), film(year=1993))


def test_a_taste_is_the_weighted_mean_of_what_is_liked() -> None:
    """Weights are max(0, r − mean + 1) · 0.5^(age / half-life); what lies a star below the mean says nothing."""
    films = [film(("Drama",), (), 1990), film(("Comedy",), (), 2000), film(("War",), (), 1970)]
    vectors = np.stack([vector_of(known) for known in films])
    found = taste_vector(np.array([5.0, 1.0, 4.0]), vectors, half_life=2.0)
    mean = 10 / 3
    expected = (5 - mean + 1) * 0.5 * vectors[0] + (4 - mean + 1) * vectors[2]
    assert found == pytest.approx(expected / np.linalg.norm(expected), abs=1e-6)
    assert taste_vector(np.empty(0), vectors[:0], 2.0) is None
    assert taste_vector(np.array([4.0]), np.zeros((1, DIMENSIONS), np.float32), 2.0) is None


def dense_of(index: ItemIndex, *items: int) -> Dense:
    return index.dense(np.array(items, np.uint32))


def test_the_matrix_follows_the_catalogue() -> None:
    """After every change of the catalogue the vectors are those of its traits: added, altered and removed ones."""
    catalogue, index = catalogue_of({1: HEAT}), ItemIndex()
    vectors = ContentVectors(catalogue, index)
    numbers = dense_of(index, 1, 2)
    assert vectors.of(numbers)[0].tobytes() == vector_of(HEAT).tobytes()
    assert not vectors.of(numbers)[1].any()
    changed = film(("Comedy",), (), 2001)
    catalogue.put(2, changed)
    catalogue.remove(1)
    assert not vectors.of(numbers)[0].any()
    assert vectors.of(numbers)[1].tobytes() == vector_of(changed).tobytes()


def test_a_look_up_asks_only_for_what_may_have_changed() -> None:
    """With an unchanged catalogue nothing is asked, after a change only the items looked up are."""
    catalogue, index = catalogue_of(dict.fromkeys(range(1000), HEAT)), ItemIndex()
    vectors = ContentVectors(catalogue, index)
    vectors.of(dense_of(index, *range(1000)))
    catalogue.asked = 0
    vectors.of(dense_of(index, 1, 2, 3))
    assert catalogue.asked == 0
    catalogue.put(5, film(("War",), (), 1960))
    vectors.of(dense_of(index, 1, 2, 3))
    assert catalogue.asked == 3


@given(st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=6, unique=True), max_size=12))
def test_a_full_matrix_begins_anew(rounds: list[list[int]]) -> None:
    """However few rows it may keep, what it answers is right, and it keeps no more."""
    films = {item: film((f"genre {item}",), (), 1990) for item in range(0, 30, 2)}
    index = ItemIndex()
    vectors = ContentVectors(catalogue_of(films), index, rows_max=6)
    for asked in rounds:
        found = vectors.of(dense_of(index, *asked))
        for item, row in zip(asked, found, strict=True):
            expected = vector_of(films[item]) if item in films else np.zeros(DIMENSIONS, np.float32)
            assert row.tobytes() == expected.tobytes()
        assert len(vectors) <= 6
