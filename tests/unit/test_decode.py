"""What decoding refuses, with which reason, and that it raises nothing else whatever comes."""

import gc
import json
import weakref
from typing import Any, get_args

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.decode import Decoded, RawRecord, WireRules, decode_json, decoder_for
from schemas.events import Rated
from schemas.identity import CatalogueKind
from schemas.reasons import REASONS, MalformedRecordError, Reason
from schemas.scale import Scale

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

NOW = 1_795_348_800_000
DAY = 86_400_000
NOT_FROM_DECODING = {"user_id_collision"}  # the store's: two ids that hash to one point

STRINGS = WireRules(catalogue="string")
STRICT = WireRules(refuse_unknown_fields=True)


def rated(**fields: Any) -> bytes:
    return orjson.dumps({"user_id": "42", "item_id": 318, "rating": 4.5} | fields)


def raw(fields: str) -> bytes:
    """A rating with one field written exactly so: the last of two equal keys counts."""
    return b'{"user_id":"42","item_id":318,"rating":4.5,' + fields.encode() + b"}"


def profile(attributes: str) -> bytes:
    return b'{"type":"profile","user_id":"42","attributes":' + attributes.encode() + b"}"


def without(name: str, document: bytes) -> bytes:
    return orjson.dumps({key: value for key, value in orjson.loads(document).items() if key != name})


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


RETRACTED = b'{"type":"retracted","user_id":"42","item_id":318}'
FORGET = b'{"type":"forget","user_id":"42"}'

# Each case: its reason, what is wrong, the value, words that the message must contain.
BAD_VALUES: list[tuple[Reason, str, bytes | None, str]] = [
    ("empty_value", "null", None, "type forget"),
    ("empty_value", "no bytes", b"", "type forget"),
    ("schema_registry_framing", "magic byte", b"\0\0\0\0\x07" + rated(), "plain JSON"),
    ("schema_registry_framing", "magic byte alone", b"\0", "plain JSON"),
    ("not_json", "blank", b" \n", "empty"),
    ("not_json", "CSV", b"42,318,4.5,964982703", "JSON"),
    ("not_json", "text", b"hello", "JSON"),
    ("not_json", "truncated", rated()[:-1], "end of data"),
    ("not_json", "truncated in the word NaN", b'{"user_id":"42","title":"NaN', "end of data"),
    ("not_json", "single quotes", b"{'user_id': '42'}", "JSON"),
    ("not_json", "trailing comma", b'{"user_id":"42",}', "JSON"),
    ("not_json", "comment", b"// a rating\n" + rated(), "JSON"),
    ("not_json", "two values", rated() + rated(), "JSON"),
    ("not_json", "garbage behind", rated() + b"x", "JSON"),
    ("not_json", "byte order mark", b"\xef\xbb\xbf" + rated(), "byte order mark"),
    ("not_json", "UTF-16", rated().decode().encode("utf-16"), "UTF-8"),
    ("not_json", "Latin-1", b'{"user_id":"zo\xeb","item_id":318,"rating":4.5}', "UTF-8"),
    ("not_json", "overlong UTF-8", b'{"user_id":"\xc0\x80","item_id":318,"rating":4.5}', "UTF-8"),
    ("not_json", "lone surrogate", raw('"user_id":"\\ud800"'), "surrogate"),
    ("not_json", "lone surrogate in a field nobody reads", raw('"x":"\\udfff"'), "surrogate"),
    ("not_json", "raw control character in text", raw('"event_id":"a\nb"'), "JSON"),
    ("not_json", "nested beyond the parser's limit", raw('"x":' + nested(5_000)), "depth limit"),
    ("not_json", "nested arrays alone", b"[" * 100_000, "depth limit"),
    ("not_json", "leading zero", raw('"item_id":0318'), "JSON"),
    ("not_json", "hexadecimal", raw('"item_id":0x13e'), "JSON"),
    ("not_json", "Python's None", raw('"rated_at":None'), "JSON"),
    ("not_finite", "NaN", raw('"rating":NaN'), "NaN"),
    ("not_finite", "-NaN", raw('"rating":-NaN'), "NaN"),
    ("not_finite", "Infinity", raw('"rating":Infinity'), "Infinity"),
    ("not_finite", "-Infinity", raw('"rating":-Infinity'), "Infinity"),
    ("not_finite", "1e400", raw('"rating":1e400'), "1.8e308"),
    ("not_finite", "an integer of 400 digits", raw('"item_id":' + "9" * 400), "1.8e308"),
    ("not_finite", "NaN among the attributes", profile('{"age":NaN}'), "NaN"),
    ("not_finite", "NaN in a field nobody reads", raw('"x":[NaN]'), "NaN"),
    ("not_an_object", "array", b"[" + rated() + b"]", "object"),
    ("not_an_object", "string", b'"rated"', "object"),
    ("not_an_object", "number", b"4.5", "object"),
    ("not_an_object", "null in JSON", b"null", "object"),
    ("not_an_object", "deep arrays", nested(1_000).encode(), "object"),
    ("missing_field", "empty object", b"{}", "'user_id'"),
    ("missing_field", "no user", without("user_id", rated()), "'user_id'"),
    ("missing_field", "no item", without("item_id", rated()), "'item_id'"),
    ("missing_field", "no rating", without("rating", rated()), "'rating'"),
    ("missing_field", "retraction of nothing", without("item_id", RETRACTED), "'item_id'"),
    ("missing_field", "profile without attributes", b'{"type":"profile","user_id":"42"}', "'attributes'"),
    ("missing_field", "forget nobody", b'{"type":"forget"}', "'user_id'"),
    ("missing_field", "names in other case", b'{"userId":"42","itemId":318,"rating":4.5}', "'user_id'"),
    ("wrong_type", "rating as text", rated(rating="4.5"), "rating"),
    ("wrong_type", "rating true", rated(rating=True), "rating"),
    ("wrong_type", "rating null", rated(rating=None), "rating"),
    ("wrong_type", "rating in a list", rated(rating=[4.5]), "rating"),
    ("wrong_type", "rating in an object", rated(rating={"value": 4.5}), "rating"),
    ("wrong_type", "event id a number", rated(event_id=7), "event_id"),
    ("wrong_type", "event id deep", raw('"event_id":' + nested(900)), "event_id"),
    ("wrong_type", "event id over-long", rated(event_id="e" * 257), "256"),
    ("unknown_type", "another word", rated(type="liked"), "rated, retracted, profile, forget"),
    ("unknown_type", "another case", rated(type="Rated"), "rated, retracted, profile, forget"),
    ("unknown_type", "empty", rated(type=""), "rated, retracted, profile, forget"),
    ("unknown_type", "over-long", rated(type="x" * 100_000), "rated, retracted, profile, forget"),
    ("unknown_type", "null", rated(type=None), "not text"),
    ("unknown_type", "number", rated(type=1), "not text"),
    ("unknown_type", "a list, which cannot be hashed", rated(type=["rated"]), "not text"),
    ("unknown_type", "nested deeper than Python can show", raw('"type":' + nested(1_000)), "not text"),
    *[("reserved_type", name, rated(type=name), name) for name in ("shown", "clicked", "viewed", "bought")],
    ("unsupported_schema", "2", rated(schema=2), "schema 1"),
    ("unsupported_schema", "0", rated(schema=0), "schema 1"),
    ("unsupported_schema", "text", rated(schema="1"), "schema 1"),
    ("unsupported_schema", "true", rated(schema=True), "schema 1"),
    ("unsupported_schema", "1.0", rated(schema=1.0), "schema 1"),
    ("unsupported_schema", "null", rated(schema=None), "schema 1"),
    ("bad_user_id", "empty", rated(user_id=""), "1 to 256 bytes"),
    ("bad_user_id", "257 bytes", rated(user_id="u" * 257), "1 to 256 bytes"),
    ("bad_user_id", "258 bytes in 129 characters", rated(user_id="é" * 129), "1 to 256 bytes"),
    ("bad_user_id", "reserved", rated(user_id="_popular"), "reserved"),
    ("bad_user_id", "NUL", rated(user_id="4\x002"), "control characters"),
    ("bad_user_id", "newline", rated(user_id="42\n"), "control characters"),
    ("bad_user_id", "C1 control", rated(user_id="42\x9b"), "control characters"),
    ("bad_user_id", "null", rated(user_id=None), "a string"),
    ("bad_user_id", "true", rated(user_id=True), "a string"),
    ("bad_user_id", "fraction", rated(user_id=42.0), "a string"),
    ("bad_user_id", "2**64", raw('"user_id":18446744073709551616'), "64 bits"),
    ("bad_user_id", "list", rated(user_id=["42"]), "a string"),
    ("bad_user_id", "deep", raw('"user_id":' + nested(1_000)), "a string"),
    ("bad_user_id", "nobody to forget", b'{"type":"forget","user_id":""}', "1 to 256 bytes"),
    ("bad_item_id", "-1", rated(item_id=-1), "-1 lies outside 0..4294967295"),
    ("bad_item_id", "2**32", rated(item_id=2**32), "4294967296 lies outside 0..4294967295"),
    ("bad_item_id", "2**63", rated(item_id=2**63), "outside 0..4294967295"),
    ("bad_item_id", "2**64", raw('"item_id":18446744073709551616'), "0 to 4294967295"),
    ("bad_item_id", "exponent", raw('"item_id":1e3'), "no fraction, no exponent"),
    ("bad_item_id", "fraction", raw('"item_id":318.0'), "no fraction, no exponent"),
    ("bad_item_id", "true", rated(item_id=True), "0 to 4294967295"),
    ("bad_item_id", "null", rated(item_id=None), "0 to 4294967295"),
    ("bad_item_id", "object", rated(item_id={"id": 318}), "0 to 4294967295"),
    ("bad_item_id", "empty text", rated(item_id=""), "1 to 256 bytes"),
    ("bad_item_id", "over-long text", rated(item_id="i" * 257), "1 to 256 bytes"),
    ("bad_item_id", "text with NUL", rated(item_id="tt\0"), "control characters"),
    ("bad_item_id", "of a retraction", RETRACTED.replace(b"318", b"-318"), "-318 lies outside"),
    ("string_item_id", "text where integers are", rated(item_id="318"), "JSON number"),
    ("rating_out_of_scale", "above", rated(rating=5.5), "5.5 lies outside the scale 0.5..5.0"),
    ("rating_out_of_scale", "just above", rated(rating=5.0000001), "5.0000001 lies outside"),
    ("rating_out_of_scale", "below", rated(rating=0), "0.0 lies outside"),
    ("rating_out_of_scale", "negative", rated(rating=-4.5), "-4.5 lies outside"),
    ("rating_out_of_scale", "of another scale", rated(rating=90), "90.0 lies outside"),
    ("rating_out_of_scale", "1e308", raw('"rating":1e308'), "1e+308 lies outside"),
    ("bad_time", "no offset", rated(rated_at="2026-11-22T12:00:00"), "with its offset"),
    ("bad_time", "date alone", rated(rated_at="2026-11-22"), "RFC 3339"),
    ("bad_time", "no such day", rated(rated_at="2026-02-30T12:00:00Z"), "day"),
    ("bad_time", "no such month", rated(rated_at="2026-13-01T12:00:00Z"), "month"),
    ("bad_time", "24 o'clock", rated(rated_at="2026-11-22T24:00:00Z"), "RFC 3339"),
    ("bad_time", "leap second", rated(rated_at="2016-12-31T23:59:60Z"), "leap second"),
    ("bad_time", "offset of a day", rated(rated_at="2026-11-22T12:00:00+24:00"), "RFC 3339"),
    ("bad_time", "year 0", rated(rated_at="0000-01-01T00:00:00Z"), "year"),
    ("bad_time", "year 10000 by its offset", rated(rated_at="9999-12-31T23:59:59-23:59"), "years 1 and 9999"),
    ("bad_time", "digits of another script", rated(rated_at="٢٠٢٦-11-22T12:00:00Z"), "RFC 3339"),
    ("bad_time", "newline behind", rated(rated_at="2026-11-22T12:00:00Z\n"), "RFC 3339"),
    ("bad_time", "English", rated(rated_at="yesterday"), "RFC 3339"),
    ("bad_time", "milliseconds as text", rated(rated_at=str(NOW)), "RFC 3339"),
    ("bad_time", "empty", rated(rated_at=""), "RFC 3339"),
    ("bad_time", "seconds with a fraction", rated(rated_at=1795348800.5), "integer of epoch milliseconds"),
    ("bad_time", "true", rated(rated_at=True), "integer of epoch milliseconds"),
    ("bad_time", "list", rated(rated_at=[2026, 11, 22]), "integer of epoch milliseconds"),
    ("bad_time", "microseconds", rated(rated_at=NOW * 1_000), "finer units"),
    ("bad_time", "nanoseconds", rated(rated_at=NOW * 1_000_000), "finer units"),
    ("bad_time", "far below", rated(rated_at=-(2**63)), "years 1 and 9999"),
    ("bad_time", "of a retraction", RETRACTED[:-1] + b',"rated_at":"now"}', "RFC 3339"),
    ("time_too_early", "seconds as milliseconds", rated(rated_at=NOW // 1_000), "were seconds sent as milliseconds"),
    ("time_too_early", "0", rated(rated_at=0), "before 1990"),
    ("time_too_early", "-1", rated(rated_at=-1), "before 1990"),
    ("time_too_early", "the last of 1989", rated(rated_at="1989-12-31T23:59:59.999Z"), "before 1990"),
    ("time_too_early", "of a retraction", RETRACTED[:-1] + b',"rated_at":1}', "before 1990"),
    ("time_in_future", "a day and 1 ms ahead", rated(rated_at=NOW + DAY + 1), "2026-11-22T12:00:00.000Z"),
    ("time_in_future", "year 9999", rated(rated_at="9999-12-31T23:59:59.999Z"), "over a day after"),
    ("bad_attributes", "null", profile("null"), "an object"),
    ("bad_attributes", "list", profile("[]"), "an object"),
    ("bad_attributes", "text", profile('"age=31"'), "an object"),
    ("bad_attributes", "a list within", profile('{"tags":["a"]}'), "'tags'"),
    ("bad_attributes", "an object within", profile('{"home":{"city":"x"}}'), "'home'"),
    ("bad_attributes", "deep", profile('{"home":' + nested(1_000) + "}"), "'home'"),
    ("bad_attributes", "65 of them", profile(json.dumps({f"a{n}": n for n in range(65)})), "at most 64"),
    ("bad_attributes", "dot in a name", profile('{"home.city":1}'), "'home.city'"),
    ("bad_attributes", "slash in a name", profile('{"home/city":1}'), "'home/city'"),
    ("bad_attributes", "bracket in a name", profile('{"a[]":1}'), "'a[]'"),
    ("bad_attributes", "digit first", profile('{"1a":1}'), "'1a'"),
    ("bad_attributes", "empty name", profile('{"":1}'), "''"),
    ("bad_attributes", "name of 65", profile('{"' + "a" * 65 + '":1}'), "64 at most"),
    ("bad_attributes", "newline behind a name", profile('{"age\\n":1}'), "letters"),
    ("bad_attributes", "over-long text", profile('{"bio":"' + "x" * 257 + '"}'), "256 characters"),
    ("bad_attributes", "2**63", profile('{"n":9223372036854775808}'), "'n' does not lie within"),
    (
        "bad_attributes",
        "2**64, which JSON reads as a float",
        profile('{"n":18446744073709551616}'),
        "'n' does not lie within",
    ),
    ("bad_attributes", "below -2**63", profile('{"n":-9223372036854775809}'), "'n' does not lie within"),
]


def case_id(case: tuple[Any, ...]) -> str:
    return f"{case[0]}: {case[1]}"


def refusal(record: RawRecord, rules: WireRules) -> MalformedRecordError:
    with pytest.raises(MalformedRecordError) as caught:
        decode_json(record, rules)
    return caught.value


@pytest.mark.parametrize("case", BAD_VALUES, ids=case_id)
def test_a_bad_value_is_refused_with_its_reason_and_a_message_that_names_the_fault(
    case: tuple[Reason, str, bytes | None, str],
) -> None:
    """Law: each class of bad bytes has one reason, and its message is short, printable and says what to look for."""
    reason, _, value, words = case
    error = refusal(RawRecord(b"42", value, NOW), WireRules())
    assert error.reason == reason
    assert words in str(error)
    assert len(str(error)) < 400
    assert str(error).isprintable()


# Each case: its reason, what is wrong, the record and the rules it breaks.
BAD_RECORDS: list[tuple[Reason, str, RawRecord, WireRules]] = [
    ("null_key", "a rating", RawRecord(None, rated(), NOW), WireRules()),
    ("null_key", "forget", RawRecord(None, FORGET, NOW), WireRules()),
    ("key_mismatch", "another user", RawRecord(b"43", rated(), NOW), WireRules()),
    ("key_mismatch", "empty", RawRecord(b"", rated(), NOW), WireRules()),
    ("key_mismatch", "with JSON's quotes", RawRecord(b'"42"', rated(), NOW), WireRules()),
    ("key_mismatch", "a binary integer", RawRecord(b"\0\0\0\x2a", rated(), NOW), WireRules()),
    ("key_mismatch", "not UTF-8", RawRecord(b"\xff\xfe", rated(), NOW), WireRules()),
    ("key_mismatch", "Latin-1", RawRecord(b"zo\xeb", rated(user_id="zoë"), NOW), WireRules()),
    ("key_mismatch", "another form of ë", RawRecord("zoe\u0308".encode(), rated(user_id="zo\u00eb"), NOW), WireRules()),
    ("key_mismatch", "leading zero", RawRecord(b"042", rated(user_id=42), NOW), WireRules()),
    ("unknown_field", "where they are refused", RawRecord(b"42", rated(device="x"), NOW), STRICT),
    ("unknown_field", "a field of another type", RawRecord(b"42", FORGET[:-1] + b',"rating":1}', NOW), STRICT),
    ("unknown_field", "the field's name in Python", RawRecord(b"42", rated(schema_version=1), NOW), STRICT),
    ("bad_item_id", "integer where text is", RawRecord(b"42", rated(), NOW), STRINGS),
    ("rating_out_of_scale", "of a scale from -1", RawRecord(b"42", rated(), NOW), WireRules(Scale(-1, 1))),
    ("bad_time", "no time at all", RawRecord(b"42", rated(), None), WireRules()),
    ("bad_time", "no time at all, retracted", RawRecord(b"42", RETRACTED, None), WireRules()),
    ("bad_time", "record time before 1990", RawRecord(b"42", rated(), 0), WireRules()),
    ("bad_time", "record time -1", RawRecord(b"42", rated(), -1), WireRules()),
    ("bad_time", "record time after 9999", RawRecord(b"42", rated(), 2**62), WireRules()),
]


@pytest.mark.parametrize("case", BAD_RECORDS, ids=case_id)
def test_a_record_that_contradicts_its_key_its_time_or_the_rules_is_refused(
    case: tuple[Reason, str, RawRecord, WireRules],
) -> None:
    """Law: key, Kafka timestamp, scale, catalogue and strictness are checked, each with its reason."""
    reason, _, record, rules = case
    assert refusal(record, rules).reason == reason


def test_no_reason_is_without_a_case() -> None:
    """Law: every reason of the closed list is produced by decoding in a case above, or named as produced elsewhere."""
    covered = {case[0] for case in BAD_VALUES} | {case[0] for case in BAD_RECORDS}
    assert covered == set(REASONS) - NOT_FROM_DECODING


def test_an_unknown_field_is_counted_whatever_it_holds() -> None:
    """Law: apps add fields all the time and keep flowing; a field with a name of ours in Python is such a field too."""
    value = rated(x={"a": [1]}, schema_version=7, kind=None)
    decoded = decode_json(RawRecord(b"42", value, NOW), WireRules())
    assert decoded.unknown_fields == 3
    assert decode_json(RawRecord(b"42", raw('"x":' + nested(1_000)), NOW), WireRules()).unknown_fields == 1


def test_a_megabyte_of_attributes_is_refused_by_their_number() -> None:
    """Law: the limits are checked before the values, so that a huge profile costs one sentence, not one per value."""
    value = profile(json.dumps({f"a{n}": [] for n in range(90_000)}))
    assert "at most 64" in str(refusal(RawRecord(b"42", value, NOW), WireRules()))


@pytest.mark.parametrize("timestamp_ms", [None, -1, 0, -(2**63), 2**62])
def test_an_unusable_record_time_is_no_time(timestamp_ms: int | None) -> None:
    """Law: a Kafka timestamp outside 1990..9999 judges no rating's time and never becomes an event's."""
    stated = decode_json(RawRecord(b"42", rated(rated_at=NOW), timestamp_ms), WireRules())
    assert stated.at_ms == NOW
    assert decode_json(RawRecord(b"42", FORGET, timestamp_ms), WireRules()).at_ms == 0


def test_the_formats_decoder_is_found_by_name() -> None:
    """Law: `decoder_for` knows the JSON decoder, the one format there is."""
    assert decoder_for("json") is decode_json


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.sampled_from(["rated", "retracted", "profile", "forget", "42", "2026-11-22T12:00:00Z", NOW, 318, 4.5]),
)
nested_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)
field_names = st.sampled_from(
    ["type", "user_id", "item_id", "rating", "rated_at", "event_id", "schema", "attributes", "x"]
)
documents = st.dictionaries(field_names, nested_values, max_size=9).map(
    lambda drawn: json.dumps({"user_id": "42", "item_id": 318, "rating": 4.5} | drawn).encode()
)
rules = st.builds(
    WireRules,
    catalogue=st.sampled_from(get_args(CatalogueKind)),
    refuse_unknown_fields=st.booleans(),
)


@patient
@given(
    key=st.none() | st.binary(max_size=4) | st.just(b"42"),
    value=st.none() | st.binary(max_size=64) | documents | documents.map(lambda value: value[:-3]),
    timestamp_ms=st.none() | st.integers(-(2**63), 2**63 - 1) | st.just(NOW),
    rules=rules,
)
def test_whatever_the_bytes_an_event_or_a_refusal(
    key: bytes | None, value: bytes | None, timestamp_ms: int | None, rules: WireRules
) -> None:
    """Law: decoding any record gives a `Decoded` or raises `MalformedRecordError`, and nothing else."""
    try:
        decoded = decode_json(RawRecord(key, value, timestamp_ms), rules)
    except MalformedRecordError as error:
        explained = (error.reason, str(error).encode())
    else:
        assert isinstance(decoded, Decoded)
        assert decoded.event.user_id.encode() == key
        assert not isinstance(decoded.event, Rated) or decoded.event.rating in rules.scale
        return
    assert explained[0] in REASONS


class Canary:
    """Stands for what a caller holds while it decodes."""


def refused_beside_a_canary(value: bytes) -> "weakref.ref[Canary]":
    canary, refusals = Canary(), []
    try:
        decode_json(RawRecord(b"ann", value, None), WireRules())
    except MalformedRecordError as error:
        refusals.append(error)
    assert len(refusals) == 1
    return weakref.ref(canary)


@pytest.mark.parametrize(
    "value",
    [
        b"{",
        b'{"user_id": "ann"}',
        b'{"user_id": "", "item_id": 1, "rating": 3}',
        b'{"user_id": "ann", "item_id": -1, "rating": 3}',
        b'{"user_id": "ann", "item_id": 1, "rating": 3, "rated_at": "today"}',
    ],
)
def test_a_refusal_keeps_nothing_alive(value: bytes) -> None:
    """A caller that kept refusals is freed with all it holds, although pydantic's errors escape the collector."""
    canary = refused_beside_a_canary(value)
    gc.collect()
    assert canary() is None
