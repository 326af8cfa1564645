"""A check every so often goes on from where the last one ended, and outlives stores and brokers that are away."""

import urllib.request
from typing import get_args

import pytest
from prometheus_client.parser import text_string_to_metric_families

from consumers.cluster import ClusterError
from consumers.judgement import Judgement
from consumers.metric_names import VerifyMetricName
from consumers.metrics import VerifyMetrics
from consumers.scheduled_check import check_every
from consumers.state_check import Mismatch, Report
from consumers.verification import Difference
from consumers.verify_report import MISMATCHES_SHOWN_MAX, report_document, report_lines
from producers.broker_config import free_ports
from recommender.store import StoreMismatchError, StoreUnavailableError


class EnoughError(Exception):
    """The test has seen enough."""


def test_checks_follow_each_other_and_failures_are_tried_again() -> None:
    """A failed check is made again from the same user; what lasts ends it; the pause is what the interval leaves."""
    begun: list[int] = []
    slept: list[float] = []

    def check(from_id: int) -> Report:
        begun.append(from_id)
        match len(begun):
            case 2:
                raise StoreUnavailableError("away")
            case 3:
                raise ClusterError("away")
            case 5:
                raise StoreMismatchError("another store")
        return Report(users=3, next_id=len(begun))

    with pytest.raises(StoreMismatchError):
        check_every(60, check, None, slept.append)
    assert begun == [0, 1, 1, 1, 4]
    assert all(0 <= pause <= 60 for pause in slept)


def test_what_the_last_check_found_is_served() -> None:
    """Over HTTP, failures counted, and ready while checks can be made."""
    port = free_ports(["metrics"])["metrics"]
    found = Report(users=7, mismatch_count=2, not_provable=1, seconds=0.5)
    seen: list[dict[str, float]] = []

    def check(_from_id: int) -> Report:
        if seen:
            raise ClusterError("away")
        return found

    def look(_pause_s: float) -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            families = text_string_to_metric_families(answer.read().decode())
        seen.append({s.name: s.value for family in families for s in family.samples})
        if len(seen) == 2:
            raise EnoughError

    with pytest.raises(EnoughError):
        check_every(1, check, ("127.0.0.1", port), look)
    names = ("users", "mismatches", "not_provable", "seconds", "failures_total")
    served = [[values[f"tastestream_verify_{name}"] for name in names] for values in seen]
    assert served == [[7, 2, 1, 0.5, 0], [7, 2, 1, 0.5, 1]]


def test_every_named_metric_is_served_and_none_besides() -> None:
    """`VerifyMetricName` is the whole list."""
    text = VerifyMetrics().render().decode()
    names = {family.name for family in text_string_to_metric_families(text)}
    ours = {name.removesuffix("_total") for name in get_args(VerifyMetricName)}
    assert {n for n in names if n.startswith("tastestream") and not n.endswith("_created")} == ours


def test_a_report_is_told_in_full_to_programs_and_in_part_to_people() -> None:
    """All details in the document, with their number of differences; lines stop at a limit and say so."""
    wrong = Judgement("wrong", ("t:1", 9), tuple(Difference(f"item {n}", n, None) for n in range(30)))
    found = [Mismatch(f"u{n}", n, wrong) for n in range(MISMATCHES_SHOWN_MAX + 3)]
    report = Report(users=50, mismatch_count=len(found), mismatches=found, checked_to={"t:1": 12})
    document = report_document(report, lambda source: source.replace("t:", "topic "))
    assert (document["mismatches"], len(document["details"])) == (len(found), len(found))
    assert document["details"][0]["since"] == {"place": "topic 1", "offset": 9}
    assert (len(document["details"][0]["differences"]), document["details"][0]["differences_count"]) == (20, 30)
    text = "\n".join(report_lines(report, str))
    assert "user u0 is not what the events make it, since t:1 offset 9" in text
    assert "  item 3: 3 expected, nothing found" in text
    assert "and 10 differences more" in text
    assert "and 3 users more" in text
    assert "u22" not in text
