"""The command line: what is typed wrongly ends with code 2 and a sentence, and no command fails with a traceback."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

import consumers.cli
from consumers.cli import _ended
from consumers.exit_codes import ExitCode, exit_code_lines
from consumers.settings_sources import SettingsError

COMMANDS = (
    "run",
    "demo",
    "replay",
    "rate",
    "forget",
    "show",
    "watch",
    "cards",
    "metrics",
    "dump",
    "verify",
    "rebuild",
    "evaluate",
    "dead-letters list",
    "topics create",
    "config check",
    "config permissions",
)


@pytest.fixture(autouse=True)
def _nothing_from_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the developer's, no store of theirs, and a Kafka that does not answer."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("TASTESTREAM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TASTESTREAM_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:9")
    monkeypatch.setenv("TASTESTREAM_KAFKA__REQUEST_TIMEOUT_S", "0.2")


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """What went to standard error, as one line without frames."""
    text = capsys.readouterr().err
    assert "Traceback" not in text
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", text).split())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` names the command and says something of every option."""
    assert _ended([*command.split(), "--help"]) == ExitCode.OK
    assert command.rpartition(" ")[2] in capsys.readouterr().out


def test_help_lists_commands_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    """All of both."""
    assert _ended(["--help"]) == ExitCode.OK
    shown = " ".join(capsys.readouterr().out.split())
    assert all(command.split()[0] in shown for command in COMMANDS)
    assert all(" ".join(line.split()) in shown for line in exit_code_lines())


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["sing"], "No such command"),
        (["rate", "ann", "1"], "Missing argument"),
        (["rate", "ann", "1", "four"], "Invalid value for 'rating'"),
        (["rate", "ann", "Heat", "4"], "catalogue.item_ids"),
        (["rate", "ann", "1", "4", "--wate"], "unexpected extra argument"),
        (["rate", "ann", "1", "4", "--timeout-s", "0"], "--timeout-s"),
        (["forget"], "Missing argument"),
        (["forget", "ann", "--wait", "--timeout-s", "0"], "--timeout-s"),
        (["run", "--accept-gap", "ratings"], "TOPIC:PARTITION"),
        (["replay", "bundled", "--rate", "0"], "above 0"),
        (["replay", "bundled", "--rate", "2", "--speedup", "2"], "not both"),
        (["replay", "bundled", "--events", "0"], "--events"),
        (["replay", "no/such/folder"], "no/such/folder"),
        (["replay", "synthetic:users=many"], "users=N"),
        (["replay", "synthetic:items=0"], "at least one"),
        (["evaluate", "synthetic:films=3"], "films=3"),
        (["verify", "--every", "5"], "Qdrant Edge"),
        (["verify", "--metrics-port", "0"], "--every"),
        (["verify", "--user", "ann", "--sample", "3"], "--user"),
        (["verify", "--file", "synthetic:films=3"], "films=3"),
        (["evaluate", "bundled", "--store", "server"], "--store"),
        (["--config", "no/such.toml", "config", "check"], "no/such.toml"),
    ],
)
def test_what_is_typed_wrongly_is_said(
    arguments: Sequence[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and the sentence names what is wrong."""
    assert _ended(list(arguments)) == ExitCode.USAGE
    assert reason in said(capsys)


@pytest.mark.parametrize(
    "command",
    ["run", "rate ann 1 4", "forget ann", "show ann", "watch", "metrics", "replay synthetic", "topics create"],
)
def test_without_kafka_a_command_ends_at_once(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 3, and the sentence names the address and the setting."""
    assert _ended(command.split()) == ExitCode.KAFKA
    assert re.search(r"127\.0\.0\.1:9 .*kafka\.bootstrap_servers", said(capsys))


def test_a_wrong_setting_ends_every_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 with the variable's name, whatever the command."""
    monkeypatch.setenv("TASTESTREAM_RANKING__LIST_LENGHT", "3")
    for command in ("rate ann 1 4", "dump", "config check", "evaluate synthetic"):
        assert _ended(command.split()) == ExitCode.USAGE
        assert "TASTESTREAM_RANKING__LIST_LENGTH" in said(capsys)


def test_a_dump_needs_a_store(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 5, and none is made by asking."""
    assert _ended(["dump"]) == ExitCode.STORE
    assert "qdrant.edge_path" in said(capsys)
    assert not Path(".tastestream").exists()


@pytest.mark.parametrize(
    ("failure", "code"),
    [(SettingsError(["a.b: no"]), ExitCode.USAGE), (KeyboardInterrupt(), ExitCode.INTERRUPTED)],
)
def test_a_failure_ends_with_its_code(failure: BaseException, code: ExitCode, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a command raises decides the exit code."""

    def fail(_arguments: list[str], prog_name: str) -> None:
        assert prog_name == "tastestream"
        raise failure

    monkeypatch.setattr(consumers.cli, "app", fail)
    assert _ended([]) == code


@pytest.mark.parametrize(
    ("raised", "code"), [(SystemExit(0), ExitCode.OK), (KeyboardInterrupt(), ExitCode.INTERRUPTED)]
)
def test_a_signal_that_came_in_the_middle_of_a_clients_call_ends_the_process_as_elsewhere(
    raised: BaseException, code: ExitCode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Law: the interpreter makes a SystemError of what a handler raises there; it is a stop, and no internal error."""

    def fail(_arguments: list[str], prog_name: str) -> None:
        assert prog_name == "tastestream"
        raise SystemError("a call returned a result with an exception set") from raised

    monkeypatch.setattr(consumers.cli, "app", fail)
    assert _ended([]) == code
