"""Data sets as the command line names them: a path, `bundled`, or `synthetic:users=100,items=200,ratings=30,seed=1`."""

from pathlib import Path

from producers.datasets import bundled_dataset, load_dataset
from producers.synthetic import SyntheticPlan, synthetic_dataset
from producers.tables import Dataset, DatasetError
from schemas.scale import Scale

BUNDLED = "bundled"
SYNTHETIC = "synthetic"
HELP = (
    "Folder, zip or CSV file; or `bundled` (MovieLens ml-latest-small, 100,836 ratings); or "
    "`synthetic[:users=N,items=N,ratings=N,seed=N,fashion=N]` (ratings: mean per user; fashion: how strong, 0 is none)."
)
_FIELDS = {
    "users": "users",
    "items": "items",
    "ratings": "mean_ratings_per_user",
    "seed": "seed",
    "fashion": "fashion_strength",
}


def named_dataset(name: str, scale: Scale | None = None) -> Dataset:
    """The data set of a name; every rating of a file must lie on `scale` where it is given.

    Raises:
        DatasetError: there is none of this name, or it cannot be read.
    """
    if name == BUNDLED:
        return bundled_dataset()
    kind, _, arguments = name.partition(":")
    if kind == SYNTHETIC:
        return synthetic_dataset(_plan(name, arguments))
    return load_dataset(Path(name), scale)


def _plan(name: str, arguments: str) -> SyntheticPlan:
    given: dict[str, int] = {}
    for argument in filter(None, arguments.split(",")):
        key, _, value = argument.partition("=")
        if key not in _FIELDS or not value.isdecimal():
            raise DatasetError(f"{argument!r} is not one of {', '.join(f'{key}=N' for key in _FIELDS)}", name)
        given[_FIELDS[key]] = int(value)
    try:
        return SyntheticPlan(**given)
    except ValueError as error:
        raise DatasetError(str(error), name) from error
