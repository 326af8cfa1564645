"""Commands with more options than a function has room for: a dataclass whose fields are the options."""

from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from inspect import Parameter, Signature
from typing import Any, TypeVar, get_type_hints

import typer

Options = TypeVar("Options")


def with_options(run: Callable[[typer.Context, Options], None], options: type[Options]) -> Callable[..., None]:
    """A command for typer that hands what was typed to `run`, as an instance of the dataclass `options`."""

    def command(context: typer.Context, **typed: Any) -> None:
        run(context, options(**typed))

    hints = get_type_hints(options, include_extras=True)
    declared: tuple[Field[Any], ...] = fields(options)  # type: ignore[arg-type]  # mypy has no name for "a dataclass"
    parameters = [Parameter(field.name, Parameter.KEYWORD_ONLY, default=_default(field)) for field in declared]
    # What typer reads a command by.
    vars(command)["__signature__"] = Signature(
        [
            Parameter("context", Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context),
            *(parameter.replace(annotation=hints[parameter.name]) for parameter in parameters),
        ]
    )
    command.__annotations__ = {"context": typer.Context, **hints}
    command.__doc__ = run.__doc__
    return command


def _default(field: Field[Any]) -> Any:
    return Parameter.empty if field.default is MISSING else field.default
