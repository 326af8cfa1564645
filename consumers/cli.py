"""The command line: one entry point, one way for errors to end it."""

import signal
import sys
from pathlib import Path
from typing import Annotated

import structlog
import typer

from consumers.commands import catalogue, dead_letters, factors, topics
from consumers.commands import config as config_commands
from consumers.commands.ask import ask_command
from consumers.commands.cards import cards_command
from consumers.commands.context import CommandContext, errors
from consumers.commands.demo import demo_command
from consumers.commands.dump import dump_command
from consumers.commands.evaluate import evaluate_command
from consumers.commands.forget import forget_command
from consumers.commands.metrics import metrics_command
from consumers.commands.rate import rate_command
from consumers.commands.rebuild import rebuild_command
from consumers.commands.replay import replay_command
from consumers.commands.run import run_command
from consumers.commands.show import show_command
from consumers.commands.verify import verify_command
from consumers.commands.watch import watch_command
from consumers.exit_codes import ExitCode, exit_code_lines
from consumers.failures import exit_code_of
from consumers.logs import configure_logs
from consumers.settings_sections import LogSettings

app = typer.Typer(
    name="tastestream",
    help="A Kafka-native streaming recommender on Qdrant sparse vectors.",
    epilog="Exit codes:\n\n" + "\n\n".join(exit_code_lines()),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.callback()
def shared(
    context: typer.Context,
    config: Annotated[Path | None, typer.Option("--config", help="TOML file with settings.", dir_okay=False)] = None,
) -> None:
    """Ratings in through Kafka, fresh lists out, exactly once in effect."""
    # Before any setting is read: a failure must not show what variables hold.
    configure_logs(LogSettings())
    context.obj = CommandContext(config)


app.command("run")(run_command)
app.command("demo")(demo_command)
app.command("replay")(replay_command)
# A negative rating is an argument, not an option.
app.command("rate", context_settings={"ignore_unknown_options": True})(rate_command)
app.command("forget")(forget_command)
app.command("ask")(ask_command)
app.command("show")(show_command)
app.command("watch")(watch_command)
app.command("cards")(cards_command)
app.command("metrics")(metrics_command)
app.command("dump")(dump_command)
app.command("verify")(verify_command)
app.command("rebuild")(rebuild_command)
app.command("evaluate")(evaluate_command)
app.add_typer(catalogue.app, name="catalogue")
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(factors.app, name="factors")
app.add_typer(topics.app, name="topics")
app.add_typer(config_commands.app, name="config")


def main() -> None:
    """The console script: every failure is one clear line and a documented exit code."""
    # A shell without job control has its background processes ignore SIGINT: whoever sends one wants it heard.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(_ended(sys.argv[1:]))


def _ended(arguments: list[str]) -> int:
    try:
        app(arguments, prog_name="tastestream")
    except (Exception, KeyboardInterrupt, SystemExit) as error:  # noqa: BLE001  # the process ends here, with its code
        match _unwrapped(error):
            case SystemExit(code=code):
                return code if isinstance(code, int) else ExitCode.OK
            case failure:
                return _reported(failure)
    return ExitCode.OK


def _unwrapped(error: BaseException) -> BaseException:
    # What a signal's handler raises while a compiled function calls back (a client's does) arrives as a SystemError.
    while isinstance(error, SystemError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _reported(error: BaseException) -> ExitCode:
    code = exit_code_of(error)
    if code is ExitCode.INTERNAL:
        structlog.get_logger().error("an internal error", exc_info=error)
    elif code is not ExitCode.INTERRUPTED:
        errors.print(f"tastestream: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
    return code
