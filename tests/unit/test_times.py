"""Instants on the wire."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.times import LATEST_MS, format_time, parse_time

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

FIRST_MS = parse_time("0001-01-01T00:00:00Z")


@patient
@given(epoch_ms=st.integers(FIRST_MS, LATEST_MS))
def test_a_written_time_reads_as_itself(epoch_ms: int) -> None:
    """Law: every millisecond of the years 1 to 9999 survives being written and read."""
    assert parse_time(format_time(epoch_ms)) == epoch_ms


@patient
@given(first=st.integers(FIRST_MS, LATEST_MS), second=st.integers(FIRST_MS, LATEST_MS))
def test_written_times_sort_as_instants(first: int, second: int) -> None:
    """Law: written times have one width and sort as text, so that a reader may compare them as they stand."""
    assert (first < second) == (format_time(first) < format_time(second))


@pytest.mark.parametrize(
    ("text", "epoch_ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1969-12-31T23:59:59.999Z", -1),
        ("1969-12-31T23:59:59.9999Z", -1),
        ("2026-11-22T12:00:00Z", 1_795_348_800_000),
        ("2026-11-22t12:00:00z", 1_795_348_800_000),
        ("2026-11-22 12:00:00-00:00", 1_795_348_800_000),
        ("2026-11-22T17:45:00.1+05:45", 1_795_348_800_100),
        ("2026-11-22T12:00:00.0129999999Z", 1_795_348_800_012),
        ("9999-12-31T23:59:59.999Z", LATEST_MS),
    ],
)
def test_rfc_3339_in_all_its_spellings(text: str, epoch_ms: int) -> None:
    """Law: offsets are applied, letters may be small, digits finer than milliseconds are cut."""
    assert parse_time(text) == epoch_ms


@pytest.mark.parametrize("epoch_ms", [FIRST_MS - 1, LATEST_MS + 1, 2**63])
def test_no_time_is_written_that_nobody_can_read(epoch_ms: int) -> None:
    """Law: outside the calendar writing raises OverflowError instead of writing something else."""
    with pytest.raises(OverflowError):
        format_time(epoch_ms)


@patient
@given(text=st.text(max_size=32) | st.from_regex(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)"))
def test_a_text_is_a_time_or_a_value_error(text: str) -> None:
    """Law: parsing raises ValueError only, and gives instants that can be written."""
    try:
        epoch_ms = parse_time(text)
    except ValueError:
        return
    format_time(epoch_ms)
