"""The limits of dead letters: judged before a commit, counted after it, the same however batches are cut."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.dead_letter_limits import DeadLetterLimits, DeadLetterTolerance, TooManyDeadLettersError
from consumers.records import Record
from schemas.reasons import Reason

tolerances = st.builds(
    DeadLetterTolerance,
    run_limit_records=st.integers(0, 6),
    ratio_limit=st.sampled_from([0.0, 0.07, 0.3, 0.5, 0.9, 1.0]),
    window_records=st.integers(4, 12),
    ratio_min_records=st.integers(1, 4),
)
fates = st.lists(st.booleans(), max_size=60)
"""Whether each record is malformed."""


def record(offset: int, *, replayed: bool = False) -> Record:
    return Record("ratings", offset % 3, offset, f"id:{offset % 3}", b"u", b"{", replayed=replayed)


def judge(limits: DeadLetterLimits, first: int, malformed: Sequence[bool], reason: Reason = "not_json") -> None:
    records = [record(first + n) for n in range(len(malformed))]
    limits.judge(records, [(row, reason) for row, bad in zip(records, malformed, strict=True) if bad])


def stopped_at(limits: DeadLetterLimits, malformed: Sequence[bool], size: int) -> int | None:
    """The first record of the batch that is stopped, None where none is."""
    for first in range(0, len(malformed), size):
        try:
            judge(limits, first, malformed[first : first + size])
        except TooManyDeadLettersError:
            return first
        limits.count()
    return None


def should_stop(tolerance: DeadLetterTolerance, malformed: Sequence[bool]) -> bool:
    """Whether the last of these records meets a limit, straight from the definition."""
    if not malformed[-1]:
        return False
    run = 0
    while run < len(malformed) and malformed[-1 - run]:
        run += 1
    last = malformed[-tolerance.window_records :]
    share = sum(last) / max(len(last), tolerance.ratio_min_records)
    too_long = 0 < tolerance.run_limit_records <= run
    return too_long or 0 < tolerance.ratio_limit <= share


@given(tolerance=tolerances, malformed=fates, size=st.integers(1, 20))
def test_the_verdict_is_the_definition_however_batches_are_cut(
    tolerance: DeadLetterTolerance, malformed: list[bool], size: int
) -> None:
    """Law: the batch with the first record that meets a limit is stopped, and none before it."""
    first = next((n for n in range(len(malformed)) if should_stop(tolerance, malformed[: n + 1])), None)
    found = stopped_at(DeadLetterLimits(tolerance), malformed, size)
    assert found == (None if first is None else first - first % size)


@given(tolerance=tolerances, malformed=fates, times=st.integers(2, 4))
def test_a_batch_that_is_handled_again_counts_once(
    tolerance: DeadLetterTolerance, malformed: list[bool], times: int
) -> None:
    """Law: judging changes nothing; only what is committed counts."""
    once, again = DeadLetterLimits(tolerance), DeadLetterLimits(tolerance)
    for first, bad in enumerate(malformed):
        try:
            judge(once, first, [bad])
        except TooManyDeadLettersError:
            with pytest.raises(TooManyDeadLettersError):
                judge(again, first, [bad])
            return
        once.count()
        for _ in range(times):
            judge(again, first, [bad])
        again.count()


@given(malformed=st.lists(st.booleans(), min_size=1, max_size=20))
def test_replayed_records_do_not_count(malformed: list[bool]) -> None:
    """Law: what was judged when it was read for the first time neither lengthens a run nor ends one."""
    limits = DeadLetterLimits(DeadLetterTolerance(run_limit_records=2))
    judge(limits, 0, [True])
    limits.count()
    replay = [record(100 + n, replayed=True) for n in range(len(malformed))]
    limits.judge(replay, [(row, "not_json") for row, bad in zip(replay, malformed, strict=True) if bad])
    limits.count()
    with pytest.raises(TooManyDeadLettersError, match="2 malformed records in a row"):
        judge(limits, 1, [True])


def test_the_message_says_what_how_often_and_where() -> None:
    """Law: the commonest reason, the first and the last place, and the setting that lets it through."""
    limits = DeadLetterLimits(DeadLetterTolerance(run_limit_records=3))
    records = [record(n) for n in (7, 8, 9)]
    reasons: list[Reason] = ["bad_time", "not_json", "not_json"]
    with pytest.raises(TooManyDeadLettersError) as stopped:
        limits.judge(records, zip(records, reasons, strict=True))
    said = str(stopped.value)
    assert "3 malformed records in a row, most often not_json (2 times), from ratings-1@7 to ratings-0@9" in said
    assert "limits.dead_letter_run_limit_records (3; 0 switches it off)" in said
    limits = DeadLetterLimits(DeadLetterTolerance(ratio_limit=0.5, window_records=4, ratio_min_records=4))
    with pytest.raises(TooManyDeadLettersError, match=r"2 of the last 3 records .* limits\.dead_letter_ratio_limit"):
        judge(limits, 0, [True, False, True])


def test_records_in_any_order_of_refusal_are_judged_in_theirs() -> None:
    """Law: what is refused late, as a collision of user ids is, stands in the run where it was read."""
    limits = DeadLetterLimits(DeadLetterTolerance(run_limit_records=3))
    records = [record(n) for n in range(3)]
    with pytest.raises(TooManyDeadLettersError, match="from ratings-0@0 to ratings-2@2"):
        limits.judge(records, [(row, "not_json") for row in reversed(records)])


def test_by_default_nothing_is_a_limit() -> None:
    """Law: limits are the settings' to name."""
    assert stopped_at(DeadLetterLimits(), [True] * 5_000, 1_000) is None
    off = replace(DeadLetterTolerance(), window_records=10, ratio_min_records=1)
    assert stopped_at(DeadLetterLimits(off), [True] * 5_000, 7) is None
