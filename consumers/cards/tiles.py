"""Drawn tiles, for items without a poster: the same item always gets the same one, and a genre its family of colours.

Text on a tile is white, so that the colours behind it are dark whatever their hue (at least 4.5:1, as WCAG AA asks).
"""

import colorsys
import hashlib
from html import escape

from consumers.cards.pictures import Picture

WIDTH, HEIGHT = 400, 600
INITIALS_MAX = 2
GENRE_MAX_CHARS = 24

_ARTICLES = frozenset({"a", "an", "the"})
_SATURATION = 0.46
_LIGHT, _DARK = 0.27, 0.11
_DISC_LIGHTNESS = 0.42
_HEAD_WIDTH = 256
"""What a genre may take beside the place in the corner, which covers more of a small tile."""
_HEAD_SIZE_MAX = 30
_LETTER_SPACING = 3
_CAPITAL_EM = 0.74
_RING_STEP = 56
_RINGS = 12


def tile(title: str, genres: tuple[str, ...]) -> Picture:
    """The tile of an item, an SVG."""
    dice = hashlib.blake2b("\0".join((title, *genres)).encode(errors="replace"), digest_size=6).digest()
    light, dark = tile_colours(title, genres)
    drawn = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">'
        '<defs><linearGradient id="ground" x1="0" y1="0" x2="0.35" y2="1">'
        f'<stop offset="0" stop-color="{light}"/><stop offset="1" stop-color="{dark}"/></linearGradient></defs>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="url(#ground)"/>'
        f"{_shapes(dice, _hue(title, genres))}"
        '<g fill="#fff" font-family="Georgia, \'Times New Roman\', serif">'
        f'<text x="30" y="548" font-size="158" font-weight="700">{escape(initials(title))}</text>'
        f"{_headed(genres[0][:GENRE_MAX_CHARS].upper()) if genres else ''}</g></svg>"
    )
    return Picture("image/svg+xml", drawn.encode())


def initials(title: str) -> str:
    """The first letters of a title's first words, an article in front left out; "?" where it has none."""
    words = [letters for word in title.split() if (letters := "".join(filter(str.isalnum, word)))]
    if len(words) > 1 and words[0].lower() in _ARTICLES:
        del words[0]
    return "".join(word[0].upper()[:1] for word in words[:INITIALS_MAX]) or "?"


def tile_colours(title: str, genres: tuple[str, ...]) -> tuple[str, str]:
    """The two colours behind a tile's text, the lighter first, as #rrggbb."""
    hue = _hue(title, genres)
    return _colour(hue, _LIGHT), _colour(hue + 0.09, _DARK)


def _headed(genre: str) -> str:
    size = min(_HEAD_SIZE_MAX, int((_HEAD_WIDTH / max(1, len(genre)) - _LETTER_SPACING) / _CAPITAL_EM))
    style = f'font-size="{size}" letter-spacing="{_LETTER_SPACING}" font-family="system-ui, sans-serif"'
    return f'<text x="34" y="64" {style}>{_plain(genre)}</text><rect x="34" y="82" width="44" height="4"/>'


def _shapes(dice: bytes, hue: float) -> str:
    across, down, radius, swing = (value / 255 for value in dice[:4])
    x, y = round(120 + 240 * across), round(190 + 130 * down)
    colour = _colour(hue + 0.16 * swing, _DISC_LIGHTNESS)
    disc = f'<circle cx="{x}" cy="{y}" r="{round(70 + 50 * radius)}" fill="{colour}"/>'
    rings = "".join(f'<circle cx="{x}" cy="{y}" r="{150 + _RING_STEP * ring}"/>' for ring in range(_RINGS))
    return f'{disc}<g fill="none" stroke="#fff" stroke-opacity="0.13" stroke-width="1.5">{rings}</g>'


def _hue(title: str, genres: tuple[str, ...]) -> float:
    family = hashlib.blake2b((genres[0] if genres else title).encode(errors="replace"), digest_size=2).digest()
    own = hashlib.blake2b(title.encode(errors="replace"), digest_size=1).digest()
    return int.from_bytes(family) / 65_536 + (own[0] / 255 - 0.5) * 0.08


def _colour(hue: float, lightness: float) -> str:
    channels = colorsys.hls_to_rgb(hue % 1, lightness, _SATURATION)
    return "#" + "".join(f"{round(channel * 255):02x}" for channel in channels)


def _plain(text: str) -> str:
    # XML has no form at all for some characters that text may have, not even an escaped one.
    return escape("".join(filter(str.isprintable, text)))
