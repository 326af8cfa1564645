"""Golden examples: records that have been published once.

None may ever be edited: a change that breaks one is a new version of the wire.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from schemas.dead_letters import RefusedRecord, dead_letter
from schemas.decode import RawRecord, WireRules, decode_json
from schemas.encode import event_message, item_message, removed_item_message
from schemas.events import EVENT_MODELS
from schemas.items import Item, decode_item
from schemas.json_schema import schemas
from schemas.messages import Headers, Message
from schemas.metrics import decode_metrics, metrics_message
from schemas.reasons import MalformedRecordError
from schemas.recommendations import decode_list, forgotten_message, list_message

GOLDEN = Path(__file__).with_name("golden")
ORIGIN = "/tastestream/ratings"
AT_MS = 1_795_348_800_012


def examples(file: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (GOLDEN / file).read_text(encoding="utf-8").splitlines()]


EVENTS, ITEMS = examples("events.jsonl"), examples("items.jsonl")
OUTPUTS = json.loads((GOLDEN / "outputs.json").read_text(encoding="utf-8"))
FIGURES = [example for example in OUTPUTS if example["make"] == "metrics"]
LISTS = [example for example in OUTPUTS if example["make"] == "list"]
VALIDATORS = {name: Draft202012Validator(schema) for name, schema in schemas().items()}


def name_of(example: dict[str, Any]) -> str:
    return str(example["name"])


def to_bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def to_headers(pairs: list[list[Any]]) -> Headers:
    return tuple((name, to_bytes(value)) for name, value in pairs)


def made(example: dict[str, Any]) -> Message:
    return MAKERS[example["make"]](example["given"])


def made_event(given: dict[str, Any]) -> Message:
    model = EVENT_MODELS[given.get("type", "rated")]
    return event_message("ratings", model.model_validate(given))


def made_dead_letter(given: dict[str, Any]) -> Message:
    place = given["record"]
    came = {"key": to_bytes(place["key"]), "value": to_bytes(place["value"]), "headers": to_headers(place["headers"])}
    error = MalformedRecordError(given["reason"], given["message"])
    return dead_letter("ratings.dlq", RefusedRecord(**(place | came)), error, ORIGIN, AT_MS)


MAKERS: dict[str, Callable[[Any], Message]] = {
    "event": made_event,
    "list": lambda given: list_message("recommendations", ORIGIN, given),
    "forgotten": lambda given: forgotten_message("recommendations", ORIGIN, **given),
    "dead_letter": made_dead_letter,
    "item": lambda given: item_message("items", Item.model_validate(given)),
    "removed_item": lambda given: removed_item_message("items", given["item_id"]),
    "metrics": lambda given: metrics_message("metrics", ORIGIN, given),
}


@pytest.mark.parametrize("example", EVENTS, ids=name_of)
def test_an_event_decodes_as_ever(example: dict[str, Any]) -> None:
    """Law: bytes that were an event once are the same event for good."""
    rules = WireRules(catalogue=example.get("catalogue", "integer"))
    record = RawRecord(example["key"].encode(), example["value"].encode(), example["timestamp_ms"])
    decoded = decode_json(record, rules)
    assert decoded.event.model_dump() == example["event"]
    assert type(decoded.event) is EVENT_MODELS[example["event"]["type"]]
    assert (decoded.at_ms, decoded.unknown_fields) == (example["at_ms"], example["unknown_fields"])


@pytest.mark.parametrize("example", EVENTS, ids=name_of)
def test_an_event_is_valid_by_its_schema_and_the_unions(example: dict[str, Any]) -> None:
    """Law: the JSON Schema takes every golden event, by its own type's schema, the union's and no other type's."""
    document = json.loads(example["value"])
    VALIDATORS["event"].validate(document)
    valid = [name for name in EVENT_MODELS if VALIDATORS[name].is_valid(document)]
    assert valid == [example["event"]["type"]]


@pytest.mark.parametrize("example", ITEMS, ids=name_of)
def test_an_item_decodes_as_ever(example: dict[str, Any]) -> None:
    """Law: bytes that said something of an item once say the same for good, and the JSON Schema takes them."""
    rules = WireRules(catalogue=example.get("catalogue", "integer"))
    change = decode_item(example["key"].encode(), to_bytes(example["value"]), rules)
    assert (change.item.model_dump() if change.item else None) == example["item"]
    assert (change.item_id, change.unknown_fields) == (example["item_id"], example["unknown_fields"])
    if example["value"] is not None:
        VALIDATORS["item"].validate(json.loads(example["value"]))


@pytest.mark.parametrize("example", OUTPUTS, ids=name_of)
def test_a_record_of_ours_is_the_same_to_the_byte(example: dict[str, Any]) -> None:
    """Law: topic, key, value and headers, in their order, are what readers have been given."""
    expected = example["message"]
    assert made(example) == Message(
        expected["topic"], to_bytes(expected["key"]), to_bytes(expected["value"]), to_headers(expected["headers"])
    )


@pytest.mark.parametrize("example", LISTS, ids=name_of)
def test_a_list_is_valid_and_reads_as_it_was_given(example: dict[str, Any]) -> None:
    """Law: the JSON Schema takes every golden list, and a reader gets what was written."""
    value = example["message"]["value"]
    VALIDATORS["recommendations"].validate(json.loads(value))
    assert decode_list(value.encode()) == example["given"]


@pytest.mark.parametrize("example", FIGURES, ids=name_of)
def test_figures_are_valid_and_read_as_they_were_given(example: dict[str, Any]) -> None:
    """Law: the JSON Schema takes every golden record of figures, and a reader gets what was written."""
    value = example["message"]["value"]
    VALIDATORS["metrics"].validate(json.loads(value))
    assert decode_metrics(value.encode()) == example["given"]


def test_every_kind_of_record_has_an_example() -> None:
    """Law: each event type is here as input and as output, and so is each kind of record that we write."""
    assert {example["event"]["type"] for example in EVENTS} == set(EVENT_MODELS)
    assert {example["given"].get("type", "rated") for example in OUTPUTS if example["make"] == "event"} == set(
        EVENT_MODELS
    )
    assert {example["make"] for example in OUTPUTS} == set(MAKERS)
