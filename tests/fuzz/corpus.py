"""The classes of records that the door must know apart, each with what must become of it.

A class is a small generator: the same chance gives the same record. Expected is "accepted" or the reason of the dead
letter; a sample that was bent out of shape may end in anything that the laws allow.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

from inputs import NOW_MS, Input, RulesName

from schemas.messages import Headers
from schemas.reasons import Reason
from schemas.times import EARLIEST_MS, FUTURE_TOLERANCE_MS, LATEST_MS

Expected = Literal["accepted"] | Reason

FORGET = '{"type":"forget","user_id":"42"}'
RETRACTED = '{"type":"retracted","user_id":"42","item_id":318}'
DEEP = 900
TOO_DEEP = 5_000
HUGE_CHARS = 20_000
WEIRD_HEADERS: Headers = (
    ("", b""),
    ("ce_id", None),
    ("tastestream-attempts", b"99999999999"),
    ("tastestream-reason", b"theirs"),
    ("__connect.errors.offset", b"-1"),
    ("trace", b"\x00\xff"),
    ("trace", b"again"),
    ("ключ", b"\xf0\x28\x8c\x28"),
)


@dataclass(frozen=True, slots=True)
class RecordClass:
    """A class of records: its name, what must become of a sample, and how a sample is made."""

    name: str
    expected: Expected
    make: Callable[[Random], Input]


def rated(**changed: Any) -> str:
    """A good rating but for what is changed; `...` leaves a field out."""
    fields = {"user_id": "42", "item_id": 318, "rating": 4.5, "rated_at": "2026-11-22T12:00:00Z"} | changed
    return json.dumps({name: value for name, value in fields.items() if value is not ...}, ensure_ascii=False)


def written(fields: str) -> str:
    """A good rating with fields behind it exactly as they are written: of two equal names the last counts."""
    return '{"user_id":"42","item_id":318,"rating":4.5,' + fields + "}"


def each(field: str, *values: Any) -> list[str]:
    """Ratings in which this one field has each of these values."""
    return [rated(**{field: value}) for value in values]


def each_written(field: str, *texts: str) -> list[str]:
    """Ratings in which this one field is written as each of these texts."""
    return [written(f'"{field}":{text}') for text in texts]


def profile(attributes: str) -> str:
    """A profile event with attributes exactly as they are written."""
    return '{"type":"profile","user_id":"42","attributes":' + attributes + "}"


def nested(depth: int) -> str:
    """Arrays in arrays."""
    return "[" * depth + "]" * depth


def _class(expected: Expected, name: str, *texts: str | bytes, **place: Any) -> RecordClass:
    """A class whose samples are these values, at one place."""
    values = [text.encode() if isinstance(text, str) else text for text in texts]
    return RecordClass(name, expected, lambda chance: Input(chance.choice(values), **place))


def _keyed(expected: Expected, name: str, *users: str, rules: RulesName = "plain") -> RecordClass:
    """A class of ratings by these users, each with the right key."""

    def make(chance: Random) -> Input:
        user = chance.choice(users)
        return Input(rated(user_id=user).encode(), user.encode(), rules=rules)

    return RecordClass(name, expected, make)


def _random_rating(chance: Random) -> Input:
    user, at_ms = str(chance.randrange(40)), chance.randint(EARLIEST_MS, NOW_MS)
    value = rated(user_id=user, item_id=chance.randrange(200), rating=chance.randint(1, 10) / 2, rated_at=at_ms)
    return Input(value.encode(), user.encode())


def _random_noise(chance: Random) -> Input:
    # No JSON value begins with such a byte.
    return Input(bytes([chance.randint(1, 8)]) + chance.randbytes(chance.randrange(64)), chance.randbytes(3))


def _random_attributes(chance: Random) -> Input:
    names = [f"a{number}" for number in range(chance.randrange(1, 65))]
    values = (True, None, -0.0, 5e-324, 2**53 + 1, 2**63 - 1, -(2**63) + 1, "é\u202e", "", "x" * 256)
    attributes = {name: chance.choice(values) for name in names}
    return Input(profile(json.dumps(attributes)).encode())


ACCEPTED = [
    RecordClass("a rating like any other", "accepted", _random_rating),
    RecordClass("attributes of every kind", "accepted", _random_attributes),
    _class("accepted", "user id an integer", rated(user_id=42), written('"user_id":42')),
    _keyed("accepted", "user id of 256 bytes", "u" * 256, "é" * 128, "\U0001f600" * 64),
    _keyed(
        "accepted",
        "user id of any script",
        "zoë",
        "\u202eevil",
        "\u200b",
        "\ufeff42",
        "日本",
        "../..",
        "' OR 1=1",
        "\\",
    ),
    _class("accepted", "user id written with escapes", written('"user_id":"\\u0034\\u0032"')),
    _class("accepted", "name written with escapes", '{"\\u0075ser_id":"42","item_id":1,"rating":1}'),
    _class("accepted", "item ids at the limits", rated(item_id=0), rated(item_id=2**32 - 1), written('"item_id":-0')),
    _class("accepted", "ratings at the limits", rated(rating=0.5), rated(rating=5), rated(rating=5.0)),
    _class("accepted", "numbers written oddly", written('"rating":45e-1'), written('"rating":0.0045E+3')),
    _class("accepted", "rounds to the scale's end", written('"rating":5.0000000000000000001')),
    _class("accepted", "a signed scale", rated(rating=-1), rated(rating=-0.0), rated(rating=5e-324), rules="signed"),
    _class(
        "accepted",
        "of equal keys the last is good",
        '{"rating":null,"rating":1,"user_id":"42","item_id":1}',
    ),
    _class("accepted", "white space everywhere", "\t\r\n " + json.dumps(json.loads(rated()), indent=4) + "\n\n"),
    _class(
        "accepted",
        "times with offsets",
        *(rated(rated_at=f"2026-11-22{t}") for t in ("T12:00:00+14:00", "t12:00:00z", " 23:59:59-12:00")),
    ),
    _class("accepted", "finer times", rated(rated_at="2026-11-22T12:00:00." + "9" * 400 + "Z")),
    _class(
        "accepted", "times at the limits", rated(rated_at=EARLIEST_MS), rated(rated_at=NOW_MS + FUTURE_TOLERANCE_MS)
    ),
    _class("accepted", "far ahead, no Kafka time to compare", rated(rated_at=LATEST_MS), timestamp_ms=None),
    _class("accepted", "29 February", rated(rated_at="2024-02-29T00:00:00Z"), rated(rated_at="2000-02-29T00:00:00Z")),
    _class("accepted", "Kafka's time counts", rated(rated_at=...), rated(rated_at=None)),
    _class("accepted", "event ids", rated(event_id="e" * 256), rated(event_id=""), rated(event_id="\u0000\n")),
    _class("accepted", "schema 1", rated(schema=1), rated(type="rated", schema=1)),
    _class("accepted", "unknown fields", rated(device="x", shown_at=[1, {"a": None}]), rated(schema_version=7)),
    _class("accepted", "deep unknown field", written('"x":' + nested(DEEP))),
    _class("accepted", "huge unknown text", written('"x":"' + "x" * HUGE_CHARS + '"')),
    _class("accepted", "very many unknown fields", written(",".join(f'"x{n}":{n}' for n in range(3_000)))),
    _class("accepted", "a million digits in an unknown field", written('"x":0.' + "1" * HUGE_CHARS)),
    _class("accepted", "a retraction", RETRACTED, RETRACTED[:-1] + ',"rated_at":"2026-11-22T12:00:00Z"}'),
    _class("accepted", "forget", FORGET),
    _class("accepted", "forget, whatever Kafka's time", FORGET, timestamp_ms=-(2**63)),
    _class("accepted", "no attributes", profile("{}"), profile('{"a":null}')),
    _class("accepted", "64 attributes", profile(json.dumps({f"a{n}": n for n in range(64)}))),
    _class("accepted", "attributes at the limits", profile('{"a":9223372036854775807,"b":-9223372036854775807}')),
    _class(
        "accepted", "names that mean something elsewhere", profile('{"__proto__":1,"constructor":true,"toString":"x"}')
    ),
    _class("accepted", "headers of every kind", rated(), headers=WEIRD_HEADERS),
    _class(
        "accepted",
        "string ids where items have them",
        rated(item_id="tt0111161"),
        rated(item_id="é" * 128),
        rules="strings",
    ),
    _class("accepted", "nothing unknown where that is refused", rated(), FORGET, rules="strict"),
]

NO_EVENT = [
    RecordClass("noise", "not_json", _random_noise),
    RecordClass("null", "empty_value", lambda _: Input(None)),
    _class("empty_value", "no bytes", b"", headers=WEIRD_HEADERS),
    _class("schema_registry_framing", "magic byte", b"\0\0\0\0\x07" + rated().encode(), b"\0"),
    _class("not_json", "blank", b" ", b"\n\t"),
    _class("not_json", "text, CSV, XML, YAML", b"42,318,4.5", b"hello", b"<rating/>", b"user_id: 42"),
    _class("not_json", "truncated", *(rated()[:cut] for cut in range(1, 80, 7))),
    _class("not_json", "two values", rated() * 2, rated() + "\n" + rated(), rated() + "x"),
    _class("not_json", "byte order mark", b"\xef\xbb\xbf" + rated().encode()),
    _class("not_json", "UTF-16 and UTF-32", *(rated().encode(name) for name in ("utf-16", "utf-16-le", "utf-32"))),
    _class("not_json", "Latin-1", rated(user_id="zoë").encode("latin-1")),
    _class(
        "not_json",
        "overlong and torn UTF-8",
        *(
            rated().encode().replace(b"42", odd)
            for odd in (b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe2\x82")
        ),
    ),
    _class(
        "not_json",
        "lone surrogates",
        written('"x":"\\ud800"'),
        written('"\\udfff":1'),
        written('"user_id":"\\udc00\\ud800"'),
    ),
    _class("not_json", "control characters in text", written('"event_id":"a\nb"'), written('"x":"\0"')),
    _class(
        "not_json",
        "JavaScript, not JSON",
        "{'user_id':'42'}",
        '{user_id:"42"}',
        '{"user_id":"42",}',
        "// x\n" + rated(),
        "/**/{}",
    ),
    _class(
        "not_json",
        "numbers that JSON has not",
        *each_written("rating", "04.5", "0x4", "+4", ".5", "4.", "4_5", "1e", "٤"),
    ),
    _class("not_json", "words that JSON has not", *each_written("rating", "None", "True", "nil", "undefined", "nan")),
    _class("not_json", "nested too deep", "[" * HUGE_CHARS, '{"a":' * TOO_DEEP, written('"x":' + nested(TOO_DEEP))),
    _class(
        "not_finite",
        "NaN and Infinity",
        *(written(f'"{f}":{n}') for f in ("rating", "x") for n in ("NaN", "-Infinity", "Infinity")),
    ),
    _class(
        "not_finite", "numbers beyond a float", *each_written("x", "1e999999", "-1e400", "9" * 400, "1" + "0" * 5_000)
    ),
    _class(
        "not_an_object",
        "other JSON values",
        "[]",
        "42",
        "null",
        "true",
        '"rated"',
        "-0",
        "1e308",
        nested(DEEP),
        f"[{rated()}]",
    ),
]

WRONG_EVENTS = [
    _class(
        "missing_field",
        "a field is missing",
        *(rated(**{name: ...}) for name in ("user_id", "item_id", "rating")),
        "{}",
    ),
    _class(
        "missing_field",
        "a field of another type is missing",
        '{"type":"profile","user_id":"42"}',
        '{"type":"forget"}',
        '{"type":"retracted","user_id":"42"}',
    ),
    _class(
        "missing_field",
        "names in other letters",
        '{"userId":"42","itemId":1,"rating":1}',
        '{"USER_ID":"42"}',
        '{"user\u005fid ":"42"}',
    ),
    _class("wrong_type", "rating of every other type", *each("rating", "4.5", True, None, [4.5], {"v": 4.5}, "")),
    _class("wrong_type", "event id of every other type", *each("event_id", 7, True, ["e"], {}, 1.5, "e" * 257)),
    _class("wrong_type", "of equal keys the last is bad", written('"rating":null')),
    _class("wrong_type", "deep where text belongs", written('"event_id":' + nested(DEEP))),
    _class(
        "unknown_field",
        "unknown where that is refused",
        rated(x=1),
        FORGET[:-1] + ',"rating":1}',
        rated(schema_version=1),
        rules="strict",
    ),
    _class("unknown_type", "another word", *each("type", "liked", "Rated", "", "rated ", "\u0000", "x" * 1_000)),
    _class("unknown_type", "type of every other type", *each("type", None, 1, True, ["rated"], {"t": "rated"}, 1.5)),
    _class("unknown_type", "deep type", written('"type":' + nested(DEEP))),
    _class("reserved_type", "reserved", *each("type", "shown", "clicked", "viewed", "bought")),
    _class("unsupported_schema", "schema of another version", *each("schema", 0, 2, -1, 10**9, 2**64 - 1)),
    _class("unsupported_schema", "schema of every other type", *each("schema", "1", True, 1.0, None, [1], {})),
    _class("null_key", "no key", rated(), FORGET, key=None),
    _class("key_mismatch", "key of another user", rated(), FORGET, key=b"43"),
    _class("key_mismatch", "key in another form", rated(), key=b'"42"'),
    _class("key_mismatch", "empty key", rated(), key=b""),
    _class("key_mismatch", "binary key", rated(), key=b"\0\0\0\x2a"),
    _class("key_mismatch", "huge key", rated(), key=b"4" * HUGE_CHARS),
    _class("key_mismatch", "another normal form", rated(user_id="zo\u00eb"), key="zoe\u0308".encode()),
    _class("bad_user_id", "user id of every other type", *each("user_id", None, True, 4.0, ["42"], {}, -0.0)),
    _class(
        "bad_user_id",
        "user id of no length, of too much",
        rated(user_id=""),
        rated(user_id="u" * 257),
        rated(user_id="é" * 129),
    ),
    _class(
        "bad_user_id",
        "user id with control characters",
        *(rated(user_id=f"4{c}2").replace(c, f"\\u{ord(c):04x}") for c in "\0\n\x7f\x9b"),
    ),
    _class(
        "bad_user_id",
        "user id beyond 64 bits",
        written('"user_id":18446744073709551616'),
        written('"user_id":' + "9" * 300),
    ),
    _class("bad_user_id", "reserved user id", rated(user_id="_popular"), key=b"_popular"),
    _class("bad_user_id", "deep user id", written('"user_id":' + nested(DEEP))),
    _class("bad_item_id", "item id of every other type", *each("item_id", None, True, 1.0, [1], {}, "")),
    _class("bad_item_id", "item id beyond its limits", *each("item_id", -1, 2**32, 2**63, 2**64 - 1, -(2**63))),
    _class(
        "bad_item_id",
        "item id written as a float",
        *each_written("item_id", "318.0", "1e3", "-0.0", "18446744073709551616"),
    ),
    _class("bad_item_id", "over-long string id", rated(item_id="i" * 257), rated(item_id="\u0085")),
    _class("bad_item_id", "integer where items have strings", rated(), rules="strings"),
    _class("string_item_id", "string where items have integers", rated(item_id="318"), rated(item_id="tt0111161")),
    _class("rating_out_of_scale", "beyond the scale", *each("rating", 5.000001, 0.499999, 0, -4.5, 1e308, 2**53 + 1)),
    _class(
        "rating_out_of_scale",
        "nearly nothing",
        *each_written("rating", "-0", "-0.0", "5e-324", "1e-999999", "2.2250738585072011e-308"),
    ),
    _class("rating_out_of_scale", "beyond a signed scale", rated(rating=1.5), rated(rating=-1.0000001), rules="signed"),
]

WRONG_TIMES_AND_ATTRIBUTES = [
    _class(
        "bad_time",
        "no RFC 3339",
        *each(
            "rated_at",
            "yesterday",
            "",
            "2026-11-22",
            "2026-11-22T12:00:00",
            str(NOW_MS),
            "2026-W47-7",
            "20261122T120000Z",
        ),
    ),
    _class(
        "bad_time",
        "no such instant",
        *each(
            "rated_at",
            "2025-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-11-22T24:00:00Z",
            "2016-12-31T23:59:60Z",
            "0000-01-01T00:00:00Z",
        ),
    ),
    _class(
        "bad_time",
        "outside the calendar by the offset",
        rated(rated_at="9999-12-31T23:59:59-23:59"),
        rated(rated_at="0001-01-01T00:00:00+23:59"),
    ),
    _class(
        "bad_time",
        "digits of another script",
        rated(rated_at="٢٠٢٦-11-22T12:00:00Z"),
        rated(rated_at="2026-11-22T12:00:00Ｚ"),
    ),
    _class("bad_time", "time of every other type", *each("rated_at", 1.5, True, [2026], {}, -0.0)),
    _class("bad_time", "finer units as milliseconds", rated(rated_at=NOW_MS * 1_000), rated(rated_at=NOW_MS * 10**6)),
    _class(
        "bad_time",
        "an integer beyond the calendar",
        rated(rated_at=2**63),
        rated(rated_at=-(2**63)),
        written('"rated_at":' + "9" * 300),
    ),
    _class(
        "bad_time",
        "over-long time",
        rated(rated_at="2" * HUGE_CHARS),
        rated(rated_at="2026-11-22T12:00:00." + "9" * HUGE_CHARS),
    ),
    _class("bad_time", "no time anywhere", rated(rated_at=...), RETRACTED, timestamp_ms=None),
    _class("bad_time", "Kafka's time unusable", rated(rated_at=...), timestamp_ms=EARLIEST_MS - 1),
    _class("bad_time", "Kafka's time beyond the calendar", rated(rated_at=...), timestamp_ms=LATEST_MS + 1),
    _class(
        "time_too_early",
        "before 1990",
        *each("rated_at", 0, -1, EARLIEST_MS - 1, "1989-12-31T23:59:59.999Z", "0001-01-01T00:00:00Z"),
    ),
    _class("time_too_early", "seconds as milliseconds", rated(rated_at=NOW_MS // 1_000)),
    _class(
        "time_in_future",
        "over a day ahead",
        rated(rated_at=NOW_MS + FUTURE_TOLERANCE_MS + 1),
        rated(rated_at=LATEST_MS),
        rated(rated_at="9999-12-31T23:59:59.999Z"),
    ),
    _class("bad_attributes", "attributes of every other type", *map(profile, ("null", "[]", '"age=31"', "1", "true"))),
    _class(
        "bad_attributes", "values within values", *map(profile, ('{"a":[]}', '{"a":{}}', '{"a":' + nested(DEEP) + "}"))
    ),
    _class(
        "bad_attributes",
        "65 attributes, and thousands",
        *(profile(json.dumps({f"a{n}": n for n in range(size)})) for size in (65, 4_000)),
    ),
    _class(
        "bad_attributes",
        "names that are none",
        *(
            profile('{"' + name + '":1}')
            for name in ("", "a b", "a.b", "a/b", "a[]", "1a", "é", "a\\n", "a" * 65, "\\u0000")
        ),
    ),
    _class(
        "bad_attributes",
        "over-long text",
        profile('{"a":"' + "x" * 257 + '"}'),
        profile('{"a":"' + "x" * HUGE_CHARS + '"}'),
    ),
    _class(
        "bad_attributes",
        "numbers beyond 63 bits",
        *(profile(f'{{"a":{n}}}') for n in (2**63, -(2**63), 2**64, "1e19", "-1e308")),
    ),
]

CLASSES: list[RecordClass] = [*ACCEPTED, *NO_EVENT, *WRONG_EVENTS, *WRONG_TIMES_AND_ATTRIBUTES]
