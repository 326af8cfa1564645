"""`tastestream run` with everything loaded beforehand: it begins when a line comes, so that kills may follow closely.

    python warm_worker.py DELIVERIES_FILE exactly-once|no-deduplication run ...

How many records each poll returned is appended to the file, so that redelivered ones are known of processes that were
killed. With `no-deduplication` the fold takes every event it is given, also one that it has taken before: what a worker
without the offsets in its states would do.
"""

import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

from consumers import user_states
from consumers.cli import main
from consumers.records import Batch
from consumers.settings import load_settings
from consumers.source import KafkaSource
from recommender.profile import HistoryLimits, Update, UserState, fold


def note_deliveries(file: str) -> None:
    """Append the number of records of every poll to a file, a line each."""
    notes = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    setattr(KafkaSource, "poll", _noted(KafkaSource.poll, partial(os.write, notes)))  # noqa: B010 - mypy: a method


def _noted(poll: Callable[..., Batch], note: Callable[[bytes], int]) -> Callable[..., Batch]:
    def polled(source: KafkaSource, timeout_s: float | None = None) -> Batch:
        batch = poll(source, timeout_s)
        if batch.records:
            note(b"%d\n" % len(batch.records))
        return batch

    return polled


def remove_deduplication() -> None:
    """Let nothing count as applied before."""
    setattr(user_states, "fold", fold_all)  # noqa: B010 - mypy: a function of another module
    setattr(UserState, "has_applied", lambda *_: False)  # noqa: B010 - mypy: a method


def fold_all(state: UserState, updates: Iterable[Update], limits: HistoryLimits) -> UserState:
    """The fold of all updates, whatever was applied before."""
    folded = fold(replace(state, offsets={}), updates, limits)
    return replace(folded, offsets={**state.offsets, **folded.offsets})


if __name__ == "__main__":
    deliveries, build = sys.argv[1:3]
    note_deliveries(deliveries)
    if build == "no-deduplication":
        remove_deduplication()
    if load_settings().qdrant.store == "server":
        import consumers.stores.server  # noqa: F401 - what takes longest to load
    if sys.stdin.readline():
        sys.argv[1:] = sys.argv[3:]
        main()
