"""Breaks the real thing at random moments, and sees that nothing is lost, doubled or left behind.

    make chaos ARGS='--minutes 5'
    make chaos ARGS='--scenario kills --kills 1000 --events 1000000 --seed 3'

The seed names the faults, their order and the moments planned for them; when the machine gets to them is its own.
SIGTERM ends it early, with a judgement of what was done. Prints a table and writes build/chaos.json; ends with 1 when
anything is wrong, or when the control finds nothing wrong.
"""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from chaos_report import report, write
from rich.console import Console
from scenarios import SCENARIOS, Outcome, run_scenario
from trial import ENOUGH, Ground, Record, Terms

from consumers.logs import configure_logs
from consumers.settings_sections import LogSettings
from producers.broker import FAST_RECOVERY, BrokerError, BrokerOptions, LocalBroker

DEFAULT_MINUTES = 5.0
OVERHEAD_S = 10.0
"""What starting, taking the rest and judging add to a scenario's time."""
KILL_MAX_S, EVENTS_MIN_PER_S = 8.0, 100.0
"""Slower than this, a number of kills or events is given up."""

progress = Console(stderr=True)


def main() -> int:
    """Parse the options, run what they ask for."""
    options = _options()
    names = options.scenario or list(SCENARIOS)
    configure_logs(LogSettings(level="error"))
    signal.signal(signal.SIGTERM, lambda *_: ENOUGH.set())
    began_at, about_s = time.monotonic(), options.minutes * 60 + OVERHEAD_S * len(names)

    def say(text: str) -> None:
        at = f"[{time.monotonic() - began_at:.0f} of about {about_s:.0f} s]"
        progress.print(f"{at} {text}", style="dim", markup=False, highlight=False)

    with tempfile.TemporaryDirectory(prefix="tastestream-chaos-", ignore_cleanup_errors=True) as folder:
        outcomes = _run_all(Path(folder), names, options, say)
    document = write(outcomes)
    report(outcomes, document, as_json=options.json)
    return 1 if any(outcome.problems for outcome in outcomes) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=DEFAULT_MINUTES, help="for all scenarios together (5)")
    parser.add_argument("--kills", type=int, default=0, help="the scenario `kills` goes on until it has so many")
    parser.add_argument("--events", type=int, default=0, help="the scenario `kills` goes on until so many were sent")
    parser.add_argument("--seed", type=int, default=1, help="names the plan (1)")
    parser.add_argument("--scenario", action="append", choices=list(SCENARIOS), help="only this one; may be repeated")
    parser.add_argument("--json", action="store_true", help="print what is written to build/chaos.json")
    return parser.parse_args()


def _run_all(folder: Path, names: list[str], options: argparse.Namespace, say: Callable[[str], None]) -> list[Outcome]:
    shares = sum(SCENARIOS[name].share for name in names)
    outcomes = []
    with LocalBroker(BrokerOptions(properties=FAST_RECOVERY), say) as broker:
        for name in names:
            if not _is_back(broker):
                outcomes.append(Outcome(name, options.seed, record=Record(problems=["the broker does not start"])))
                continue
            seconds = options.minutes * 60 * SCENARIOS[name].share / shares
            terms = _terms(name, seconds, options)
            outcomes.append(run_scenario(Ground(broker.bootstrap_servers, folder, say, broker), name, terms))
            for problem in outcomes[-1].problems:
                say(f"{name}: {problem}")
    return outcomes


def _is_back(broker: LocalBroker) -> bool:
    """Start the broker where a scenario left it dead."""
    try:
        if not broker.running:
            broker.start()
    except BrokerError:
        return False
    return True


def _terms(name: str, seconds: float, options: argparse.Namespace) -> Terms:
    if name != "kills":
        return Terms(options.seed, seconds)
    limit_s = max(options.kills * KILL_MAX_S, options.events / EVENTS_MIN_PER_S)
    return Terms(options.seed, seconds, kills=options.kills, events=options.events, limit_s=limit_s)


if __name__ == "__main__":
    sys.exit(main())
