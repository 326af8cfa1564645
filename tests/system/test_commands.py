"""The commands as an operator types them: processes of their own against a real Kafka and a real Edge store."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deployment import Deployment
from sample_ratings import ratings
from service_process import PROGRAM, WAIT_S
from topic_truth import committed_records, folded, updates

from consumers.catalogue_reading import item_producer
from consumers.store_opening import open_store
from producers.broker_config import free_ports
from producers.item_files import read_bundled_items
from producers.synthetic import SyntheticPlan, synthetic_dataset
from recommender.profile import UserState, mean_rating
from schemas.events import Event, Forgotten, ProfileChanged, Rated, Retracted
from schemas.recommendations import decode_list

EVENTS = 300
TOY_STORY, JUMANJI, HEAT = 1, 2, 6
YEAR_2020_MS = 1_577_836_800_000
FALSE_SECRET = "ab-12-not-to-be-seen"  # noqa: S105  # it opens nothing

LIFE: list[Event] = [
    ProfileChanged(type="profile", user_id="ann", attributes={"age": 31, "city": "Rome"}),
    Rated(user_id="ann", item_id=TOY_STORY, rating=4.5, rated_at=YEAR_2020_MS),
    Rated(user_id="ann", item_id=JUMANJI, rating=2.0, rated_at=YEAR_2020_MS + 2),
    Rated(user_id="ann", item_id=HEAT, rating=5.0, rated_at=YEAR_2020_MS + 1),
    Retracted(type="retracted", user_id="ann", item_id=JUMANJI, rated_at=YEAR_2020_MS + 3),
    Rated(user_id="bob", item_id=HEAT, rating=3.0, rated_at=YEAR_2020_MS),
    Forgotten(type="forget", user_id="bob"),
]


class Operator:
    """Types commands with a deployment's settings; further settings go by name, as in `qdrant__store="server"`."""

    def __init__(self, deployment: Deployment, folder: Path) -> None:
        self.deployment = deployment
        self._folder = folder
        self._started: list[subprocess.Popen[str]] = []

    def run(self, *arguments: str, **changed: str) -> subprocess.CompletedProcess[str]:
        """A command, run to its end."""
        return self.deployment.command(*arguments, **changed)

    def answer(self, *arguments: str, **changed: str) -> Any:
        """The JSON document that a command prints when all is well."""
        return self.deployment.answer(*arguments, **changed)

    def refusal(self, code: int, *arguments: str, **changed: str) -> str:
        """What a command says as it ends with this exit code, in a line or two and without a traceback."""
        done = self.run(*arguments, **changed)
        assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
        return done.stderr

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A command that goes on, at most until `end`."""
        self._started.append(
            subprocess.Popen(
                [*PROGRAM, *arguments],
                cwd=self._folder,
                env=self.deployment.environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return self._started[-1]

    def end(self) -> None:
        """End what still runs."""
        for process in self._started:
            process.kill()
            process.communicate()


@pytest.fixture
def operator(broker: str, topic_prefix: str, tmp_path: Path) -> Iterator[Operator]:
    """An operator of a deployment with topics, and a catalogue for its lists."""
    with Deployment(broker, topic_prefix, tmp_path) as deployment:
        made = Operator(deployment.make_topics(), tmp_path)
        with item_producer(deployment.settings) as producer:
            for item in read_bundled_items():
                producer.put(item)
        yield made
        made.end()


def last_offset(deployment: Deployment, user_id: str) -> int | None:
    """Where the newest event of a user stands."""
    offsets = [m.offset() for m in committed_records(deployment, deployment.topic) if m.key() == user_id.encode()]
    return offsets[-1]


def test_a_rating_is_answered_by_the_list_made_of_it(operator: Operator) -> None:
    """`rate --wait` prints the list whose source is the very rating; versions count on; what is rated is not listed."""
    operator.deployment.produce(ratings(EVENTS))
    worker = operator.deployment.worker().start().await_ready()
    operator.deployment.await_lag(0, worker)
    for version, item in enumerate((318, 296), 1):
        done = operator.answer("rate", "ann", str(item), "4.5", "--wait")
        found = done["list"]
        assert (found["user_id"], found["state"]["version"]) == ("ann", version)
        assert found["source"]["offset"] == last_offset(operator.deployment, "ann")
        assert found["items"]
        assert item not in {row["item_id"] for row in found["items"]}
    shown = operator.run("rate", "ann", "593", "4", "--wait")
    assert shown.returncode == 0
    newest = operator.answer("show", "ann")["list"]["items"]
    assert all(row["title"][:30] in shown.stdout for row in newest[:3])


def test_a_rating_nobody_answers_is_not_awaited_for_ever(operator: Operator) -> None:
    """Without a worker `rate` sends, at the time it is told to, and `rate --wait` ends with 1 and what to look at."""
    assert operator.run("rate", "ann", "1", "4", "--at", "2020-01-01T00:00:00Z").returncode == 0
    assert "tastestream run" in operator.refusal(1, "rate", "ann", "2", "4", "--wait", "--timeout-s", "0.5")
    (rows,) = folded(operator.deployment, updates(operator.deployment)).values()
    assert rows.history.items.tolist() == [1, 2]
    assert rows.history.rated_at[0] == YEAR_2020_MS


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ann", "1", "5.5"), "0.5..5.0"),
        (("ann", "1", "-3"), "0.5..5.0"),
        (("_popular", "1", "4"), "reserved"),
        (("ann", "1", "4", "--at", "1577836800"), "1990"),
        (("ann", "4294967296", "4"), "item id"),
    ],
)
def test_a_rating_that_the_worker_would_refuse_is_not_sent(
    operator: Operator, arguments: tuple[str, ...], said: str
) -> None:
    """The wire's rules hold before anything is sent: exit code 2, what is wrong, and an empty topic."""
    assert said in operator.refusal(2, "rate", *arguments)
    assert sum(operator.deployment.ends().values()) == 0


def test_a_user_is_shown_alike_with_and_without_the_worker(operator: Operator) -> None:
    """While the worker holds the store the events are folded, afterwards the store is read: the same to the digit."""
    operator.deployment.produce(LIFE)
    worker = operator.deployment.worker().start().await_ready()
    operator.deployment.await_lag(0, worker)
    from_topics = operator.answer("show", "ann")
    assert "a running worker holds the store" in operator.run("show", "ann").stdout
    assert "was forgotten" in operator.refusal(1, "show", "bob")
    assert worker.stop() == 0
    from_store = operator.answer("show", "ann")
    assert "was forgotten" in operator.refusal(1, "show", "bob")
    assert "is not known" in operator.refusal(1, "show", "eve")
    assert (from_topics.pop("source"), from_store.pop("source")) == ("topics", "store")
    assert from_topics == from_store
    assert from_store["attributes"] == {"age": 31, "city": "Rome"}
    assert (from_store["num_ratings"], from_store["avg_rating"], from_store["version"]) == (2, 4.75, 5)
    newest = [(row["item_id"], row["rating"]) for row in from_store["history"]]
    assert newest == [(JUMANJI, None), (HEAT, 5.0), (TOY_STORY, 4.5)]
    assert from_store["history"][2]["title"] == "Toy Story (1995)"
    assert from_store["list"]["state"] == {"epoch": 1, "version": 5, "num_ratings": 2, "avg_rating": 4.75}


def test_show_needs_no_store(operator: Operator) -> None:
    """On a machine without the store the events are folded, and it says so; the store is not made by looking."""
    operator.deployment.produce(LIFE)
    assert operator.answer("show", "ann")["source"] == "topics"
    assert "no list was published yet" in operator.run("show", "ann").stdout
    assert not operator.deployment.settings.edge_folder.exists()


def line_of(state: UserState) -> dict[str, Any]:
    """A user's line of the dump, written anew from what a dump promises."""
    if state.user_id is None:
        return {"forgotten": True, "count": state.count}
    history = state.history
    rows = zip(history.items.tolist(), history.ratings.tolist(), history.rated_at.tolist(), strict=True)
    return {
        "user_id": state.user_id,
        "num_ratings": len(history.rated()),
        "avg_rating": mean_rating(history),
        "count": state.count,
        "items": [[item, rating if rating > 0 else None, at_ms] for item, rating, at_ms in rows],
        "seen": state.seen.tolist(),
        "attributes": dict(state.attributes),
        "offsets": dict(state.offsets),
    }


def test_the_dump_is_the_fold_of_the_topic(operator: Operator, tmp_path: Path) -> None:
    """A line per user, in point id order, equal to a fold of the topic; of the forgotten one nothing but a count."""
    assert "there is no store yet" in operator.refusal(5, "dump")
    operator.deployment.produce([*ratings(EVENTS), *LIFE])
    worker = operator.deployment.worker().start().await_ready()
    operator.deployment.await_lag(0, worker)
    assert "qdrant.edge_path" in operator.refusal(5, "dump")
    assert worker.stop() == 0
    dumped = operator.run("dump").stdout
    lines = [json.loads(line) for line in dumped.splitlines()]
    tags = [line.pop("tag") for line in lines if "tag" in line]
    truth = folded(operator.deployment, updates(operator.deployment))
    assert lines == [line_of(state) for _, state in sorted(truth.items())]
    assert len(set(tags)) == len(lines) - 1
    assert all(isinstance(tag, str) and 0 < int(tag) < 2**63 for tag in tags)
    assert "bob" not in dumped
    assert operator.run("dump", "--out", str(tmp_path / "dump.jsonl")).stdout == ""
    assert (tmp_path / "dump.jsonl").read_text() == dumped
    assert "--out" in operator.refusal(2, "dump", "--out", str(tmp_path / "no folder" / "dump.jsonl"))


def started_watch(operator: Operator, *arguments: str) -> subprocess.Popen[str]:
    """A watch that misses nothing from here on."""
    watch = operator.start("watch", *arguments)
    assert watch.stderr is not None
    # The client may have something to say before.
    assert any("watching" in line for line in watch.stderr)
    return watch


def test_watch_sees_the_lists_of_those_it_is_asked_for(operator: Operator) -> None:
    """As JSON lines and as a table: each list of the user, once, in order, with exit code 0 after so many."""
    worker = operator.deployment.worker().start().await_ready()
    lines = started_watch(operator, "--json", "--user", "ann", "--events", "4")
    table = started_watch(operator, "--user", "ann", "--events", "4", "--top", "1")
    for event in LIFE[:4]:
        operator.deployment.produce([event, LIFE[5]])
        operator.deployment.await_lag(0, worker)
    printed = [json.loads(line) for line in lines.communicate(timeout=WAIT_S)[0].splitlines()]
    assert [(value["user_id"], value["state"]["version"]) for value in printed] == [("ann", n) for n in range(1, 5)]
    records = committed_records(operator.deployment, operator.deployment.settings.recommendations_topic)
    assert printed == [decode_list(m.value() or b"") for m in records if m.key() == b"ann"]
    shown = table.communicate(timeout=WAIT_S)[0]
    assert all(word in shown for word in ("ann", "first 1 titles", "freshness"))
    assert (lines.returncode, table.returncode) == (0, 0)


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_ctrl_c_is_how_watching_ends(operator: Operator, arguments: tuple[str, ...]) -> None:
    """Ctrl-C ends a watch with exit code 0, without a traceback; and so does the end of its time."""
    watch = started_watch(operator, *arguments)
    watch.send_signal(signal.SIGINT)
    _, said = watch.communicate(timeout=WAIT_S)
    assert (watch.returncode, "Traceback" in said) == (0, False)
    assert operator.run("watch", "--seconds", "0.1", *arguments).returncode == 0


def checks(operator: Operator, **changed: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code of `config check`, and its findings by what they are about."""
    done = operator.run("config", "check", "--json", **changed)
    assert "Traceback" not in done.stderr
    return done.returncode, {row["what"]: row for row in json.loads(done.stdout)["checks"]}


def test_config_check_says_whether_a_worker_would_start(operator: Operator) -> None:
    """Each failure has the exit code that the worker would end with; of several the first; looking makes nothing."""
    nowhere = f"127.0.0.1:{free_ports(['none'])['none']}"
    code, found = checks(operator)
    assert (code, {row["ok"] for row in found.values()}) == (0, {True})
    assert found.keys() == {"kafka", "group protocol", "permissions", "topics", "requests", "edge store"}
    assert "none yet" in found["edge store"]["detail"]
    assert "a worker may read" in found["requests"]["detail"]
    assert "off" in checks(operator, topics__requests="off", topics__replies="off")[1]["requests"]["detail"]
    assert checks(operator, kafka__bootstrap_servers=nowhere, kafka__request_timeout_s="1")[0] == 3
    code, found = checks(operator, namespace="nobody-made-this")
    assert (code, found["topics"]["exit_code"]) == (4, 4)
    assert "nobody-made-this.ratings" in found["topics"]["detail"]
    assert checks(operator, qdrant__edge_disk_reserve_bytes=str(2**62))[0] == 7
    assert not operator.deployment.settings.edge_folder.exists()
    refused = {"qdrant__store": "server", "qdrant__url": f"http://{nowhere}", "qdrant__timeout_s": "1"}
    assert checks(operator, **refused)[0] == 5


def test_config_check_looks_into_the_store(operator: Operator) -> None:
    """A store of other settings fails; one that a worker holds does not; one at rest is described."""
    open_store(operator.deployment.settings).close()
    assert "scale 0.5..5" in checks(operator)[1]["edge store"]["detail"]
    code, found = checks(operator, catalogue__scale_max="10")
    assert (code, found["topics"]["ok"]) == (6, True)
    assert "scale_max" in found["edge store"]["detail"]
    operator.deployment.worker().start().await_ready()
    code, found = checks(operator)
    assert (code, "held by another process" in found["edge store"]["detail"]) == (0, True)


def test_config_check_shows_every_setting_and_no_secret(operator: Operator) -> None:
    """Values and where they come from, on a terminal and as JSON; a secret is three stars everywhere."""
    settings = operator.answer("config", "check", qdrant__api_key=FALSE_SECRET)["settings"]
    rows = {row["name"]: (row["value"], row["source"]) for row in settings}
    assert rows["ranking.preset"] == ("default", "default")
    assert rows["topics.partitions"][1] == "environment TASTESTREAM_TOPICS__PARTITIONS"
    assert rows["qdrant.api_key"][0] == "***"
    shown = operator.run("config", "check", qdrant__api_key=FALSE_SECRET)
    assert "ranking.preset" in shown.stdout
    assert FALSE_SECRET not in shown.stdout + shown.stderr
    assert "QDRANT__STOER" in operator.refusal(2, "config", "check", qdrant__stoer="edge")


def test_a_replay_sends_what_it_says(operator: Operator) -> None:
    """Of an invented data set: its first ratings with their users' profiles, and nothing when it cannot be taken."""
    name, plan = "synthetic:users=20,items=30,ratings=8,seed=3", SyntheticPlan(20, 30, 8, 3)
    assert "rate or a speedup" in operator.refusal(2, "replay", name, "--rate", "5", "--speedup", "2")
    assert "outside the scale" in operator.refusal(2, "replay", name, catalogue__scale_max="1")
    before = sum(operator.deployment.ends().values())
    done = operator.answer("replay", name, "--events", "40", "--rate", "2000")
    assert (done["dataset"], done["events"]) == (synthetic_dataset(plan).name, 40)
    assert sum(operator.deployment.ends().values()) - before == done["events"] + done["profiles"]


def without_seconds(evaluation: Any) -> Any:
    """The figures of each system."""
    return {name: {**found, "seconds": 0} for name, found in evaluation["results"].items()}


def test_an_evaluation_is_the_same_through_the_engine_and_the_exact_store(operator: Operator) -> None:
    """Edge and the oracle rank alike, hence the same hits; it needs no Kafka; without position there are fewer."""
    arguments = ("evaluate", "bundled", "--events", "1500", "--preset", "default")
    edge, exact = (operator.answer(*arguments, "--store", store) for store in ("edge", "memory"))
    assert without_seconds(edge) == without_seconds(exact)
    assert (edge["dataset"], edge["events"]) == ("ml-latest-small", 1500)
    assert edge["results"]["default"]["warm"]["n"] + edge["results"]["default"]["cold"]["n"] < 1500
    without = operator.answer(*arguments, "--preset", "default-no-position")["results"]["default-no-position"]
    assert without["warm"]["hr10"] < edge["results"]["default"]["warm"]["hr10"]
    assert "HR@10" in operator.run("evaluate", "bundled", "--events", "300").stdout
