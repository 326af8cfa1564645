"""The page: cards as one HTML document with its style and its pictures in it, without scripts and without the network.

Whatever comes from data is escaped, and the document's own policy lets a browser run and load nothing but what is here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from importlib.resources import files

from consumers.cards.card import Card
from consumers.cards.pictures import Picture
from consumers.cards.reasons import Reason, Reasons
from consumers.cards.tiles import HEIGHT, WIDTH, tile
from schemas.identity import POPULAR_USER_ID
from schemas.recommendations import RecommendationList, Tier
from schemas.times import parse_time

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_TIERS: dict[Tier, str] = {
    "personal": "from the ratings of people with the same taste",
    "thin": "from the few ratings there are so far",
    "popular": "what many people like, as there are no ratings of their own yet",
}
_MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True, slots=True)
class Illustrated:
    """A card with its poster; None: it gets a drawn tile."""

    card: Card
    poster: Picture | None


def page(value: RecommendationList, cards: Sequence[Illustrated], scale_max: float) -> str:
    """The document of a list with these cards; ratings are shown against `scale_max`."""
    style = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    name = _name(value)
    shown = "\n".join(_card(one, scale_max) for one in cards)
    body = (
        f'<ol class="cards" role="list">\n{shown}\n</ol>'
        if cards
        else '<p class="empty">There is nothing in this list.</p>'
    )
    source = " Posters: OMDb (omdbapi.com)." if any(one.poster for one in cards) else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="color-scheme" content="light dark">
<title>{escape(name)} – recommendations</title>
<style>
{style}</style>
</head>
<body>
<header>
<p class="eyebrow">Recommendations</p>
<h1 dir="auto">{escape(name)}</h1>
<p class="behind">{_behind(value, len(cards))}</p>
</header>
<main>
{body}
</main>
<footer>tastestream, ranking {escape(value["ranking"])}.{source}</footer>
</body>
</html>
"""


def _name(value: RecommendationList) -> str:
    return "Popular now" if value["user_id"] == POPULAR_USER_ID else f"For {value['user_id']}"


def _behind(value: RecommendationList, cards: int) -> str:
    state = value["state"]
    parts = [f"{_count(cards, 'title')}, {_TIERS.get(value['tier'], value['tier'])}"]
    if state["num_ratings"] and state["avg_rating"] is not None:
        parts.append(f"{_count(state['num_ratings'], 'rating')}, {state['avg_rating']:.1f} on average")
    if "widened" in value:
        parts.append(f"filter widened: {value['widened']}")
    return f"{escape(' · '.join(parts))} · made {_moment(value['generated_at'])}"


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _moment(text: str) -> str:
    at = datetime.fromtimestamp(parse_time(text) / 1000, UTC)
    return f'<time datetime="{escape(text)}">{at.day} {at:%B %Y, %H:%M} UTC</time>'


def _card(one: Illustrated, scale_max: float) -> str:
    card, title = one.card, escape(one.card.title)
    picture = one.poster or tile(card.title, card.genres)
    alt = f"Poster of {title}" if one.poster else f"No poster of {title}: a drawn tile with its initials"
    return f"""<li class="card">
<div class="poster"><img src="{picture.data_uri()}" alt="{alt}" width="{WIDTH}" height="{HEIGHT}">
<span class="place"><span class="unseen">Place </span>{card.place}</span></div>
<div class="told">
<h2 dir="auto">{title}</h2>
{_about(card)}<dl class="figures">
<div><dt>Predicted</dt><dd>{card.predicted_rating:.1f} <small>of {scale_max:g}</small>
{_bar(card.predicted_rating / scale_max if scale_max > 0 else 0)}</dd></div>
<div><dt>Rated by</dt><dd>{card.support:,}</dd></div>
<div><dt>Score</dt><dd>{card.score:.3f}</dd></div>
</dl>
</div>
{_why(card.reasons)}</li>"""


def _about(card: Card) -> str:
    parts = ([str(card.year)] if card.year else []) + ([", ".join(card.genres)] if card.genres else [])
    return f'<p class="about" dir="auto">{escape(" · ".join(parts))}</p>\n' if parts else ""


def _why(reasons: Reasons | None) -> str:
    if reasons is None:
        return ""
    rows = "\n".join(map(_row, reasons.rows))
    without = f'<p dir="auto">{escape(reasons.without)}</p>\n' if reasons.without else ""
    return f'<section class="why">\n<h3>What its score is made of</h3>\n<ul>\n{rows}\n</ul>\n{without}</section>\n'


def _row(reason: Reason) -> str:
    share = f"{reason.share:.0%}".replace("-", _MINUS)
    bar = _bar(abs(reason.share), " against" if reason.share < 0 else "")
    return f'<li><span dir="auto">{escape(reason.text)}</span><span class="share">{share}</span>{bar}</li>'


def _bar(part: float, kind: str = "") -> str:
    return f'<span class="bar{kind}" style="--part:{min(1.0, max(0.0, part)):.1%}" aria-hidden="true"></span>'
