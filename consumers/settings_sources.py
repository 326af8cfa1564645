"""Where settings are read: command line, environment, `.env`, TOML. Nothing here knows a single setting.

- A source is read into a `Layer`: values by dotted name, each with the place it was found at.
- A key that names no setting is a problem, in every source alike; the message has its full name and the nearest one.
- An empty variable counts as not set.
- A problem is one line: the setting, its source, what is wrong. No line holds the value of a secret.
"""

import difflib
import io
import json
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_origin

from dotenv import dotenv_values
from dotenv.parser import parse_stream
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

PREFIX = "TASTESTREAM_"
CONFIG_VARIABLE = PREFIX + "CONFIG"
OTHER_VARIABLES = frozenset({CONFIG_VARIABLE, PREFIX + "KAFKA_CACHE", PREFIX + "MAVEN_MIRROR"})
"""Variables of ours that are no settings: the TOML file, and where the local broker's files are kept and fetched."""

_SERVICE_LINK = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP)(_\w+)?)?)$")

Fields = Mapping[str, FieldInfo]


class SettingsError(Exception):
    """Settings cannot be used; `problems` has one line for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Layer:
    """What one source says: values and places by dotted name (`kafka.properties.client.id` for one property)."""

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def put(self, name: str, value: Any, place: str) -> None:
        """Note a value; a mapping is noted key by key, tables within it joined by dots."""
        if not isinstance(value, Mapping):
            self.values[name], self.places[name] = value, place
            return
        entries = dict(_dotted(value))
        self.values[name] = entries
        self.places.update({f"{name}.{key}": place for key in entries})

    def nested(self) -> dict[str, Any]:
        """The values as the model takes them, section within section."""
        document: dict[str, Any] = {}
        for name, value in self.values.items():
            *sections, last = name.split(".")
            at = document
            for section in sections:
                at = at.setdefault(section, {})
            at[last] = value
        return document


def setting_fields(model: type[BaseModel], prefix: str = "") -> dict[str, FieldInfo]:
    """Every setting of a model by its dotted name, in order."""
    fields: dict[str, FieldInfo] = {}
    for name, info in model.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            fields |= setting_fields(kind, f"{prefix}{name}.")
        else:
            fields[prefix + name] = info
    return fields


def variable_of(name: str) -> str:
    """The environment variable of a setting: `kafka.group` is `TASTESTREAM_KAFKA__GROUP`."""
    return PREFIX + name.upper().replace(".", "__")


def is_mapping(info: FieldInfo) -> bool:
    """Whether the setting is a table of its own, such as librdkafka properties."""
    return get_origin(info.annotation) is dict


def is_secret(info: FieldInfo) -> bool:
    """Whether values of the setting are never shown."""
    return info.annotation is SecretStr or SecretStr in get_args(info.annotation)


def document_layer(document: Mapping[str, Any], fields: Fields, place: str) -> Layer:
    """The layer of nested tables, as TOML and the command line have them; None counts as not given."""
    layer = Layer()
    _collect(document, "", fields, layer, place)
    return layer


def _collect(document: Mapping[str, Any], prefix: str, fields: Fields, layer: Layer, place: str) -> None:
    for key, value in document.items():
        name = prefix + key
        if name in fields:
            if value is not None:
                layer.put(name, value, place)
        elif not any(known.startswith(name + ".") for known in fields):
            layer.problems.append(f"{name} ({place}): {_unknown(name, fields)}")
        elif isinstance(value, Mapping):
            _collect(value, name + ".", fields, layer, place)
        else:
            layer.problems.append(f"{name} ({place}): is a section and needs a table, not one value")


def variables_layer(variables: Mapping[str, str | None], fields: Fields, place: str = "") -> Layer:
    """The layer of variables; `place` is the file they stand in ("": the environment)."""
    layer = Layer()
    names = {variable_of(name): name for name in fields}
    for variable, text in variables.items():
        if not variable.upper().startswith(PREFIX) or variable in OTHER_VARIABLES or text == "":
            continue
        where = place or f"environment {variable}"
        if variable not in names:
            layer.problems.append(f"{variable} ({place or 'environment'}): {_unknown(variable, names)}")
        elif text is None:
            layer.problems.append(f"{variable} ({where}): has no value; write {variable}=...")
        else:
            _put_text(layer, names[variable], text, fields, where)
    return layer


def _put_text(layer: Layer, name: str, text: str, fields: Fields, where: str) -> None:
    value: Any = text
    if is_mapping(fields[name]):
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            layer.problems.append(f'{name} ({where}): needs a JSON object, such as {{"client.id": "worker"}}')
            return
    layer.put(name, value, where)


def _unknown(name: str, known: Collection[str]) -> str:
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0)[0]
    # A Service of our name puts its address into every container beside it.
    link = "; if Kubernetes added it for a Service, set enableServiceLinks: false" if _SERVICE_LINK.search(name) else ""
    return f"there is no such setting; the nearest is {nearest}{link}"


def _dotted(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def read_dotenv(path: Path) -> Mapping[str, str | None]:
    """The variables of a `.env` file; none where there is no file.

    Raises:
        SettingsError: the file cannot be read, or a line of it cannot.
    """
    if not path.is_file():
        return {}
    text = _text(path)
    wrong = [binding.original.line for binding in parse_stream(io.StringIO(text)) if binding.error]
    if wrong:
        raise SettingsError([f"{path} (line {line}): is no NAME=VALUE" for line in wrong])
    return dotenv_values(stream=io.StringIO(text))


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML document.

    Raises:
        SettingsError: there is no such file, or it is not TOML.
    """
    try:
        return tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError([f"{path}: is not TOML: {error}"]) from None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise SettingsError([f"{path}: cannot be read: {reason}"]) from None


def places_of(layers: Sequence[Layer]) -> dict[str, str]:
    """Where each value that counts was found; `layers` come highest first."""
    return {name: place for layer in reversed(layers) for name, place in layer.places.items()}


def validation_problems(error: ValidationError, fields: Fields, places: Mapping[str, str]) -> list[str]:
    """What the model found wrong, one line each."""
    return [_problem(details, fields, places) for details in error.errors(include_url=False)]


def _problem(details: ErrorDetails, fields: Fields, places: Mapping[str, str]) -> str:
    path = [str(part) for part in details["loc"]]
    name = ".".join(path[: next((n for n in range(len(path)) if ".".join(path[:n]) in fields), len(path))])
    info = fields.get(name)
    shown = f"{name}.{path[name.count('.') + 1]}" if info and is_mapping(info) and len(path) > 2 else name
    place = f" ({places[shown]})" if shown in places else ""
    return f"{shown}{place}: {_reason(details, info)}" if shown else _reason(details, info)


def _reason(details: ErrorDetails, info: FieldInfo | None) -> str:
    if details["type"] == "value_error":
        return details["msg"].removeprefix("Value error, ")
    value = details["input"]
    hidden = info is None or is_secret(info) or is_mapping(info) or not isinstance(value, str | int | float)
    return details["msg"].removeprefix("Input ") + ("" if hidden else f", not {value!r}")
