"""Pictures as bytes: which kind they are, by what they begin with, and how a page holds them."""

import base64
from dataclasses import dataclass

_WEBP_KIND = slice(8, 12)
_BEGINNINGS = ((b"\xff\xd8\xff", "image/jpeg"), (b"\x89PNG\r\n\x1a\n", "image/png"), (b"GIF8", "image/gif"))


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of a kind that browsers show and that cannot run anything."""

    kind: str
    content: bytes

    def data_uri(self) -> str:
        """The picture as an address that holds it."""
        return f"data:{self.kind};base64,{base64.b64encode(self.content).decode()}"


def picture_of(content: bytes) -> Picture | None:
    """The picture that these bytes are; None: they are none, whatever they were called."""
    if content.startswith(b"RIFF") and content[_WEBP_KIND] == b"WEBP":
        return Picture("image/webp", content)
    for beginning, kind in _BEGINNINGS:
        if content.startswith(beginning):
            return Picture(kind, content)
    return None
