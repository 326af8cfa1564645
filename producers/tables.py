"""What a data set is: columns of ratings, a catalogue, users; and the one order in which its ratings are replayed.

An id is an integer where every id of its column is one, otherwise text; times are milliseconds since 1970 (UTC).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from schemas.events import AttributeValue
from schemas.scale import Scale

Id = int | str
IdColumn = NDArray[np.int64] | NDArray[np.object_]

SHUFFLE_SEED = 20_180_926
"""Seeds the order of equal times wherever nobody asks for another; the date of the shipped data set."""
_BLOCK_ROWS = 65_536


class DatasetError(ValueError):
    """A data set that cannot be read: which file, which line, what is wrong and what to do."""

    def __init__(self, problem: str, file: str, line: int | None = None) -> None:
        super().__init__(f"{file}: {problem}" if line is None else f"{file}, line {line}: {problem}")
        self.file = file
        self.line = line


@dataclass(frozen=True, slots=True, eq=False)
class Ratings:
    """Ratings as four columns of one length, in the order of their file until `time_order` sorts them.

    `user` and `item` hold int64, or str objects where some id is no integer; `rating` is float64 on the data set's own
    scale, `rated_at_ms` int64.

    Raises:
        ValueError: columns of different lengths.
    """

    user: IdColumn
    item: IdColumn
    rating: NDArray[np.float64]
    rated_at_ms: NDArray[np.int64]

    def __post_init__(self) -> None:
        if len({len(self.user), len(self.item), len(self.rating), len(self.rated_at_ms)}) != 1:
            raise ValueError("the columns of ratings differ in length")

    def __len__(self) -> int:
        return len(self.rating)

    def take(self, rows: slice | NDArray[np.intp]) -> "Ratings":
        """The rows that a slice or an array of positions names, in its order."""
        return Ratings(self.user[rows], self.item[rows], self.rating[rows], self.rated_at_ms[rows])

    def rows(self) -> Iterator[tuple[Id, Id, float, int]]:
        """(user, item, rating, rated_at_ms) as plain Python values, made a block at a time."""
        columns = (self.user, self.item, self.rating, self.rated_at_ms)
        for start in range(0, len(self), _BLOCK_ROWS):
            block = slice(start, start + _BLOCK_ROWS)
            yield from zip(*(column[block].tolist() for column in columns), strict=True)


@dataclass(frozen=True, slots=True)
class CatalogueItem:
    """What a data set says of an item; `imdb_id` keeps its leading zeros, `tags` come most used first."""

    item_id: Id
    title: str
    genres: tuple[str, ...] = ()
    year: int | None = None
    imdb_id: str | None = None
    tmdb_id: int | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class User:
    """What a data set says of a user; `age` in years, where it gives brackets their lower bound."""

    user_id: Id
    age: int | None = None
    gender: str | None = None
    occupation: str | None = None

    def attributes(self) -> dict[str, AttributeValue | None]:
        """The known attributes under the names that filters use."""
        given = {"age": self.age, "gender": self.gender, "occupation": self.occupation}
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Ratings with everything that came beside them, the catalogue and the users by their ids (empty: none given)."""

    name: str
    ratings: Ratings
    scale: Scale
    items: Mapping[Id, CatalogueItem] = field(default_factory=dict)
    users: Mapping[Id, User] = field(default_factory=dict)


def load_order(ratings: Ratings) -> tuple[Ratings, int]:
    """Ratings in time order as a load sends them: user by user all but the last of each, then those, in time order.

    A user's ratings stay in their order. Returned with them: how many come before those last ones.
    """
    _, numbers = np.unique(ratings.user, return_inverse=True)
    places = np.arange(len(ratings))
    last = np.full(numbers.max(initial=-1) + 1, -1)
    np.maximum.at(last, numbers, places)
    is_last = last[numbers] == places
    earlier = places[~is_last]
    grouped = earlier[np.argsort(numbers[earlier], kind="stable")]
    return ratings.take(np.concatenate((grouped, places[is_last]))), len(earlier)


def time_order(ratings: Ratings, seed: int = SHUFFLE_SEED) -> Ratings:
    """The ratings by time, equal times in an order drawn from the seed alone: the order of the file would leak.

    The draw is a bit generator's raw stream, which numpy keeps the same from version to version.
    """
    draw = np.random.PCG64(seed).random_raw(len(ratings))
    return ratings.take(np.lexsort((draw, ratings.rated_at_ms)))
