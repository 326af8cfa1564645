"""Dead letters read back: what was written is what is read, and nothing but a marker passes for one."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from schemas.dead_letters import (
    ATTEMPTS_HEADER,
    HEADROOM_BYTES,
    REASON_HEADER,
    REDRIVEN_FROM_HEADER,
    REDRIVEN_HEADER,
    TOPIC_HEADER,
    RefusedRecord,
    dead_letter,
    is_ours,
    size_bytes,
)
from schemas.messages import LOAD_HEADER, Headers, Message
from schemas.reasons import REASONS, MalformedRecordError
from schemas.redriven import (
    Origin,
    original_headers,
    redriven_marker,
    redriven_offsets,
    refusal_of,
    sent_again,
)

AT_MS = 1_795_348_800_012
DLQ = "ratings.dlq"
LETTER = Origin(DLQ, 2, 17)

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    [REDRIVEN_HEADER, REDRIVEN_FROM_HEADER, REASON_HEADER, ATTEMPTS_HEADER, TOPIC_HEADER, "content-type", "ce_id"]
)
headers = st.lists(st.tuples(names, st.none() | st.binary(max_size=12)), max_size=8).map(tuple)
records = st.builds(
    RefusedRecord,
    topic=st.just("ratings"),
    partition=st.integers(0, 2**31 - 1),
    offset=st.integers(0, 2**63 - 1),
    key=st.none() | st.binary(max_size=64),
    value=st.none() | st.binary(max_size=64),
    headers=headers,
    timestamp_ms=st.none() | st.integers(0, 2**50),
)
errors = st.builds(MalformedRecordError, st.sampled_from(REASONS), st.text(max_size=50))


def letter(record: RefusedRecord, error: MalformedRecordError, max_bytes: int | None = None) -> Message:
    return dead_letter(DLQ, record, error, "tests", AT_MS, max_bytes)


@given(record=records, error=errors)
def test_what_is_sent_again_is_what_came(record: RefusedRecord, error: MalformedRecordError) -> None:
    """Law: key, value, headers, time and partition of the original, and with them the attempt and the dead letter."""
    written = letter(record, error)
    again = sent_again(Origin("ratings", record.partition, 0), written.key, written.value, written.headers, LETTER)
    theirs = tuple(header for header in record.headers if not is_ours(header[0]))
    assert (again.topic, again.key, again.value) == ("ratings", record.key, record.value)
    assert (again.partition, again.timestamp_ms) == (record.partition, record.timestamp_ms)
    assert again.headers[: len(theirs)] == theirs == original_headers(written.headers)
    ours = ((ATTEMPTS_HEADER, str(record.attempt).encode()), (REDRIVEN_FROM_HEADER, b"ratings.dlq:2:17"))
    assert again.headers[len(theirs) :] == ours


@given(record=records, error=errors)
def test_what_is_sent_again_is_no_loaded_history(record: RefusedRecord, error: MalformedRecordError) -> None:
    """Law: nothing need follow a letter that is sent again, so it may not leave its list to a later record."""
    written = letter(replace(record, headers=(*record.headers, LOAD_HEADER)), error)
    again = sent_again(Origin("ratings", record.partition, 0), written.key, written.value, written.headers, LETTER)
    assert LOAD_HEADER not in again.headers


@given(record=records, error=errors, times=st.integers(1, 4))
def test_each_time_it_is_sent_again_the_attempt_rises(
    record: RefusedRecord, error: MalformedRecordError, times: int
) -> None:
    """Law: refused again, the dead letter of what was sent again tells of one attempt more."""
    first = record.attempt
    for attempt in range(first, first + times):
        written = letter(record, error)
        assert refusal_of(written.headers).attempts == attempt
        again = sent_again(LETTER, written.key, written.value, written.headers, LETTER)
        record = RefusedRecord("ratings", 0, 9, again.key, again.value, again.headers)


@given(record=records, error=errors)
def test_a_dead_letter_says_what_was_written(record: RefusedRecord, error: MalformedRecordError) -> None:
    """Law: reason, origin and time are read as they were written, whatever headers the original carries."""
    found = refusal_of(letter(record, error).headers)
    assert (found.reason, found.omitted) == (error.reason, ())
    assert found.origin == Origin(record.topic, record.partition, record.offset)
    assert found.timestamp_ms == record.timestamp_ms


@given(record=records, error=errors)
def test_no_dead_letter_passes_for_a_marker(record: RefusedRecord, error: MalformedRecordError) -> None:
    """Law: a sender who knows the marker's header cannot have other dead letters taken for sent."""
    written = letter(record, error)
    assert redriven_offsets(written.headers, b'{"redriven": [1, 2]}') is None
    forged: Headers = ((REDRIVEN_HEADER, b"1"), *written.headers)
    assert redriven_offsets(forged, b'{"redriven": [1, 2]}') is None


@given(offsets=st.sets(st.integers(0, 2**63 - 1), min_size=1, max_size=20))
def test_a_marker_names_its_dead_letters(offsets: set[int]) -> None:
    """Law: a marker is read as it was written, and stands in the partition of the dead letters it names."""
    marker = redriven_marker(DLQ, 3, offsets, "tests", AT_MS)
    assert (marker.topic, marker.partition, marker.key) == (DLQ, 3, None)
    assert redriven_offsets(marker.headers, marker.value) == frozenset(offsets)


@given(value=st.none() | st.binary(max_size=30) | st.sampled_from([b"[]", b"{}", b'{"redriven": 1}']))
def test_a_marker_that_cannot_be_read_is_an_error(value: bytes | None) -> None:
    """Law: where it is not known what was sent, nothing is sent."""
    try:
        redriven_offsets(((REDRIVEN_HEADER, b"1"),), value)
    except ValueError:
        return
    raise AssertionError(value)


@given(headers=st.lists(st.tuples(names, st.none() | st.binary(max_size=30)), max_size=8).map(tuple))
def test_whatever_the_headers_say_they_are_read(headers: Headers) -> None:
    """Law: a record of somebody else's in the dead-letter topic is shown, and fails nothing."""
    assert refusal_of(headers).attempts >= 1


@given(record=records, error=errors, size=st.integers(0, 300_000))
def test_what_exceeds_the_limit_says_what_it_leaves_out(
    record: RefusedRecord, error: MalformedRecordError, size: int
) -> None:
    """Law: a dead letter never exceeds the topic's limit; what is left out of it is named, and never cut."""
    large = RefusedRecord("ratings", 1, 2, record.key, b"x" * size, record.headers)
    limit = 100_000 + HEADROOM_BYTES
    written = letter(large, error, limit)
    assert size_bytes(written) <= limit
    found = refusal_of(written.headers)
    if found.omitted:
        assert size_bytes(letter(large, error)) > limit
        assert (written.value, found.value_bytes) == (None, size)
        assert ("key" in found.omitted) == (written.key != record.key)
        assert ("headers" in found.omitted) == bool(original_headers(letter(large, error).headers))
    else:
        assert written == letter(large, error)


def test_a_key_that_is_too_large_is_left_out_too() -> None:
    """Law: nothing of the original is so large that its dead letter cannot be written."""
    record = RefusedRecord("ratings", 1, 2, b"k" * 200_000, None, (("h", b"x" * 200_000),))
    written = letter(record, MalformedRecordError("not_json", "because"), HEADROOM_BYTES)
    assert refusal_of(written.headers).omitted == ("key", "headers")
    assert size_bytes(written) < HEADROOM_BYTES
