"""The published JSON Schema: current, and of one mind with the decoder."""

from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from schemas import json_schema
from schemas.decode import RawRecord, WireRules, decode_json
from schemas.events import EVENT_MODELS, RESERVED_TYPES
from schemas.json_schema import FOLDER, files, schemas
from schemas.reasons import MalformedRecordError
from schemas.scale import Scale
from schemas.times import LATEST_MS

Drawn = st.SearchStrategy[Any]

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

SCHEMAS = schemas()
VALIDATORS = {name: Draft202012Validator(schema) for name, schema in SCHEMAS.items()}
LIST = {
    "schema": 1,
    "user_id": "42",
    "list_id": "42:1.57",
    "tier": "thin",
    "items": [{"item_id": 527, "score": 0.93, "predicted_rating": 4.4, "support": 23}],
    "ranking": "default:9f31c2",
    "state": {"epoch": 1, "version": 57, "num_ratings": 20, "avg_rating": 3.85},
    "source": {
        "topic": "ratings",
        "topic_id": "t",
        "partition": 3,
        "offset": 1841,
        "rated_at": "2026-11-22T12:00:00.000Z",
        "event_id": None,
    },
    "generated_at": "2026-11-22T12:00:00.012Z",
}


def test_the_files_are_what_the_models_say() -> None:
    """Law: schemas/json holds the generated files to the byte, no other; `python -m schemas.json_schema` mends it."""
    assert {path: path.read_bytes() for path in FOLDER.iterdir()} == files()


def test_writing_makes_exactly_the_files(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Law: the command writes every file, also where the folder is missing."""
    monkeypatch.setattr(json_schema, "FOLDER", tmp_path / "json")
    json_schema.main()
    assert {path: path.read_bytes() for path in (tmp_path / "json").iterdir()} == files()


@pytest.mark.parametrize("name", sorted(VALIDATORS))
def test_each_is_a_schema_of_draft_2020_12(name: str) -> None:
    """Law: every file is valid by its own dialect and carries a name of its own."""
    schema = SCHEMAS[name]
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"urn:tastestream:{name}:v1"


def test_reserved_types_are_in_no_schema() -> None:
    """Law: what is not taken yet is not published, and no schema but the default's takes a document without a type."""
    assert not [name for name in RESERVED_TYPES if f'"{name}"'.encode() in b"".join(files().values())]
    document = {"user_id": "42", "item_id": 318, "rating": 4.5, "attributes": {}}
    assert [name for name in EVENT_MODELS if VALIDATORS[name].is_valid(document)] == ["rated"]


ids: Drawn = st.sampled_from(
    ["42", 42, -1, 2**64 - 1, "", "_popular", "u" * 256, "u" * 257, "a\0", "a\n", True, None, 1.5, []]
)
items: Drawn = st.sampled_from([0, 318, 2**32 - 1, 2**32, -1, "", "tt1", "i" * 257, "\x9b", True, None, 1.5, [], {}])
times: Drawn = st.sampled_from(
    [
        "2026-11-22T12:00:00Z",
        "2026-11-22 12:00:00.123+01:00",
        "2026-11-22T12:00:00",
        "2026-11-22T24:00:00Z",
        "2026-11-22",
        "x2026-11-22T12:00:00Z",
        631_152_000_000,
        631_151_999_999,
        LATEST_MS,
        LATEST_MS + 1,
        -1,
        1.5,
        True,
        None,
        [],
    ]
)
attribute_values: Drawn = st.sampled_from(
    [1, 1.5, True, None, "", "x" * 256, "x" * 257, 2**63 - 1024, 2**63, 1 - 2**63, -(2**63), [], {}]
)
attribute_names = st.sampled_from(["a", "_", "A9", "a" * 64, "a" * 65, "", "a.b", "a/b", "9a", "ä"])
attributes = st.one_of(
    st.dictionaries(attribute_names, attribute_values, max_size=2),
    st.integers(60, 70).map(lambda count: {f"a{n}": n for n in range(count)}),
    st.sampled_from([None, [], "a"]),
)
FIELDS: dict[str, Drawn] = {
    "type": st.sampled_from([*EVENT_MODELS, "shown", "Rated", None, 1]),
    "user_id": ids,
    "item_id": items,
    "rating": st.sampled_from([4.5, 5, -1, "4.5", True, None, []]),
    "rated_at": times,
    "event_id": st.sampled_from(["e", "", "e" * 256, "e" * 257, None, 1]),
    "schema": st.sampled_from([1, 2, "1", None, True]),
    "attributes": attributes,
    "device": st.sampled_from(["x", None, {"os": []}]),
}
VALID: dict[str, Any] = {"user_id": "42", "item_id": 318, "rating": 4.5, "attributes": {}}


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """A valid event of any type with up to two fields replaced or taken out."""
    document = VALID | {"type": draw(st.sampled_from(sorted(EVENT_MODELS)))}
    for name in draw(st.lists(st.sampled_from(sorted(FIELDS)), max_size=2, unique=True)):
        if draw(st.integers(0, 4)):
            document[name] = draw(FIELDS[name])
        else:
            document.pop(name, None)
    return document


def is_decoded(document: dict[str, Any]) -> bool:
    text = isinstance(document.get("item_id"), str)
    rules = WireRules(Scale(-10, 10), "string" if text else "integer")
    try:
        decode_json(RawRecord(str(document.get("user_id")).encode(), orjson.dumps(document), LATEST_MS), rules)
    except MalformedRecordError:
        return False
    return True


@settings(patient, max_examples=1_000)
@given(document=documents())
def test_the_schema_takes_what_the_decoder_takes(document: dict[str, Any]) -> None:
    """Law: schema and decoder agree on every event, of each type and of the union; a missing type is `rated`."""
    taken = is_decoded(document)
    assert VALIDATORS["event"].is_valid(document) == taken
    kind = document.get("type", "rated")
    for name in EVENT_MODELS:
        assert VALIDATORS[name].is_valid(document) == (taken and kind == name)


def changed(*path: str, to: Any) -> dict[str, Any]:
    """The list above with one value replaced."""
    document: dict[str, Any] = orjson.loads(orjson.dumps(LIST))
    inner = document
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = to
    return document


@pytest.mark.parametrize(
    "document",
    [
        LIST,
        changed("items", to=[]),
        changed("items", to=[LIST["items"][0] | {"item_id": "tt1", "title": "T", "genres": ["War"]}]),  # type: ignore[index]
        changed("state", "avg_rating", to=None),
        changed("source", "event_id", to="e-1"),
        changed("later", to="a field of a later version"),
    ],
)
def test_a_list_is_valid(document: dict[str, Any]) -> None:
    """Law: optional fields may be absent, nulls stand where they are said to, and later versions may add fields."""
    VALIDATORS["recommendations"].validate(document)


@pytest.mark.parametrize(
    "document",
    [
        {name: value for name, value in LIST.items() if name != "state"},
        changed("schema", to=2),
        changed("user_id", to=42),
        changed("tier", to="best"),
        changed("items", to=[{"item_id": 527}]),
        changed("state", "version", to="57"),
        changed("source", "offset", to=None),
    ],
)
def test_what_is_no_list_is_not_valid(document: dict[str, Any]) -> None:
    """Law: a missing field, another schema, tier or type is no list of ours."""
    assert not VALIDATORS["recommendations"].is_valid(document)
