"""The records of the catalogue: what they may hold, what is refused and why, and that schema and decoder agree."""

import contextlib
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from schemas.decode import WireRules
from schemas.encode import item_message, removed_item_message
from schemas.items import Item, ItemChange, decode_item
from schemas.json_schema import schemas
from schemas.reasons import MalformedRecordError

INTEGERS, STRINGS = WireRules(), WireRules(catalogue="string")
SCHEMA = Draft202012Validator(schemas()["item"])
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

texts = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=64)
labels = st.lists(texts, max_size=3)
items = st.builds(
    Item,
    item_id=st.integers(0, 2**32 - 1) | texts,
    title=st.none() | texts,
    genres=labels,
    tags=labels,
    year=st.none() | st.integers(1, 9999),
    links=st.dictionaries(st.sampled_from(["imdb", "tmdb", "my.shop"]), texts),
)


def rules_of(item_id: int | str) -> WireRules:
    return STRINGS if isinstance(item_id, str) else INTEGERS


@patient
@given(item=items)
def test_what_we_encode_decodes_to_the_same_item(item: Item) -> None:
    """Law: any item comes back from its record, which the published schema takes; its removal is about the same one."""
    message = item_message("items", item)
    assert message.value is not None
    SCHEMA.validate(orjson.loads(message.value))
    assert decode_item(message.key, message.value, rules_of(item.item_id)) == ItemChange(item.item_id, item)
    removal = removed_item_message("items", item.item_id)
    assert decode_item(removal.key, removal.value, rules_of(item.item_id)) == ItemChange(item.item_id, None)


@pytest.mark.parametrize(
    ("key", "value", "rules", "reason"),
    [
        (None, b'{"item_id": 1}', INTEGERS, "null_key"),
        (None, None, INTEGERS, "null_key"),
        (b"1", b"", INTEGERS, "empty_value"),
        (b"1", b"\0\0\0\0\1{}", INTEGERS, "schema_registry_framing"),
        (b"1", b'{"item_id": 1', INTEGERS, "not_json"),
        (b"1", b'{"item_id": 1, "year": NaN}', INTEGERS, "not_finite"),
        (b"1", b"[1]", INTEGERS, "not_an_object"),
        (b"1", b'{"title": "One"}', INTEGERS, "missing_field"),
        (b"1", b'{"item_id": 1, "title": 1}', INTEGERS, "wrong_type"),
        (b"1", b'{"item_id": 1, "title": ""}', INTEGERS, "wrong_type"),
        (b"1", b'{"item_id": 1, "title": "\\u001b[2J"}', INTEGERS, "wrong_type"),
        (b"1", b'{"item_id": 1, "genres": "Drama|War"}', INTEGERS, "wrong_type"),
        (b"1", b'{"item_id": 1, "year": "1994"}', INTEGERS, "wrong_type"),
        (b"1", b'{"item_id": 1, "year": 0}', INTEGERS, "wrong_type"),
        (b"1", b'{"item_id": 1, "links": {"tmdb": 278}}', INTEGERS, "wrong_type"),
        (b"1", b'{"item_id": 1, "removed": "yes"}', INTEGERS, "wrong_type"),
        (b"1", b'{"item_id": 1, "schema": 2}', INTEGERS, "unsupported_schema"),
        (b"1", b'{"item_id": "1"}', INTEGERS, "string_item_id"),
        (b"1", b'{"item_id": 1}', STRINGS, "bad_item_id"),
        (b"1", b'{"item_id": 4294967296}', INTEGERS, "bad_item_id"),
        (b"2", b'{"item_id": 1}', INTEGERS, "key_mismatch"),
        (b"01", b'{"item_id": 1}', INTEGERS, "key_mismatch"),
        (b"SKU-1", None, INTEGERS, "bad_item_id"),
        (b"01", None, INTEGERS, "bad_item_id"),
        (b"4294967296", None, INTEGERS, "bad_item_id"),
        (b"\xff", None, STRINGS, "bad_item_id"),
        (b"", None, STRINGS, "bad_item_id"),
        (b"1", b'{"item_id": 1, "stock": 3}', WireRules(refuse_unknown_fields=True), "unknown_field"),
    ],
)
def test_what_is_no_item_is_refused(key: bytes | None, value: bytes | None, rules: WireRules, reason: str) -> None:
    """Law: each way of being wrong has its reason, and no other exception leaves the decoder."""
    with pytest.raises(MalformedRecordError) as refused:
        decode_item(key, value, rules)
    assert refused.value.reason == reason


@patient
@given(key=st.none() | st.binary(max_size=16), value=st.none() | st.binary(max_size=64))
def test_no_bytes_do_more_than_be_refused(key: bytes | None, value: bytes | None) -> None:
    """Law: whatever the bytes, a change or a `MalformedRecordError` comes out."""
    for rules in (INTEGERS, STRINGS):
        with contextlib.suppress(MalformedRecordError):
            assert decode_item(key, value, rules).item_id is not None


ids: st.SearchStrategy[Any] = st.sampled_from([1, 1, 1, 1, "SKU-1", 2**32, -1, "", "a\n", True, None, 1.5])
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "title": st.sampled_from(["T", "", "t" * 1000, "t" * 1001, "a\n", "\x9b", None, 1, []]),
    "genres": st.sampled_from([[], ["Drama"], ["g" * 257], [""], ["g"] * 100, ["g"] * 101, "Drama", None, [1], {}]),
    "tags": st.sampled_from([[], ["funny"], ["a\t"], None]),
    "year": st.sampled_from([1, 9999, 0, 10_000, 1994.5, "1994", True, None]),
    "links": st.sampled_from(
        [
            {},
            {"imdb": "tt1"},
            {"imdb": 1},
            {"imdb": ""},
            {"": "1"},
            {"a b": "1"},
            {"k" * 65: "1"},
            {f"k{n}": "1" for n in range(33)},
            [],
            None,
        ]
    ),
    "removed": st.sampled_from([True, False, None, 0, "true"]),
    "schema": st.sampled_from([1, 2, "1", True, None]),
    "stock": st.sampled_from([1, None]),
}


@settings(patient, max_examples=1_000)
@given(document=st.fixed_dictionaries({"item_id": ids}, optional=FIELDS))
def test_the_schema_takes_what_the_decoder_takes(document: dict[str, Any]) -> None:
    """Law: schema and decoder agree on every item."""
    try:
        decode_item(str(document["item_id"]).encode(), orjson.dumps(document), rules_of(document["item_id"]))
        taken = True
    except MalformedRecordError:
        taken = False
    assert SCHEMA.is_valid(document) == taken
