"""Compare a dump of the store with the ratings themselves. Imports nothing of the project: csv, json, math, zipfile.

Usage: python independent_check.py RATINGS.zip DUMP.jsonl

Every user's number of ratings, mean, and items with their ratings are recomputed from the CSV; the last line printed is
"N users, M wrong", and the exit code is 1 unless M is 0.
"""

import csv
import io
import json
import math
import sys
import zipfile
from pathlib import Path


def rated(archive: str) -> dict[str, dict[int, float]]:
    """Ratings by user and item."""
    with zipfile.ZipFile(archive) as folder:
        name = next(name for name in folder.namelist() if name.endswith("ratings.csv"))
        rows = csv.DictReader(io.StringIO(folder.read(name).decode()))
        users: dict[str, dict[int, float]] = {}
        for row in sorted(rows, key=lambda row: int(row["timestamp"])):
            users.setdefault(row["userId"], {})[int(row["movieId"])] = float(row["rating"])
    return users


def stored(dump: str) -> dict[str, dict[str, object]]:
    """Users of the dump."""
    lines = (json.loads(line) for line in Path(dump).read_text().splitlines())
    return {line["user_id"]: line for line in lines if line.get("user_id")}


def problem(user: dict[str, object] | None, ratings: dict[int, float]) -> str:
    """What is wrong with a user, or nothing."""
    if user is None:
        return "not in the store"
    if user["num_ratings"] != len(ratings):
        return f"{user['num_ratings']} ratings, not {len(ratings)}"
    mean = math.fsum(ratings.values()) / len(ratings)
    if user["avg_rating"] != mean:
        return f"mean {user['avg_rating']}, not {mean}"
    items = {int(row[0]): row[1] for row in user["items"]}  # type: ignore[attr-defined]
    return "" if items == ratings else f"items {sorted(set(items.items()) ^ set(ratings.items()))[:3]} differ"


def main(archive: str, dump: str) -> int:
    """The exit code."""
    expected, found = rated(archive), stored(dump)
    wrong = {user: why for user, ratings in expected.items() if (why := problem(found.get(user), ratings))}
    wrong |= dict.fromkeys(found.keys() - expected.keys(), "never rated")
    for user, why in wrong.items():
        print(f"user {user}: {why}")  # noqa: T201  # a script's output
    print(f"{len(expected)} users, {len(wrong)} wrong")  # noqa: T201  # a script's output
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
