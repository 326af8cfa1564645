"""Factors as a file, which every worker of a deployment is given: numpy's own format, without pickles."""

import os
import zipfile
from functools import lru_cache
from pathlib import Path

import numpy as np

from consumers.factor_training import FactorError
from recommender.factors import Factors


@lru_cache(1)
def read_factors_once(path: Path) -> Factors:
    """The same as `read_factors`, once per process: whoever makes the store and whoever fills it have the same ones."""
    return read_factors(path)


def write_factors(factors: Factors, path: Path) -> None:
    """Write the file, or leave the one before it as it is.

    Raises:
        FactorError: the file cannot be written.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            np.savez(file, items=factors.items, factors=factors.matrix)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise FactorError(f"factors cannot be written to {path}: {error.strerror}") from error


def read_factors(path: Path) -> Factors:
    """The factors of a file.

    Raises:
        FactorError: there is no such file, or it holds no factors.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            return Factors(stored["items"].astype(np.uint32), stored["factors"].astype(np.float32))
    except FileNotFoundError:
        raise FactorError(f"there is no file {path}: make it with `tastestream factors train`") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise FactorError(f"{path} holds no factors ({error}): make them with `tastestream factors train`") from error
