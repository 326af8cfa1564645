"""Where a partition begins, and what a batch commits: the arithmetic under the delivery guarantee."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.records import Assigned, Batch, GapError, Position, Record, starting_position

SOURCE = "id:3"
GAPS = {"ratings": [3]}


def assigned(committed: int | None, low: int, marker: int | None = None) -> Assigned:
    return Assigned("ratings", 3, SOURCE, committed, low, marker)


def record(offset: int, partition: int = 0, *, replayed: bool = False) -> Record:
    return Record("ratings", partition, offset, f"id:{partition}", b"u", b"{}", replayed=replayed)


_offsets = st.integers(0, 1_000)
_assigned = st.builds(assigned, st.none() | _offsets, _offsets, st.none() | st.integers(-1, 1_000))


@pytest.mark.parametrize(
    ("committed", "low", "marker", "expected"),
    [
        pytest.param(100, 0, 89, Position(90, 100), id="the store is behind: replay to the committed offset"),
        pytest.param(100, 0, 99, Position(100, 100), id="the store has all that is committed"),
        pytest.param(100, 0, 150, Position(100, 100), id="the store is ahead: go on from what is committed"),
        pytest.param(100, 0, -1, Position(0, 100), id="nothing was verified yet"),
        pytest.param(100, 0, None, Position(0, 100), id="a new store: replay everything"),
        pytest.param(None, 0, None, Position(0, 0), id="a new group and a new store"),
        pytest.param(None, 40, None, Position(40, 40), id="a new group begins at the low watermark"),
        pytest.param(None, 40, 150, Position(40, 40), id="a new group begins at the low watermark, whatever is stored"),
        pytest.param(100, 90, 89, Position(90, 100), id="the topic begins where the store ends"),
    ],
)
def test_where_a_partition_begins(committed: int | None, low: int, marker: int | None, expected: Position) -> None:
    """Law: at what is verified in the store, or what is committed, whichever is lower; live from the committed one."""
    assert starting_position(assigned(committed, low, marker)) == expected


@pytest.mark.parametrize(
    ("committed", "low", "marker", "lost"),
    [
        pytest.param(100, 95, 89, 5, id="between marker and low watermark"),
        pytest.param(100, 95, None, 95, id="a new store cannot be filled"),
        pytest.param(None, 95, 89, 5, id="also without a committed offset"),
        pytest.param(80, 95, 99, 15, id="uncommitted, hence unpublished"),
    ],
)
def test_a_gap_is_refused_unless_it_is_accepted(committed: int | None, low: int, marker: int | None, lost: int) -> None:
    """Law: lost events stop the worker with their number and the way out; accepted, it begins at what is left."""
    place = assigned(committed, low, marker)
    with pytest.raises(GapError, match=rf"ratings \[3\].* {lost} events are lost.*--accept-gap ratings:3"):
        starting_position(place)
    assert starting_position(place, GAPS) == Position(low, max(committed or 0, low))


@pytest.mark.parametrize("others", [{"ratings": [2, 4]}, {"items": [3]}, {"ratings": []}, {}])
def test_accepting_one_gap_accepts_no_other(others: dict[str, list[int]]) -> None:
    """Law: an accepted gap names its topic and its partition."""
    with pytest.raises(GapError):
        starting_position(assigned(100, 95, 89), others)


@given(_assigned)
def test_nothing_is_skipped_silently(place: Assigned) -> None:
    """Law: never beyond what is committed, never beyond what is verified, never below what the topic still has."""
    try:
        position = starting_position(place)
    except GapError:
        return
    assert position.start >= place.low
    assert position.start <= position.committed
    if place.committed is not None:
        assert position.committed == place.committed
        assert position.start <= (-1 if place.marker is None else place.marker) + 1
    if place.committed is None:
        assert position == Position(place.low, place.low)


def needed(place: Assigned) -> int:
    """The first event that must still be in the topic."""
    verified = None if place.marker is None else place.marker + 1
    if place.committed is None:
        return place.low if verified is None else min(place.low, verified)
    return min(place.committed, verified or 0)


@given(_assigned)
def test_a_gap_is_refused_exactly_when_something_needed_is_gone(place: Assigned) -> None:
    """Law: accepted gaps change nothing where there is no gap; where there is one, they begin at what is left."""
    accepted = starting_position(place, GAPS)
    assert accepted.start == max(needed(place), place.low)
    if needed(place) >= place.low:
        assert starting_position(place) == accepted
    else:
        with pytest.raises(GapError):
            starting_position(place)


def test_the_first_offset_of_a_source_is_that_of_its_first_record() -> None:
    """Law: replayed records count, for the marker vouches for everything below them."""
    batch = Batch([record(7, 1, replayed=True), record(3), record(8, 1), record(5)])
    assert batch.first_offsets() == {"id:1": 7, "id:0": 3}


def test_what_is_committed_is_one_past_the_last_record() -> None:
    """Law: per topic and partition, over the offsets that the topic skips."""
    batch = Batch([record(3), record(8, 1), record(9)])
    assert batch.next_offsets() == {("ratings", 0): 10, ("ratings", 1): 9}


def test_replayed_records_are_never_committed() -> None:
    """Law: a replay moves no committed offset, neither back nor on; the live records behind it do."""
    replay = [record(offset, partition, replayed=True) for partition in (0, 1) for offset in (3, 4)]
    assert Batch(replay).next_offsets() == {}
    assert Batch([*replay, record(5, 1)]).next_offsets() == {("ratings", 1): 6}


def test_partitions_of_the_same_number_are_told_apart() -> None:
    """Law: a partition is named by its topic and its number together."""
    batch = Batch([record(3), record(8)._replace(topic="more", source="other:0")])
    assert batch.first_offsets() == {"id:0": 3, "other:0": 8}
    assert batch.next_offsets() == {("ratings", 0): 4, ("more", 0): 9}
