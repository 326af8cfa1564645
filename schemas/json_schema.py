"""The wire as JSON Schema (draft 2020-12), generated from the models that decode and type it.

`python -m schemas.json_schema` writes the files in `schemas/json/` anew. A schema says what can be said of a value on
its own; the record's key, the catalogue's kind and scale, the calendar and the clock are the decoder's.
"""

from pathlib import Path
from typing import Any

import orjson
from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from schemas.events import EVENT_MODELS, Event
from schemas.items import Item
from schemas.messages import SCHEMA_VERSION
from schemas.metrics import LiveMetrics
from schemas.questions import Question, QuestionBatch
from schemas.recommendations import RecommendationList
from schemas.replies import Reply

FOLDER = Path(__file__).with_name("json")

_ADAPTERS: dict[str, TypeAdapter[Any]] = {
    **{name: TypeAdapter(model) for name, model in EVENT_MODELS.items()},
    "event": TypeAdapter(Event),
    "item": TypeAdapter(Item),
    "recommendations": TypeAdapter(RecommendationList),
    "request": TypeAdapter(Question | QuestionBatch),
    "reply": TypeAdapter(Reply),
    "metrics": TypeAdapter(LiveMetrics),
}


def schemas() -> dict[str, dict[str, Any]]:
    """A schema per event type, `event` for any, and one each for items, lists, requests, replies and figures."""
    return {name: _schema(name, adapter) for name, adapter in _ADAPTERS.items()}


def files() -> dict[Path, bytes]:
    """What `schemas/json/` has to hold, by path."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    return {FOLDER / f"{name}.schema.json": orjson.dumps(schema, option=options) for name, schema in schemas().items()}


def main() -> None:
    """Write the files anew."""
    FOLDER.mkdir(exist_ok=True)
    for path, content in files().items():
        path.write_bytes(content)


def _schema(name: str, adapter: TypeAdapter[Any]) -> dict[str, Any]:
    header = {"$schema": GenerateJsonSchema.schema_dialect, "$id": f"urn:tastestream:{name}:v{SCHEMA_VERSION}"}
    return header | adapter.json_schema()


if __name__ == "__main__":
    main()
