"""Cards and their page: what data says is shown and never run, and a page needs nothing beside itself."""

import re
from html.parser import HTMLParser
from importlib.resources import files
from itertools import product
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.cards.card import UNKNOWN_TITLE, Card, cards_of, imdb_id
from consumers.cards.page import Illustrated, page
from consumers.cards.pictures import Picture, picture_of
from consumers.cards.tiles import initials, tile, tile_colours
from consumers.catalogue_reading import NamedCatalogue
from consumers.item_ids import INTEGER_IDS
from recommender.catalogue import Catalogue, CatalogueItem
from schemas.recommendations import RecommendationList

HARM = "</h2></style><script>alert('1')</script><img src=x onerror=\"alert(1)\">"
WHY: dict[str, Any] = {
    "neighbours": [],
    "other_neighbours": {"count": 0, "contribution": 0},
    "ratings": [
        {"item_id": 6, "rating": 5.0, "neighbours": 3, "contribution": 0.5, "title": "Heat"},
        {"item_id": 9, "rating": 1.0, "neighbours": 1, "contribution": -0.1},
    ],
    "other_ratings": {"count": 3, "contribution": 0.3},
    "trend": 0.3,
    "popularity": 0,
    "without": [{"item_id": 6, "place": None, "title": "Heat"}, {"item_id": 9, "place": 1}],
}


class Tags(HTMLParser):
    """Everything a browser would make of a page: its elements, their attributes, its text."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, tag: str, name: str) -> list[str]:
        """The values of an attribute."""
        return [value for at, named, value in self.attributes if (at, named) == (tag, name)]


def listed(*items: dict[str, Any], **changed: Any) -> RecommendationList:
    value: Any = {
        "schema": 1,
        "user_id": "ann",
        "list_id": "ann:1.2",
        "tier": "personal",
        "items": [{"score": 1.0, "predicted_rating": 4.25, "support": 12, **item} for item in items],
        "ranking": "default",
        "state": {"epoch": 1, "version": 2, "num_ratings": 2, "avg_rating": 3.5},
        "source": {},
        "generated_at": "2026-11-22T12:05:00.000Z",
        **changed,
    }
    return value  # type: ignore[no-any-return]  # as much of a list as a page looks at


def explained(title: str) -> dict[str, Any]:
    """An explanation by one rating of an item of this title."""
    rating = {"item_id": 1, "title": title, "rating": 5.0, "contribution": 1.0}
    return {**WHY, "ratings": [rating], "without": [{"item_id": 1, "title": title, "place": 3}]}


def catalogue(**links: str) -> Catalogue:
    made = Catalogue()
    made.put(1, CatalogueItem("Toy Story (1995)", ("Adventure", "Animation"), (), 1995, links))
    return made


def named(known: Catalogue) -> NamedCatalogue:
    return NamedCatalogue(known, INTEGER_IDS)


def drawn(value: RecommendationList, known: Catalogue, poster: Picture | None = None) -> Tags:
    return Tags(page(value, [Illustrated(card, poster) for card in cards_of(value, named(known))], 5))


def test_a_card_has_what_list_and_catalogue_say() -> None:
    """The catalogue's title of today before the list's, the year apart, figures as they stand in the list."""
    value = listed(
        {"item_id": 1, "title": "Old name"}, {"item_id": 2, "title": "Two", "genres": ["Drama"]}, {"item_id": "x"}
    )
    assert cards_of(value, named(catalogue(imdb="114709"))) == [
        Card(1, "Toy Story", ("Adventure", "Animation"), 1995, "tt0114709", 1.0, 4.25, 12),
        Card(2, "Two", ("Drama",), None, None, 1.0, 4.25, 12),
        Card(3, UNKNOWN_TITLE, (), None, None, 1.0, 4.25, 12),
    ]


def test_items_that_were_removed_since_have_no_card() -> None:
    """The others keep their places."""
    known = catalogue()
    known.remove(1)
    assert [card.place for card in cards_of(listed({"item_id": 1}, {"item_id": 2}), named(known))] == [2]


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("tt0114709", "tt0114709"),
        ("114709", "tt0114709"),
        ("0000001", "tt0000001"),
        ("tt10872600", "tt10872600"),
        ("", None),
        ("nm0000151", None),
        ("tt1&apikey=x", None),
        ("١١٤٧٠٩", None),
    ],
)
def test_an_imdb_id_keeps_its_zeros(link: str, expected: str | None) -> None:
    """It has seven digits at least, and nothing but digits goes into a request."""
    assert imdb_id(link) == expected


def test_titles_are_shown_and_do_no_harm() -> None:
    """Markup in any field of the data is text on the page: no element and no attribute comes of it."""
    item = {"item_id": 2, "title": HARM, "genres": [HARM], "why": explained(HARM)}
    plain = {**item, "title": "a", "genres": ["b"], "why": explained("c")}
    dangerous = drawn(listed(item, user_id=HARM, ranking=HARM, tier=HARM, widened=HARM), Catalogue())
    harmless = drawn(listed(plain, widened="no"), Catalogue())
    assert dangerous.tags == harmless.tags
    assert "script" not in dangerous.tags
    assert [(tag, name) for tag, name, _ in dangerous.attributes] == [
        (tag, name) for tag, name, _ in harmless.attributes
    ]
    assert dangerous.text.count(HARM) >= 7


def test_a_page_needs_nothing_beside_itself() -> None:
    """No address leads out of it, no script is in it, and its own policy forbids both."""
    for poster in (None, picture_of(b"\xff\xd8\xff")):
        value = listed({"item_id": 1, "why": WHY}, {"item_id": 2})
        found = drawn(value, catalogue(), poster)
        assert {name for _, name, _ in found.attributes if name in {"href", "srcset", "action", "data"}} == set()
        assert all(source.startswith("data:image/") for source in found.of("img", "src"))
        assert not re.search(r"url\(|@import|https?:", found.text)
        assert found.of("meta", "content")[0].startswith("default-src 'none'; img-src data:;")


def test_every_picture_is_described() -> None:
    """By the item's title, and as what it is: a poster, or a drawn tile."""
    value = listed({"item_id": 1})
    assert drawn(value, catalogue(), picture_of(b"\xff\xd8\xff")).of("img", "alt") == ["Poster of Toy Story"]
    assert "a drawn tile" in drawn(value, catalogue()).of("img", "alt")[0]


def test_an_explanation_is_shown_as_shares_of_the_score() -> None:
    """Each with its sign, together the whole score, and what would be without the rating that decides most."""
    value = listed({"item_id": 1, "why": WHY})
    reasons = cards_of(value, named(catalogue()))[0].reasons
    assert reasons is not None
    assert sum(row.share for row in reasons.rows) == pytest.approx(1)
    text = drawn(value, catalogue()).text
    for told in ("your 5 for Heat50%", "your 1 for item 9−10%", "3 more of your ratings30%", "what many rate now30%"):
        assert told in text
    assert "Without your rating of Heat it would not be listed at all." in text


@pytest.mark.parametrize("why", [None, [], {}, {**WHY, "ratings": [{}]}, {**WHY, "trend": "much"}])
def test_an_explanation_of_another_form_costs_no_card(why: Any) -> None:
    """It is left out."""
    (card,) = cards_of(listed({"item_id": 1, "why": why}), named(catalogue()))
    assert card.reasons is None


def test_an_empty_list_says_so() -> None:
    """Instead of a page of nothing; the list for users nobody knows has a name of its own."""
    found = drawn(listed(user_id="_popular", tier="popular"), Catalogue())
    assert "There is nothing in this list." in found.text
    assert "Popular now" in found.text


@given(st.text(max_size=40), st.lists(st.text(max_size=40), max_size=3))
def test_a_tile_can_be_drawn_of_everything(title: str, genres: list[str]) -> None:
    """It is well-formed whatever the title, the same each time, and its text is readable on both its colours."""
    first = tile(title, tuple(genres))
    assert tile(title, tuple(genres)) == first
    assert ET.fromstring(first.content).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314  # our own
    assert all(contrast(colour, "#fff") >= 4.5 for colour in tile_colours(title, tuple(genres)))


def contrast(one: str, other: str) -> float:
    """As WCAG 2 defines it."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    channels = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_is_readable_in_every_theme() -> None:
    """Light, dark and print: every colour of text on every ground, at least 4.5:1."""
    style = files("consumers.cards").joinpath("page.css").read_text(encoding="utf-8")
    roots = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    themes = [dict(re.findall(r"--([a-z]+): (#[0-9a-f]{3,6});", root)) for root in roots]
    assert len(themes) == 3
    for theme in themes:
        for text, ground in product(("ink", "quiet", "accent"), ("ground", "card")):
            assert contrast(theme[text], theme[ground]) >= 4.5, (text, ground)


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("The Matrix", "M"),
        ("Toy Story", "TS"),
        ("The", "T"),
        ("12 Angry Men", "1A"),
        ("", "?"),
        ("…!", "?"),
        ("千と 千尋", "千千"),
    ],
)
def test_a_tile_has_the_title_s_initials(title: str, expected: str) -> None:
    """Of its first two words, without an article in front."""
    assert initials(title) == expected


def test_no_width_of_a_screen_cuts_a_poster() -> None:
    """A poster keeps its shape wherever its card is laid out anew; a tile cut at its sides would lose its initials."""
    css = files("consumers.cards").joinpath("page.css").read_text(encoding="utf-8")
    rules = re.findall(r"\.poster {([^}]*)}", css)
    shapes = [shape for rule in rules for shape in re.findall(r"aspect-ratio: ([^;]+);", rule)]
    assert shapes == ["2 / 3"]
    assert not any(re.search(r"(?<!-)\b(min-)?height:", rule) for rule in rules)
    (stretched,) = (rule for rule in rules if "align-self: start" in rule)
    assert stretched != rules[0]


def test_reasons_have_the_whole_width_of_a_card() -> None:
    """They stand beside what is told of the item, not in it: a narrow column would make them three times as long."""
    value = listed({"item_id": 1, "why": explained("Heat")})
    document = page(value, [Illustrated(card, None) for card in cards_of(value, named(catalogue()))], 5)
    assert '</dl>\n</div>\n<section class="why">' in document


@pytest.mark.parametrize("length", [0, 1, 9, 18, 24])
def test_a_genre_leaves_room_for_the_place(length: int) -> None:
    """The longer it is the smaller it is written, so that it ends before the corner with the place."""
    drawn = tile("Heat", ("W" * length,)).content.decode()
    (size,) = re.findall(r'font-size="(\d+)" letter', drawn)
    assert 0 < int(size) <= 30
    assert tile("Heat", ("\N{LATIN SMALL LETTER SHARP S}" * 24,)).content.isascii()
    assert length * (0.74 * int(size) + 3) <= 256
