"""`tastestream evaluate` as it is typed: which systems, which data sets, which forms of files, what comes out."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from rich.console import Console

from consumers.cli import _ended
from consumers.commands.evaluate import EvaluateOptions
from consumers.commands.evaluation_table import print_evaluations
from consumers.evaluation import BASELINES, EvaluationPlan, run_evaluation
from consumers.evaluation_plot import sliding_rate
from consumers.exit_codes import ExitCode
from consumers.settings import Settings
from producers.synthetic import SyntheticPlan, synthetic_dataset
from producers.tables import Ratings
from recommender.measures import Report

DATASET = synthetic_dataset(SyntheticPlan(users=12, items=30, mean_ratings_per_user=10))
SMALL = "synthetic:users=12,items=30,ratings=10"

Typed = Callable[..., list[Any]]


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str]) -> Typed:
    """Types the command with `--json` and returns the documents, a line each."""

    def run(*arguments: str) -> list[Any]:
        assert _ended(["evaluate", *arguments, "--store", "memory", "--json"]) == ExitCode.OK
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run


def rows() -> list[tuple[Any, Any, float, int]]:
    return list(DATASET.ratings.rows())


def written(path: Path, ratings: Ratings, line: str, header: str = "") -> Path:
    """A file of ratings: `line` has places u, i, r and s, seconds since 1970."""
    path.parent.mkdir(exist_ok=True)
    lines = [line.format(u=u, i=i, r=r, s=at // 1000) for u, i, r, at in ratings.rows()]
    path.write_text("".join(text + "\n" for text in [*([header] if header else []), *lines]))
    return path.parent


def figures(documents: list[Any], system: str = "popular") -> dict[str, Any]:
    (found,) = documents
    return {name: value for name, value in found["results"][system].items() if name not in {"seconds", "diversity"}}


def test_without_names_the_configured_preset_stands_beside_every_baseline(typed: Typed) -> None:
    """A preset that is named stands alone, a baseline that is named beside the configured preset; each comes once."""
    assert list(typed(SMALL)[0]["results"]) == ["default", *BASELINES]
    assert list(typed(SMALL, "--preset", "default-no-trend")[0]["results"]) == ["default-no-trend"]
    assert list(typed(SMALL, "--baseline", "item-knn")[0]["results"]) == ["default", "item-knn"]
    twice = EvaluateOptions([SMALL], preset=["default", "default"], baseline=["popular", "popular"])
    assert twice.systems("other") == ["default", "popular"]


def test_the_document_has_what_programs_ask_for(typed: Typed) -> None:
    """Names of figures are a contract: whoever reads them must go on working."""
    (found,) = typed(SMALL, "--preset", "default")
    assert (found["dataset"], found["events"]) == ("synthetic-7", len(DATASET.ratings))
    assert (found["users"], found["items"], found["batch"]) == (12, len(np.unique(DATASET.ratings.item)), 1)
    result = found["results"]["default"]
    assert {"hr10", "se_hr10", "hr10_liked", "se_hr10_liked", "ndcg10", "mrr10", "n"} <= result["warm"].keys()
    assert {"hr10", "se_hr10", "n"} <= result["cold"].keys()
    assert {"mae", "se_mae", "rmse", "coverage", "diversity", "novelty", "paired_z"} <= result.keys()


def test_several_data_sets_are_a_line_each(typed: Typed, tmp_path: Path) -> None:
    """In the order in which they were named, with the same systems and the same number of first ratings."""
    file = written(tmp_path / "mine" / "ratings.dat", DATASET.ratings, "{u}::{i}::{r}::{s}")
    documents = typed(str(file), SMALL, "--baseline", "popular", "--events", "60")
    assert [found["dataset"] for found in documents] == ["mine", "synthetic-7"]
    assert [found["events"] for found in documents] == [60, 60]


FORMS = {
    "ratings.csv": ("{u},{i},{r},{s}", "userId,movieId,rating,timestamp"),
    "ratings.dat": ("{u}::{i}::{r}::{s}", ""),
    "u.data": ("{u}\t{i}\t{r}\t{s}", ""),
    "log.csv": ("{s},sku-{i:03d},{r},user-{u}", "time,item,rating,user"),
}


@pytest.mark.parametrize("name", FORMS)
def test_the_form_of_a_file_does_not_matter(name: str, typed: Typed, tmp_path: Path) -> None:
    """MovieLens's three forms and any CSV with a header, its columns in any order and its ids text: equal figures."""
    plain = figures(typed(SMALL, "--baseline", "popular"))
    folder = written(tmp_path / "data" / name, DATASET.ratings, *FORMS[name])
    assert figures(typed(str(folder), "--baseline", "popular")) == {**plain, "se_diversity": None}


def test_a_scale_to_ten_is_found_or_told(typed: Typed, tmp_path: Path) -> None:
    """As MovieTweetings has it, with its movies and users: the scale is the data's own, unless it is told."""
    ratings = DATASET.ratings
    tens = Ratings(ratings.user, ratings.item, np.round(ratings.rating * 2), ratings.rated_at_ms)
    folder = written(tmp_path / "tweets" / "ratings.dat", tens, "{u}::{i:07d}::{r:.0f}::{s}")
    movies = [f"{item:07d}::Film {item} (19{item:02d})::Drama|War\n" for item in range(10, 31)]
    (folder / "movies.dat").write_text("".join(movies))
    (folder / "users.dat").write_text("1::139564917\n2::17528189\n")
    found, told = (
        figures(typed(str(folder), "--preset", "default", *scale), "default") for scale in ((), ("--scale", "0", "10"))
    )
    assert found["warm"]["n"] == told["warm"]["n"]
    assert found["mae"] > 1  # on the scale to ten
    assert told["warm"]["n_liked"] == sum_of_liked(tens, 8)


def sum_of_liked(ratings: Ratings, least: float) -> int:
    """Ratings of at least so much by users with five before them."""
    order = np.argsort(ratings.rated_at_ms, kind="stable")
    counts: dict[int, int] = {}
    liked = 0
    for user, rating in zip(ratings.user[order].tolist(), ratings.rating[order].tolist(), strict=True):
        liked += counts.get(user, 0) >= 5 and rating >= least
        counts[user] = counts.get(user, 0) + 1
    return liked


def test_batches_cost_quality(typed: Typed) -> None:
    """With lists from before a batch of 100 there are fewer hits, of the same ratings, and the document says so."""
    one, many = (typed(SMALL, "--preset", "default", "--batch", size)[0] for size in ("1", "100"))
    assert (one["batch"], many["batch"]) == (1, 100)
    warm = [found["results"]["default"]["warm"] for found in (one, many)]
    assert warm[0]["n"] == warm[1]["n"]
    assert warm[0]["hr10"] > warm[1]["hr10"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["bundled", "--preset", "best"], "'best' is none of default"),
        (["bundled", "--baseline", "default"], "'default' is none of popular"),
        (["bundled", "--scale", "5", "1"], "--scale"),
        (["bundled", "--batch", "0"], "--batch"),
        (["bundled", "--plot", "hits.doc"], r"hits\.doc.*\.svg"),
        (["bundled", "--plot", "no/such/hits.svg"], "no folder"),
        (["synthetic", "no/such/data", "--events", "1"], "no/such/data"),
    ],
)
def test_what_cannot_be_evaluated_is_said(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2 before any work, and the sentence names what is wrong."""
    monkeypatch.chdir(tmp_path)
    assert _ended(["evaluate", *arguments]) == ExitCode.USAGE
    captured = capsys.readouterr()
    assert re.search(told, " ".join(re.sub(r"[│╭╮╰╯─]", " ", captured.err).split()))
    assert captured.out == ""


def test_a_picture_has_a_line_for_each_system(typed: Typed, tmp_path: Path) -> None:
    """As SVG it holds their names and the data set's, in a panel for each data set; as PNG it is a picture."""
    svg, png = tmp_path / "hits.svg", tmp_path / "hits.PNG"
    both = ("--preset", "default-no-trend", "--baseline", "popular-7d")
    typed(SMALL, SMALL.replace("users=12", "users=14"), *both, "--plot", str(svg))
    text = svg.read_text()
    ET.fromstring(text)  # noqa: S314  # written a line above
    assert text.count("<!-- default-no-trend -->") == text.count("<!-- popular-7d -->") == 2
    assert text.count("<!-- synthetic-7: ") == 2
    typed(SMALL, "--preset", "default", "--plot", str(png))
    assert png.read_bytes().startswith(b"\x89PNG")


def test_a_picture_without_its_library_is_refused_before_the_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and the sentence names the extra to install; without `--plot` nothing needs it."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert _ended(["evaluate", SMALL, "--plot", "hits.svg"]) == ExitCode.USAGE
    assert "tastestream[plot]" in capsys.readouterr().err
    assert _ended(["evaluate", SMALL, "--baseline", "popular", "--events", "20"]) == ExitCode.OK


def test_a_window_slides_over_the_warm_ratings() -> None:
    """Each point is the mean of as many hits as the window is long, at the time of the last of them."""
    report = Report()
    for at_ms, rank in enumerate([0, None, 0, 0, None]):
        report.add_warm("ann", rank, at_ms)
    times, rates = sliding_rate(report, 2)
    assert times.astype(int).tolist() == [1, 2, 3, 4]
    assert rates.tolist() == [0.5, 0.5, 1.0, 0.5]


@pytest.mark.parametrize("width", [80, 160])
def test_a_table_is_never_cut_off(width: int, capsys: pytest.CaptureFixture[str]) -> None:
    """On a narrow terminal it comes in two parts; every figure is whole in either."""
    plans = [EvaluationPlan(DATASET, Settings(), None, name, "memory") for name in ("default-no-position", "popular")]
    evaluations = [run_evaluation(plan, lambda _done, _total: None) for plan in plans]
    print_evaluations(evaluations, Console(width=width))
    out = capsys.readouterr().out
    assert "…" not in out
    assert out.count("default-no-position") == (3 if width == 80 else 2)
    assert f"{evaluations[0].report.warm.rate:.4f}".removeprefix("0") in out
