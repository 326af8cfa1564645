"""Commands with many options: the fields of a dataclass are the options, so that they travel as one value."""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any, TypeVar, get_type_hints

import typer

Options = TypeVar("Options")


def command_of(options: type[Options], run: Callable[[typer.Context, Options], None]) -> Callable[..., None]:
    """A command for typer that takes the fields of `options`, annotated as its parameters would be, and runs `run`."""
    hints = get_type_hints(options, include_extras=True)

    def command(context: typer.Context, **given: Any) -> None:
        run(context, options(**given))

    kind = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter("context", kind, annotation=typer.Context)]
    for field in fields(options):  # type: ignore[arg-type]  # mypy knows no type of all dataclasses
        default = inspect.Parameter.empty if field.default is MISSING else field.default
        parameters.append(inspect.Parameter(field.name, kind, default=default, annotation=hints[field.name]))
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what typer looks at
    command.__annotations__ = {"context": typer.Context, **hints}
    command.__doc__ = run.__doc__
    return command
