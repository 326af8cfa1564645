"""Where a reply goes: as the request's headers say, within what is allowed, and never into nowhere."""

import pytest

from consumers.answering.reply_address import CORRELATION_MAX_BYTES, Addresses, Destination
from consumers.records import Record
from schemas.replies import CORRELATION_HEADER, REPLY_PARTITION_HEADER, REPLY_TOPIC_HEADER

ADDRESSES = Addresses(
    "replies", {"replies": Destination(6, 900), "app": Destination(3, 500)}, frozenset({"app", "gone"})
)


def record(key: bytes | None = b"r1", **headers: bytes) -> Record:
    names = {"topic": REPLY_TOPIC_HEADER, "partition": REPLY_PARTITION_HEADER, "correlation": CORRELATION_HEADER}
    return Record("requests", 2, 7, "requests:2", key, b"", tuple((names[k], v) for k, v in headers.items()))


def test_without_headers_a_reply_goes_to_the_usual_topic_by_its_key() -> None:
    """The partitioner places it, under the request's own id."""
    address, error = ADDRESSES.of(record())
    assert error is None
    assert (address.topic, address.partition, address.request_id, address.correlation) == ("replies", None, "r1", None)


def test_a_request_without_a_key_is_known_by_its_place() -> None:
    """Its sender was told where it stands."""
    address, error = ADDRESSES.of(record(None))
    assert (address.request_id, error) == ("requests:2:7", None)


@pytest.mark.parametrize("key", [b"", b"\xff", b"a\n", b"x" * 257])
def test_a_key_that_is_no_id_is_an_error_under_the_request_s_place(key: bytes) -> None:
    """Nothing of it goes into keys or logs."""
    address, error = ADDRESSES.of(record(key))
    assert error is not None
    assert (address.request_id, error.code) == ("requests:2:7", "bad_request_id")


def test_topic_partition_and_correlation_id_are_taken_as_they_stand() -> None:
    """An allowed topic, four bytes of partition, any bytes of correlation."""
    address, error = ADDRESSES.of(record(topic=b"app", partition=b"\0\0\0\2", correlation=b"\0\xff"))
    assert error is None
    assert (address.topic, address.partition, address.correlation) == ("app", 2, b"\0\xff")
    assert ADDRESSES.reply_max_bytes(address) == 500


@pytest.mark.parametrize(
    "headers",
    [
        {"topic": b"ratings"},
        {"topic": b"\xff"},
        {"topic": b"gone"},
        {"topic": b"app", "partition": b"\0\0\0\3"},
        {"topic": b"app", "partition": b"\xff\xff\xff\xff"},
        {"partition": b"1"},
        {"partition": b""},
    ],
)
def test_what_may_not_be_is_an_error_to_the_usual_topic(headers: dict[str, bytes]) -> None:
    """A topic that is not allowed or not there, a partition that is none: the default gets the error, correlated."""
    address, error = ADDRESSES.of(record(**headers, correlation=b"c"))
    assert error is not None
    assert error.code == "bad_reply_topic"
    assert (address.topic, address.partition, address.correlation) == ("replies", None, b"c")


def test_a_correlation_id_without_end_is_not_echoed() -> None:
    """A header that is larger than any id is left out."""
    address, _ = ADDRESSES.of(record(correlation=b"c" * (CORRELATION_MAX_BYTES + 1)))
    assert address.correlation is None
