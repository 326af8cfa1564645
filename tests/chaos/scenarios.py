"""The scenarios by name, and how one is run: its trial, its store, its judgement; nothing of it is left behind."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import FrameType

import edge_scenarios
import outage
import server_scenarios
import stalls
from chaos_oracle import Judgement
from chaos_worker import ChaosWorker
from qdrant_double import QdrantDouble
from rating_stream import Pace
from trial import EXACTLY_ONCE, NO_DEDUPLICATION, Build, Ground, Record, Terms, Trial

from consumers.settings_mapping import server_options
from consumers.stores.server_connection import Connection

URL_VARIABLE, KEY_VARIABLE = "QDRANT_URL", "QDRANT_API_KEY"
AFTER_LIMIT_S = 600.0
"""How long a scenario may take beyond its time: to start, to take the rest, to be judged."""

Drive = Callable[[Trial, QdrantDouble | None], ChaosWorker | list[ChaosWorker]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is done, on which store, with what share of the time, and with which settings of the workers.

    `on_server` is on the double; `on_any_server` as well, but on the server of `QDRANT_URL` where there is one.
    """

    drive: Drive
    share: float
    on_server: bool = False
    on_any_server: bool = False
    pace: Pace = field(default_factory=Pace)
    settings: dict[str, str] = field(default_factory=dict)
    build: Build = EXACTLY_ONCE


def _on_edge(drive: Callable[[Trial], ChaosWorker]) -> Drive:
    return lambda trial, _: drive(trial)


SOON = {"topics__session_timeout_ms": "1000", "topics__heartbeat_interval_ms": "200"}
BRISK = Pace(500.0, 5_000)
NO_BACKLOG = Pace(60.0, 100_000)
WAITING = Pace(100.0, 1_000_000)
PATIENT = {"qdrant__timeout_s": "2", "limits__batch_max_records": "1000"}
SCENARIOS: dict[str, Scenario] = {
    "kills": Scenario(_on_edge(edge_scenarios.kills), 8, pace=BRISK, settings=SOON),
    "pauses": Scenario(_on_edge(edge_scenarios.pauses), 1),
    "broker": Scenario(_on_edge(edge_scenarios.broker), 2),
    "disk": Scenario(_on_edge(edge_scenarios.disk), 1),
    "old-folder": Scenario(_on_edge(edge_scenarios.old_folder), 1),
    "zombies": Scenario(server_scenarios.pauses, 2, on_server=True, on_any_server=True),
    "rebalances": Scenario(server_scenarios.rebalances, 2, on_server=True, on_any_server=True, settings=SOON),
    "store-faults": Scenario(server_scenarios.store_faults, 2, on_server=True, settings={"qdrant__timeout_s": "2"}),
    "stuck-call": Scenario(server_scenarios.stuck_call, 2, on_server=True),
    "outage": Scenario(outage.outage, 2, on_server=True, pace=WAITING, settings=PATIENT),
    "stalls": Scenario(_on_edge(stalls.restarts), 2, pace=NO_BACKLOG, settings=stalls.SESSION),
    "scaling": Scenario(
        stalls.scaling, 2, on_server=True, on_any_server=True, pace=NO_BACKLOG, settings=stalls.SESSION
    ),
    "no-deduplication": Scenario(_on_edge(edge_scenarios.kills), 1, pace=BRISK, settings=SOON, build=NO_DEDUPLICATION),
}
CONTROLS = frozenset({"no-deduplication"})
"""Scenarios in which something must be found wrong: they show that the judgement can see."""


@dataclass(slots=True)
class Outcome:
    """A scenario that was run, whatever came of it."""

    name: str
    seed: int
    seconds: float = 0.0
    record: Record = field(default_factory=Record)
    judgement: Judgement = field(default_factory=Judgement)
    redelivered: int = 0
    lists: int = 0
    rss_mb_max: float = 0.0
    longest_gap_s: float = 0.0

    @property
    def problems(self) -> list[str]:
        """What is not as it must be."""
        if self.name in CONTROLS:
            seen = self.judgement.wrong_users > 0
            return self.record.problems + ([] if seen else ["without deduplication no user was found wrong"])
        return self.record.problems + self.judgement.problems


class TimeLimitError(AssertionError):
    """A scenario took longer than it may."""


def run_scenario(ground: Ground, name: str, terms: Terms) -> Outcome:
    """Run one scenario; whatever goes wrong is among its problems."""
    outcome, scenario = Outcome(name, terms.seed), SCENARIOS[name]
    began_at = time.monotonic()
    ground.say(f"{name}: begins, {max(terms.seconds, 0):.0f} s")
    try:
        with (
            time_limit(max(terms.seconds, terms.limit_s) + AFTER_LIMIT_S),
            _trial(ground, name, terms) as (trial, double),
        ):
            outcome.record = trial.record
            driven = scenario.drive(trial, double)
            workers = driven if isinstance(driven, list) else [driven]
            until_s = time.time()
            outcome.judgement = trial.finish(*workers)
            outcome.redelivered = trial.redelivered(outcome.judgement.events)
            outcome.lists, outcome.rss_mb_max = trial.watch.lists, trial.memory.max_mb
            outcome.longest_gap_s = trial.watch.longest_gap_s(until_s)
    except Exception as error:  # noqa: BLE001 - the next scenario shall run, and this one's failure be told
        outcome.record.problems.append(f"{type(error).__name__}: {error}")
    outcome.seconds = time.monotonic() - began_at
    return outcome


@contextmanager
def _trial(ground: Ground, name: str, terms: Terms) -> Iterator[tuple[Trial, QdrantDouble | None]]:
    scenario = SCENARIOS[name]
    with ExitStack() as stack:
        settings, double = dict(scenario.settings), None
        url = os.environ.get(URL_VARIABLE) if scenario.on_any_server else None
        if scenario.on_server and url is None:
            double = stack.enter_context(QdrantDouble(ground.folder / f"qdrant-{name}-{time.monotonic_ns()}"))
            stack.callback(double.release)
            url = f"http://127.0.0.1:{double.port}"
        if url is not None:
            settings |= {"qdrant__store": "server", "qdrant__url": url}
            settings |= {"qdrant__api_key": key} if (key := os.environ.get(KEY_VARIABLE)) else {}
        trial = Trial(ground, name, terms, scenario.pace, scenario.build, **settings)
        stack.callback(trial.remove)
        if url is not None and double is None:
            stack.callback(_remove_collections, trial)
        yield stack.enter_context(trial), double


def _remove_collections(trial: Trial) -> None:
    settings = trial.deployment.settings
    connection = Connection(server_options(settings))
    try:
        for found in connection.models.get_collections().collections:
            if found.name.startswith(settings.prefixed("")):
                connection.models.delete_collection(found.name)
    finally:
        connection.close()


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """End the block with an error once it takes too long; in the main thread only."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise TimeLimitError(f"it took longer than {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
