"""What the programs of `make bench` write is one document, in the form that machines read."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.bench import frame
from tests.bench.frame import Bench, Requirement, spread


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(frame, "RESULTS", tmp_path / "build" / "bench.json")
    return tmp_path / "build" / "bench.json"


def _read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def test_headlines_of_several_programs_stand_side_by_side(written: Path) -> None:
    """What one program says at the top, another one adds to, and a second run replaces."""
    first, second = Bench("growth", quick=True), Bench("cold", quick=True)
    first.headline("growth", {"6000": {"refresh_us": 500.0}})
    first.headline("growth", {"60000": {"refresh_us": 700.0}})
    first.finish()
    second.headline("growth", {"6000": {"refresh_us": 400.0, "engine_bytes_per_user": 5800.0}})
    second.headline("articles_ratio", 2000.0)
    second.finish()
    document = _read(written)
    assert document["growth"] == {
        "6000": {"refresh_us": 400.0, "engine_bytes_per_user": 5800.0},
        "60000": {"refresh_us": 700.0},
    }
    assert document["articles_ratio"] == 2000.0
    assert document["machine"]["cores"] >= 1


def test_details_are_kept_by_program(written: Path) -> None:
    """Each program's figures and verdicts stand below `details`, and a program that fails says so twice."""
    bench = Bench("peers", quick=False, requirements=[Requirement("ratio", 2.0, 3.0)])
    bench.figure("events", "events_per_s", spread([1.0, 3.0, 2.0]), "1/s")
    assert bench.finish() == 1
    Bench("other", quick=True).finish()
    details = _read(written)["details"]
    assert details["peers"]["events_per_s"]["median"] == 2.0
    assert details["peers"]["requirements"][0]["is_met"] is False
    assert details["other"]["quick"] is True


def test_a_document_of_another_form_is_begun_anew(written: Path) -> None:
    """Figures that an older form kept elsewhere do not end up among the headlines."""
    written.parent.mkdir()
    written.write_text('{"freshness": {"p50_ratio": 2.0}}', encoding="utf-8")
    bench = Bench("freshness", quick=True)
    bench.headline("freshness", {"50": {"p50_ratio": 1.5}})
    bench.finish()
    assert _read(written)["freshness"] == {"50": {"p50_ratio": 1.5}}
