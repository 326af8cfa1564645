"""Lists as the terminal shows them: what items were found by is said where the list carries it, and nowhere else."""

from typing import Any, cast

import pytest
from rich.console import Console
from rich.table import Table

from consumers.commands.presentation import found_by, list_table, list_titles, reasons_table
from consumers.commands.watch import _table
from schemas.recommendations import ListItem, RecommendationList

WIDTH = 160
SHORT = {
    "collaborative: ratings": ("collaborative", ["ratings"]),
    "collaborative: ratings + factors": ("collaborative", ["ratings", "factors"]),
    "content": ("content", ["content"]),
    "both: ratings + content": ("both", ["ratings", "content"]),
}


def listed(**ways: object) -> ListItem:
    item = {"item_id": 6, "title": "Heat [1995]", "score": 1.0, "predicted_rating": 4.0, "support": 9, **ways}
    return cast("ListItem", item)


def list_of(*items: ListItem) -> RecommendationList:
    times = {"generated_at": "2026-01-01T00:00:00.000Z", "source": {"rated_at": "2026-01-01T00:00:00.000Z"}}
    return cast("RecommendationList", {"user_id": "ann", "tier": "personal", "items": [*items], **times})


def shown(table: Table) -> str:
    console = Console(width=WIDTH)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


HYBRID = list_of(listed(type="both", source=["ratings", "content"]), listed())
PLAIN = list_of(listed())


@pytest.mark.parametrize("text", SHORT)
def test_type_and_source_are_said_in_short(text: str) -> None:
    """Both are there, and a word that says both stands once."""
    kind, source = SHORT[text]
    assert found_by(listed(type=kind, source=source)) == text


def test_an_item_that_says_nothing_is_shown_as_it_is() -> None:
    """Of a list without ways, nothing is claimed."""
    assert found_by(listed()) == ""
    assert list_titles(PLAIN, 3) == ["Heat [1995]"]


def tables(value: RecommendationList) -> dict[str, str]:
    made: dict[str, Any] = {
        "list": list_table(value, 5),
        "reasons": reasons_table(value["items"]),
        "watch": _table([value], 3),
    }
    return {name: shown(table) for name, table in made.items()}


def test_every_table_of_a_hybrid_list_says_it_once_per_item() -> None:
    """`show`, `watch` and `watch --why`: the item that carries it says it, the other item does not."""
    for name, text in tables(HYBRID).items():
        assert text.count("both: ratings + content") == 1, name
        assert text.count("Heat [1995]") == 2, name


def test_no_table_of_a_plain_list_has_the_column() -> None:
    """Neighbours by ratings alone are the rule, which is not worth a column."""
    assert not [name for name, text in tables(PLAIN).items() if "found by" in text or "ratings" in text.split("\n")[1]]
