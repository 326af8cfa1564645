"""What a check found, as one document for programs and as lines for people."""

from collections.abc import Callable, Iterator
from typing import Any

from consumers.judgement import Kind, Place
from consumers.state_check import Mismatch, Report
from consumers.verification import Difference, Shown

DIFFERENCES_SHOWN_MAX = 20
MISMATCHES_SHOWN_MAX = 20
SHOWN_MAX_CHARS = 200

Named = Callable[[str], str]

_WORDS: dict[Kind, str] = {
    "wrong": "is not what the events make it",
    "behind": "lacks committed events",
    "missing": "is not in the store",
    "unknown": "is in the store, and no event is of it",
}


def report_document(report: Report, named: Named) -> dict[str, Any]:
    """All of a report; of a mismatch the first `DIFFERENCES_SHOWN_MAX` differences, and how many there are."""
    return {
        "users": report.users,
        "mismatches": report.mismatch_count,
        "not_provable": report.not_provable,
        "waiting": report.waiting,
        "records": report.records,
        "checked_to": {named(source): offset for source, offset in sorted(report.checked_to.items())},
        "seconds": round(report.seconds, 3),
        "details": [_mismatch(mismatch, named) for mismatch in report.mismatches],
    }


def report_lines(report: Report, named: Named) -> Iterator[str]:
    """The first mismatches with what differs, then the sum."""
    for mismatch in report.mismatches[:MISMATCHES_SHOWN_MAX]:
        yield from _mismatch_lines(mismatch, named)
    if (more := report.mismatch_count - MISMATCHES_SHOWN_MAX) > 0:
        yield f"and {more:,} users more (--json has {len(report.mismatches):,} of them)"
    per_s = report.records / report.seconds if report.seconds else 0.0
    yield (
        f"{report.users:,} users, {report.mismatch_count:,} mismatches, {report.not_provable:,} not provable (events "
        f"are gone from the topics, or their order is not known), {report.waiting:,} with uncommitted events to come"
    )
    yield f"{report.records:,} records in {report.seconds:.1f} s ({per_s:,.0f} records/s)"


def _mismatch(mismatch: Mismatch, named: Named) -> dict[str, Any]:
    judgement = mismatch.judgement
    return {
        "user_id": mismatch.user_id,
        "point_id": str(mismatch.point_id),
        "kind": judgement.kind,
        "since": None
        if judgement.since is None
        else {"place": named(judgement.since[0]), "offset": judgement.since[1]},
        "differences_count": len(judgement.differences),
        "differences": [_difference(one) for one in judgement.differences[:DIFFERENCES_SHOWN_MAX]],
    }


def _difference(difference: Difference) -> dict[str, Shown]:
    return {"what": difference.what, "expected": difference.expected, "found": difference.found}


def _mismatch_lines(mismatch: Mismatch, named: Named) -> Iterator[str]:
    judgement = mismatch.judgement
    who = f"point {mismatch.point_id}" if mismatch.user_id is None else f"user {mismatch.user_id}"
    word = "" if judgement.kind is None else _WORDS[judgement.kind]
    yield f"{who} {word}{_since(judgement.since, named)}"
    for one in judgement.differences[:DIFFERENCES_SHOWN_MAX]:
        yield f"  {one.what}: {_text(one.expected)} expected, {_text(one.found)} found"
    if (more := len(judgement.differences) - DIFFERENCES_SHOWN_MAX) > 0:
        yield f"  and {more:,} differences more"


def _since(since: Place | None, named: Named) -> str:
    return "" if since is None else f", since {named(since[0])} offset {since[1]}"


def _text(value: Shown) -> str:
    return "nothing" if value is None else str(value)[:SHOWN_MAX_CHARS]
