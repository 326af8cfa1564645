"""`tastestream ask` as an operator types it, with a worker and without."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from deployment import Deployment
from sample_ratings import ratings

from consumers.catalogue_reading import item_producer
from consumers.exit_codes import ExitCode
from producers.item_files import read_bundled_items

Done = subprocess.CompletedProcess[str]
Ask = Callable[..., Done]


@pytest.fixture
def deployment(broker: str, topic_prefix: str, tmp_path: Path) -> Iterator[Deployment]:
    with Deployment(broker, topic_prefix, tmp_path) as made:
        yield made.make_topics()


@pytest.fixture
def ask(deployment: Deployment) -> Ask:
    """Runs the command with the deployment's settings."""

    def run(*arguments: str) -> Done:
        return deployment.command("ask", *arguments)

    return run


def test_questions_and_their_answers(deployment: Deployment, ask: Ask) -> None:
    """A list for a user, for likes by title, and similar users; `--json` is the reply; an error ends with code 1."""
    deployment.produce(ratings(2_000))
    with item_producer(deployment.settings) as producer:
        for item in read_bundled_items():
            producer.put(item)
    worker = deployment.worker().start()
    deployment.await_lag(0, worker)

    listed = ask("1", "--top", "3", "--filter", "genres=Drama", "--filter", "years=1990..")
    assert listed.returncode == ExitCode.OK, listed.stderr
    assert listed.stdout.startswith("user 1 (")
    assert listed.stdout.count("Drama") == 3

    liked = ask("--like", "Heat (1995)", "--like", "318=4.5", "--dislike", "tmdb:862", "--json")
    reply = json.loads(liked.stdout)
    assert (reply["type"], reply["asker"]["num_ratings"], len(reply["items"])) == ("recommend", 3, 10)

    near = ask("--similar-users", "1", "-n", "4", "--json")
    assert len(json.loads(near.stdout)["users"]) == 4

    told = ask("1", "--why", "--top", "3")
    assert told.returncode == ExitCode.OK, told.stderr
    assert told.stdout.count("because") == 3
    alike = ask("--similar-items", "Heat (1995)", "--by", "ratings")
    assert alike.stdout.startswith("items like Heat (1995), by ratings")

    unknown = ask("--like", "No Such Film", "--json")
    assert (unknown.returncode, json.loads(unknown.stdout)["error"]["code"]) == (ExitCode.CHECK_FAILED, "not_found")
    ambiguous = ask("--like", "Hamlet")
    assert ambiguous.returncode == ExitCode.CHECK_FAILED
    assert "Hamlet (1996)" in ambiguous.stderr
    assert worker.stop() == ExitCode.OK


def test_where_no_worker_answers(ask: Ask) -> None:
    """The command says so in a sentence when its time is up."""
    done = ask("1", "--timeout-s", "0.5")
    assert (done.returncode, done.stdout) == (ExitCode.CHECK_FAILED, "")
    assert "no worker answered within 0.5 s" in done.stderr


@pytest.mark.parametrize(
    "arguments", [(), ("1", "--filter", "age"), ("1", "--rule", "neighbours=many"), ("1", "--similar-items", "6")]
)
def test_what_is_no_question(ask: Ask, arguments: tuple[str, ...]) -> None:
    """Nobody is asked: the command line is wrong."""
    assert ask(*arguments).returncode == ExitCode.USAGE
