"""Exit codes are an interface: supervisors and scripts act on them."""

from consumers.exit_codes import ExitCode, exit_code_lines


def test_codes_are_distinct_and_stay_as_they_are() -> None:
    """Law: the numbers never change their meaning."""
    assert {code.name: int(code) for code in ExitCode} == {
        "OK": 0,
        "CHECK_FAILED": 1,
        "USAGE": 2,
        "KAFKA": 3,
        "TOPICS": 4,
        "STORE": 5,
        "STORE_MISMATCH": 6,
        "DISK_FULL": 7,
        "GAP": 8,
        "FENCED": 9,
        "STEP_TIMEOUT": 10,
        "DEAD_LETTERS": 11,
        "SUPERSEDED": 12,
        "INTERNAL": 70,
        "INTERRUPTED": 130,
    }


def test_every_code_is_described_in_one_line() -> None:
    """Law: what the README and --help print names every code once."""
    assert [int(line.split()[0]) for line in exit_code_lines()] == list(ExitCode)
    assert all(code.description and "\n" not in code.description for code in ExitCode)
