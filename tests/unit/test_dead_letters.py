"""Dead letters: what came is kept to the byte, and why it was refused stands in headers."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.dead_letters import (
    ATTEMPTS_HEADER,
    EXPLANATION_MAX_CHARS,
    HEADROOM_BYTES,
    REASON_HEADER,
    RefusedRecord,
    dead_letter,
)
from schemas.messages import Headers, Message
from schemas.reasons import REASONS, MalformedRecordError

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

AT_MS = 1_795_348_800_012
CONNECT = "__connect.errors."

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
headers = st.lists(
    st.tuples(
        names | st.sampled_from([REASON_HEADER, ATTEMPTS_HEADER, "content-type", "ce_id", CONNECT + "stage"]),
        st.none() | st.binary(max_size=12),
    ),
    max_size=8,
).map(tuple)
records = st.builds(
    RefusedRecord,
    topic=st.sampled_from(["ratings", "t" * 249]),
    partition=st.integers(0, 2**31 - 1),
    offset=st.integers(0, 2**63 - 1),
    key=st.none() | st.binary(max_size=64),
    value=st.none() | st.binary(max_size=64),
    headers=headers,
)
errors = st.builds(MalformedRecordError, st.sampled_from(REASONS), st.text(max_size=2_000))


def is_ours(name: str) -> bool:
    return name.startswith(CONNECT) or name in {REASON_HEADER, ATTEMPTS_HEADER}


def size(headers: Headers) -> int:
    return sum(len(name.encode()) + len(value or b"") + 10 for name, value in headers)


def letter(record: RefusedRecord, error: MalformedRecordError) -> Message:
    return dead_letter("ratings.dlq", record, error, "tastestream/test", AT_MS)


@patient
@given(record=records, error=errors)
def test_key_and_value_are_the_original_bytes(record: RefusedRecord, error: MalformedRecordError) -> None:
    """Law: a dead letter can be sent again as it is, null key and null value included."""
    message = letter(record, error)
    assert (message.topic, message.key, message.value) == ("ratings.dlq", record.key, record.value)


@patient
@given(record=records, error=errors)
def test_the_original_headers_come_first_and_untouched(record: RefusedRecord, error: MalformedRecordError) -> None:
    """Law: an app's headers, repeated ones too, keep values and order; ours never stand beside one of the same name."""
    message = letter(record, error)
    theirs = tuple(header for header in record.headers if not is_ours(header[0]))
    added = message.headers[len(theirs) :]
    assert message.headers[: len(theirs)] == theirs
    assert not {name for name, _ in added} & {name for name, _ in theirs}
    assert len({name for name, _ in added}) == len(added)


@patient
@given(record=records, error=errors)
def test_why_and_where_from_are_said_anew(record: RefusedRecord, error: MalformedRecordError) -> None:
    """Law: of a record that comes back from the dead letters only the newest refusal is told."""
    told = [header for header in letter(record, error).headers if is_ours(header[0])]
    assert dict(told)[REASON_HEADER] == error.reason.encode()
    assert dict(told)[CONNECT + "topic"] == record.topic.encode()
    assert dict(told)[CONNECT + "partition"] == str(record.partition).encode()
    assert dict(told)[CONNECT + "offset"] == str(record.offset).encode()
    assert len(told) == 8


@patient
@given(record=records, error=errors)
def test_what_is_added_fits_the_headroom(record: RefusedRecord, error: MalformedRecordError) -> None:
    """Law: a record at the input's size limit still fits the dead-letter topic."""
    assert size(letter(record, error).headers) - size(record.headers) < HEADROOM_BYTES // 2


@patient
@given(record=records, error=errors, times=st.integers(1, 4))
def test_each_refusal_of_a_record_counts_one_attempt_more(
    record: RefusedRecord, error: MalformedRecordError, times: int
) -> None:
    """Law: sent again from the dead letters and refused again, the attempts rise by one each time."""
    first = record.attempt
    for expected in range(first, first + times):
        message = letter(record, error)
        assert dict(message.headers)[ATTEMPTS_HEADER] == str(expected).encode()
        record = RefusedRecord(
            record.topic, record.partition, record.offset, message.key, message.value, message.headers
        )
    assert record.attempt == first + times


@patient
@given(said=st.none() | st.binary(max_size=20) | st.from_regex(rb"[0-9]{1,12}", fullmatch=True))
def test_whatever_the_attempts_header_says_there_is_a_count(said: bytes | None) -> None:
    """Law: a header that is no count, or one that nobody can have reached, starts again at 1."""
    attempt = RefusedRecord("ratings", 0, 0, None, None, ((ATTEMPTS_HEADER, said),)).attempt
    assert 1 <= attempt <= 10**9
    assert attempt == 1 or (said is not None and attempt == int(said) + 1)


def test_an_endless_explanation_is_cut() -> None:
    """Law: the message in the header has at most EXPLANATION_MAX_CHARS characters, and a lone surrogate is replaced."""
    record = RefusedRecord("ratings", 0, 0, None, None)
    message = letter(record, MalformedRecordError("not_json", "\ud800" + "x" * 5_000))
    explained = dict(message.headers)[CONNECT + "exception.message"]
    assert explained == b"?" + b"x" * (EXPLANATION_MAX_CHARS - 1)
