"""What is thrown at the door: a record as it may come from anybody, and how it is written down to be thrown again."""

from dataclasses import dataclass
from typing import Literal

import orjson

from schemas.decode import RawRecord, WireRules
from schemas.messages import Headers
from schemas.scale import Scale

NOW_MS = 1_795_348_800_000
"""The Kafka timestamp of a record that has an ordinary one: 2026-11-22."""

RulesName = Literal["plain", "strict", "signed", "strings"]
RULES: dict[RulesName, WireRules] = {
    "plain": WireRules(),
    "strict": WireRules(refuse_unknown_fields=True),
    "signed": WireRules(scale=Scale(-1.0, 1.0)),
    "strings": WireRules(catalogue="string"),
}


@dataclass(frozen=True, slots=True)
class Input:
    """One record, and the rules of the deployment that it comes to."""

    value: bytes | None
    key: bytes | None = b"42"
    timestamp_ms: int | None = NOW_MS
    headers: Headers = ()
    rules: RulesName = "plain"

    @property
    def raw(self) -> RawRecord:
        """As the decoder is given it."""
        return RawRecord(self.key, self.value, self.timestamp_ms)

    @property
    def size_bytes(self) -> int:
        """What the decoder has to read."""
        return len(self.key or b"") + len(self.value or b"")


def as_hex(inputs: list[Input]) -> str:
    """Inputs in one word."""
    rows = [
        [_text(i.key), _text(i.value), i.timestamp_ms, [[n, _text(v)] for n, v in i.headers], i.rules] for i in inputs
    ]
    return orjson.dumps(rows).hex()


def from_hex(word: str) -> list[Input]:
    """The inputs that `as_hex` wrote."""
    return [
        Input(_bytes(value), _bytes(key), timestamp_ms, tuple((name, _bytes(v)) for name, v in headers), rules)
        for key, value, timestamp_ms, headers, rules in orjson.loads(bytes.fromhex(word))
    ]


def _text(given: bytes | None) -> str | None:
    return None if given is None else given.decode("latin-1")


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode("latin-1")
