"""Throws inputs at the decoder and the handler, and says which broke a law.

    python tests/fuzz/fuzz.py --inputs 1000000
    python tests/fuzz/fuzz.py --replay HEX

Most inputs are samples of the corpus bent out of shape; Hypothesis draws the rest. Writes build/fuzz.json: {inputs,
classes, outcomes, events, dead_letters, failures}; ends with 1 when a law is broken or a class or reason was not hit.
"""

import argparse
import sys
import time
from pathlib import Path

import orjson
from campaign import Campaign, Failure, Tally, name_of
from corpus import CLASSES
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis.errors import Flaky
from inputs import Input, as_hex, from_hex
from laws import Broken, DecoderLaws
from structured import inputs

from schemas.reasons import REASONS

RESULT = Path(__file__).parents[2] / "build" / "fuzz.json"
REPORT_INTERVAL_S = 5.0
STRUCTURED_SHARE = 50
"""One input in so many is drawn by Hypothesis, which takes some hundred times as long for it."""
ALL_HIT_FROM_INPUTS = 20_000
"""From so many inputs on every class and every reason must be among them."""
HEX_SHOWN_MAX_CHARS = 100_000
NOT_FROM_DECODING = {"user_id_collision"}


def main() -> int:
    """Parse the options, run what they ask for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--inputs", type=int, default=100_000, help="how many in all")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other inputs")
    parser.add_argument("--replay", metavar="HEX", help="only these, or those in a file: @FILE")
    options = parser.parse_args()
    if options.replay is not None:
        return _replay(options.replay)
    begun = time.monotonic()
    campaign, structured = Campaign(), options.inputs // STRUCTURED_SHARE
    _bend(campaign, options.inputs - structured, options.seed)
    if structured:
        _draw(campaign, structured, options.seed)
    return _report(campaign, options.seed, time.monotonic() - begun)


def _bend(campaign: Campaign, count: int, seed: int) -> None:
    reported = time.monotonic()
    for tally in campaign.run(count, seed):
        if time.monotonic() - reported > REPORT_INTERVAL_S:
            reported = time.monotonic()
            _say(f"{tally.inputs:,} of {count:,} inputs, {len(tally.failures)} failures")


def _draw(campaign: Campaign, count: int, seed: int) -> None:
    """Let Hypothesis draw inputs, and shrink the first that breaks a law."""
    kept: list[Failure] = []

    @seeded(seed)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink),
    )
    @given(inputs())
    def holds(drawn: Input) -> None:
        before = len(campaign.tally.failures)
        campaign.judge([drawn])
        if len(campaign.tally.failures) > before:
            # While it shrinks every try fails; only the last, the smallest, is worth keeping.
            kept[:] = [campaign.tally.failures.pop()]
            raise Broken(kept[0].law)

    try:
        holds()
    except (Broken, Flaky):
        campaign.tally.failures += kept


def _report(campaign: Campaign, seed: int, seconds: float) -> int:
    tally = campaign.tally
    missed = _missed(tally) if tally.inputs >= ALL_HIT_FROM_INPUTS else []
    result = {
        "inputs": tally.inputs,
        "handled": tally.handled,
        "seed": seed,
        "classes": dict(tally.classes),
        "outcomes": dict(tally.outcomes),
        "events": tally.events,
        "dead_letters": tally.dead_letters,
        "failures": [{"law": failure.law, "hex": as_hex(failure.inputs)} for failure in tally.failures],
        "seconds": round(seconds, 1),
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_bytes(orjson.dumps(result, option=orjson.OPT_INDENT_2))
    for number, failure in enumerate(tally.failures):
        _show(failure, number)
    _say(
        f"{tally.inputs:,} inputs of {len(tally.classes)} classes in {seconds:.0f} s: {tally.events:,} events, "
        f"{tally.dead_letters:,} dead letters for {len(tally.outcomes) - 1} reasons, {len(tally.failures)} failures",
        *(f"never hit: {name}" for name in missed),
    )
    return 1 if tally.failures or missed else 0


def _missed(tally: Tally) -> list[str]:
    """Classes and reasons that no input met."""
    reasons = [reason for reason in REASONS if not tally.outcomes[reason] and reason not in NOT_FROM_DECODING]
    return [one.name for one in CLASSES if not tally.classes[one.name]] + reasons


def _show(failure: Failure, number: int) -> None:
    word = as_hex(failure.inputs)
    if len(word) > HEX_SHOWN_MAX_CHARS:
        file = RESULT.with_name(f"fuzz-failure-{number}.hex")
        file.write_text(word, encoding="ascii")
        word = f"@{file}"
    _say(f"broken: {failure.law}", f"  replay: python tests/fuzz/fuzz.py --replay {word}")


def _replay(word: str) -> int:
    campaign = Campaign()
    given_ = from_hex(Path(word[1:]).read_text(encoding="ascii") if word.startswith("@") else word)
    for one in given_:
        _say(f"{one!r:.2000}")
    campaign.judge(given_)
    for failure in campaign.tally.failures:
        _say(f"broken: {failure.law}")
    if not campaign.tally.failures:
        _say(*(f"holds: {name_of(DecoderLaws().judge(one))}" for one in given_))
    return 1 if campaign.tally.failures else 0


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
