"""How a sample of the corpus is bent out of shape: bytes, tokens, key, time, headers and rules, repeatable by seed."""

import re
from collections.abc import Callable
from dataclasses import replace
from random import Random

import orjson
from corpus import ACCEPTED, CLASSES, WEIRD_HEADERS
from inputs import NOW_MS, Input

MUTATIONS_DRAWN = (1, 1, 1, 2, 2, 4)
REPEATS_MAX = 50
SLICE_MAX_BYTES = 40
PRISTINE_SHARE = 0.1
"""How many inputs are samples as they are, of which it is known what must become."""
REKEYED_SHARE = 0.8
"""How many bent inputs get the key that their value asks for, so that they come further than the key."""

NUMBERS = (
    *b"0 -0 -0.0 1 -1 0.5 5 5.0 5.0000001 318 4294967295 4294967296 9007199254740991 9007199254740992".split(),
    *b"9007199254740993 9223372036854775807 9223372036854775808 -9223372036854775808 18446744073709551615".split(),
    *b"18446744073709551616 1e19 1e308 -1e308 1e309 1e999999 5e-324 2.2250738585072011e-308 1e-999999 0.1".split(),
    *b"00 01 1. .5 +1 1e 0x1 NaN Infinity -Infinity 631151999999 631152000000 253402300799999".split(),
    *b"253402300800000 1795348800000 1795435200000 1795435200001".split(),
    *(b"9" * 400, b"1" + b"0" * 400, b"0." + b"3" * 400),
)
STRINGS = (
    *rb'"" "42" "43" "_popular" "rated" "retracted" "profile" "forget" "shown" "\u0000" "\ud800"'.split(),
    *rb'"\ud83d\ude00" "\udfff\ud800" "2026-11-22T12:00:00Z" "2026-11-22t12:00:00.5+23:59"'.split(),
    *rb'"9999-12-31T23:59:59.999Z" "0001-01-01T00:00:00Z" "user_id" "item_id" "rating" "rated_at"'.split(),
    *rb'"type" "schema" "event_id" "attributes"'.split(),
    *(b'" "', b'"\xf0\x9f\x98\x80"', b'"\xef\xbb\xbf"', b'"\xc0\x80"'),
    *(b'"' + b"x" * size + b'"' for size in (64, 65, 255, 256, 257, 5_000)),
)
VALUES = (b"null", b"true", b"false", b"[]", b"{}", b"[null]", b'{"a":1}', b"[" * 900 + b"]" * 900, *NUMBERS, *STRINGS)
BYTES = (*(bytes([one]) for one in b'\0\xff"\\{}[],:\n\x7f'), b"\xef\xbb\xbf", b"\xed\xa0\x80")
_NUMBER = re.compile(rb"-?[0-9][0-9.eE+-]*")
_STRING = re.compile(rb'"[^"\\]{0,300}"')
_AFTER_COLON = re.compile(rb':\s*("[^"\\]{0,300}"|[-0-9.eE+]+|null|true|false|\[\]|\{\})')

# What is good goes wrong in more ways than what is bad goes right.
_DRAWN = CLASSES + 2 * ACCEPTED

Mutation = Callable[[Random, Input], Input]


def bent_input(chance: Random) -> tuple[str, bool, Input]:
    """A class's name, whether the sample is as it came from it, and the input."""
    made_by = chance.choice(_DRAWN)
    sample = made_by.make(chance)
    if chance.random() < PRISTINE_SHARE:
        return made_by.name, True, sample
    for _ in range(chance.choice(MUTATIONS_DRAWN)):
        sample = chance.choice(MUTATIONS)(chance, sample)
    if chance.random() < REKEYED_SHARE:
        sample = rekeyed(sample)
    return made_by.name, False, sample


def rekeyed(given: Input) -> Input:
    """The input with the key that its value asks for, where it does."""
    try:
        document = orjson.loads(given.value or b"")
        return replace(given, key=str(document["user_id"]).encode())
    except (ValueError, KeyError, TypeError, RecursionError):
        return given


def _on_value(bend: Callable[[Random, bytes], bytes]) -> Mutation:
    return lambda chance, given: replace(given, value=bend(chance, given.value or b""))


def _flip_bit(chance: Random, value: bytes) -> bytes:
    if not value:
        return b"\x01"
    at = chance.randrange(len(value))
    return value[:at] + bytes([value[at] ^ (1 << chance.randrange(8))]) + value[at + 1 :]


def _insert(chance: Random, value: bytes) -> bytes:
    at = chance.randint(0, len(value))
    return value[:at] + chance.choice(BYTES) + value[at:]


def _delete(chance: Random, value: bytes) -> bytes:
    at = chance.randint(0, len(value))
    return value[:at] + value[at + chance.randint(1, SLICE_MAX_BYTES) :]


def _repeat(chance: Random, value: bytes) -> bytes:
    at = chance.randint(0, len(value))
    end = at + chance.randint(1, SLICE_MAX_BYTES)
    return value[:end] + value[at:end] * chance.randint(1, REPEATS_MAX) + value[end:]


def _truncate(chance: Random, value: bytes) -> bytes:
    return value[: chance.randint(0, len(value))]


def _splice(chance: Random, value: bytes) -> bytes:
    other = chance.choice(CLASSES).make(chance).value or b""
    return value[: chance.randint(0, len(value))] + other[chance.randint(0, len(other)) :]


def _substituted(pattern: re.Pattern[bytes], group: int, by: tuple[bytes, ...]) -> Mutation:
    def bend(chance: Random, value: bytes) -> bytes:
        found = list(pattern.finditer(value[:2_000]))
        if not found:
            return value
        one = chance.choice(found)
        return value[: one.start(group)] + chance.choice(by) + value[one.end(group) :]

    return _on_value(bend)


def _add_field(chance: Random, value: bytes) -> bytes:
    if not value.endswith(b"}"):
        return value
    return value[:-1] + b"," + chance.choice(STRINGS) + b":" + chance.choice(VALUES) + b"}"


def _wrap(chance: Random, value: bytes) -> bytes:
    before, behind = chance.choice(
        ((b"[", b"]"), (b'{"a":', b"}"), (b"\xef\xbb\xbf", b""), (b"\0", b""), (b" ", b"\n"))
    )
    return before + value + behind


def _other_key(chance: Random, given: Input) -> Input:
    key = given.key or b""
    return replace(given, key=chance.choice((None, b"", b"42", b"43", key + b" ", key[:-1], chance.randbytes(4))))


def _other_time(chance: Random, given: Input) -> Input:
    times = (None, -1, 0, 631_151_999_999, 253_402_300_800_000, 2**63 - 1, -(2**63), NOW_MS, NOW_MS - 10**9)
    return replace(given, timestamp_ms=chance.choice(times))


def _other_headers(chance: Random, given: Input) -> Input:
    added = (chance.choice(WEIRD_HEADERS), (chance.choice(WEIRD_HEADERS)[0], chance.randbytes(chance.randrange(9))))
    return replace(given, headers=given.headers + added)


def _other_rules(chance: Random, given: Input) -> Input:
    return replace(given, rules=chance.choice(("plain", "strict", "signed", "strings")))


MUTATIONS: tuple[Mutation, ...] = (
    *map(_on_value, (_flip_bit, _insert, _delete, _repeat, _truncate, _splice, _add_field, _wrap)),
    *(_substituted(_AFTER_COLON, 1, VALUES),) * 4,
    *(_substituted(_NUMBER, 0, NUMBERS), _substituted(_STRING, 0, STRINGS)) * 2,
    *(_other_key, _other_time, _other_headers, _other_rules),
)
