"""Golden examples of requests and replies; as with all golden examples, none may ever be edited."""

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator

from schemas.json_schema import schemas
from schemas.messages import Message
from schemas.questions import QUESTION_MODELS
from schemas.replies import Address, decode_reply, reply_message, reply_value
from schemas.request_errors import RequestError
from schemas.requests import RequestLimits, decode_request

GOLDEN = Path(__file__).with_name("golden")
ORIGIN, AT, PLACE = "tastestream/tastestream", "2026-11-22T12:00:00.012Z", "requests:0:7"
REQUESTS = [json.loads(line) for line in (GOLDEN / "requests.jsonl").read_text(encoding="utf-8").splitlines()]
REPLIES = json.loads((GOLDEN / "replies.json").read_text(encoding="utf-8"))
VALIDATORS = {name: Draft202012Validator(schema) for name, schema in schemas().items()}


def name_of(example: dict[str, Any]) -> str:
    return str(example["name"])


def holds(expected: Any, found: Any) -> bool:
    """Whether everything expected is found, where fields may have come since."""
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(key in found and holds(expected[key], found[key]) for key in expected)
    return bool(expected == found)


@pytest.mark.parametrize("example", REQUESTS, ids=name_of)
def test_a_request_decodes_as_ever(example: dict[str, Any]) -> None:
    """Law: what was asked once is asked by the same bytes for good, and the JSON Schema takes it."""
    request = decode_request(example["value"].encode(), RequestLimits())
    VALIDATORS["request"].validate(json.loads(example["value"]))
    assert request.is_batch == example["is_batch"]
    assert len(request.questions) == len(example["questions"])
    for found, expected in zip(request.questions, example["questions"], strict=True):
        assert not isinstance(found, RequestError)
        assert type(found) is QUESTION_MODELS[expected["type"]]
        assert holds(expected, orjson.loads(orjson.dumps(found.model_dump())))


@pytest.mark.parametrize("example", REPLIES, ids=name_of)
def test_a_reply_is_the_same_to_the_byte(example: dict[str, Any]) -> None:
    """Law: topic, key, value, headers and partition are what readers have been given, and valid by the JSON Schema."""
    topic, request_id, partition, correlation = example["given"]["address"]
    address = Address(topic, request_id, partition, None if correlation is None else correlation.encode())
    value = reply_value(request_id, example["given"]["answers"], AT, is_batch=example["given"]["is_batch"])
    expected = example["message"]
    headers = tuple((name, text.encode()) for name, text in expected["headers"])
    assert reply_message(address, value, ORIGIN, AT, PLACE) == Message(
        expected["topic"], expected["key"].encode(), expected["value"].encode(), headers, expected["partition"]
    )
    VALIDATORS["reply"].validate(decode_reply(value))
