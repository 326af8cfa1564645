"""What every section of the settings is made of."""

from typing import Any

from pydantic import BaseModel, BeforeValidator, ConfigDict


class Section(BaseModel):
    """A group of settings; frozen, without unknown keys, and silent about values in its errors."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True, allow_inf_nan=False
    )


def _split(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


SEPARATED_BY_COMMAS = BeforeValidator(_split)
"""Lets a tuple be written as one text, as in a variable."""
