"""Titles as people type them: the year left out, the article in front, another name in parentheses.

MovieLens writes "City of Lost Children, The (Cité des enfants perdus, La) (1995)", and whoever asks "The City of Lost
Children". Both have forms in common, and that is how they meet: nothing is guessed, and several hits are all given.
"""

import re
import unicodedata

_YEAR = re.compile(r"\s*\((\d{4})(?:[-–]\s?(?:\d{4})?)?\)$", re.ASCII)
_ASIDE = re.compile(r"\(([^()]*)\)")
_ALIAS = re.compile(r"^(?:a\.?k\.?a\.?)\s+", re.IGNORECASE)
_ARTICLES = "the|a|an|la|le|les|l'|il|lo|gli|i|el|los|las|un|une|una|der|die|das|den|det|de|het|en|ett|o|os|as"
_ARTICLE_LAST = re.compile(rf"^(.*\S), ({_ARTICLES})$")


def title_forms(title: str) -> frozenset[str]:
    """Every way in which a title may be asked for, case folded, with its year and without."""
    folded = _folded(title)
    year = _YEAR.search(folded)
    bare = folded[: year.start()] if year else folded
    names = {bare, _joined(_ASIDE.sub(" ", bare)), *(_ALIAS.sub("", aside) for aside in _ASIDE.findall(bare))}
    names |= {_article_first(name) for name in names}
    names.discard("")
    return frozenset(({folded} - {""}) | names | ({f"{name} ({year[1]})" for name in names} if year else set()))


def asked_forms(title: str) -> frozenset[str]:
    """What is looked for when somebody asks for a title: as it stands, and with its article in front."""
    folded = _folded(title)
    year = _YEAR.search(folded)
    bare = folded[: year.start()] if year else folded
    return frozenset({folded, _article_first(bare) + (f" ({year[1]})" if year else "")} - {""})


def _folded(title: str) -> str:
    return _joined(unicodedata.normalize("NFKC", title).casefold())


def _joined(text: str) -> str:
    return " ".join(text.split())


def _article_first(name: str) -> str:
    found = _ARTICLE_LAST.match(name)
    if found is None:
        return name
    gap = "" if found[2].endswith("'") else " "
    return f"{found[2]}{gap}{found[1]}"
