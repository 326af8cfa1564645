"""Documents as Hypothesis draws and shrinks them: every field good, odd or missing, whatever stands around it."""

import json
from typing import Any, get_args

from hypothesis import strategies as st
from inputs import NOW_MS, Input, RulesName
from mutations import rekeyed

from schemas.times import EARLIEST_MS, LATEST_MS

_texts = st.text(st.characters(exclude_categories=()), max_size=12)
_numbers = (
    st.integers(-(2**64), 2**64) | st.floats(allow_nan=True) | st.sampled_from([2**53 - 1, 2**53 + 1, -0.0, 5e-324])
)
_scalars = st.none() | st.booleans() | _numbers | _texts
_odd = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3), max_leaves=8
)
_times = st.datetimes().map(lambda at: at.isoformat() + "Z") | st.integers(EARLIEST_MS - 2, LATEST_MS + 2)
_attributes = st.dictionaries(st.from_regex("[a-z]{1,4}", fullmatch=True) | _texts, _scalars, max_size=6)
_good: dict[str, st.SearchStrategy[Any]] = {
    "type": st.sampled_from(["rated", "retracted", "profile", "forget"]),
    "user_id": st.sampled_from(["42", 42, "zoë", "ann"]),
    "item_id": st.integers(0, 2**32 - 1),
    "rating": st.integers(1, 10).map(lambda halves: halves / 2),
    "rated_at": _times,
    "event_id": st.text(max_size=8),
    "schema": st.just(1),
    "attributes": _attributes,
}
_fields = st.fixed_dictionaries(
    {}, optional={name: st.one_of(good, good, good, _odd) for name, good in _good.items()} | {"x": _odd}
)
_base = st.fixed_dictionaries({name: _good[name] for name in ("user_id", "item_id", "rating", "attributes")})
_documents = st.builds(lambda base, drawn: base | drawn, _base, _fields) | _fields
_keys = st.none() | st.binary(max_size=4) | _texts.map(lambda text: text.encode(errors="replace"))
_headers = st.lists(st.tuples(st.text(max_size=6), st.none() | st.binary(max_size=6)), max_size=3).map(tuple)


def _bytes(document: dict[str, Any], escaped: bool) -> bytes:
    return json.dumps(document, ensure_ascii=escaped).encode("utf-8", errors="surrogatepass")


@st.composite
def inputs(draw: st.DrawFn) -> Input:
    """A record whose value is nearly an event, in one of ten cases with another key."""
    value = _bytes(draw(_documents), draw(st.booleans()))
    rules: RulesName = draw(st.sampled_from(get_args(RulesName)))
    timestamp_ms = draw(st.just(NOW_MS) | st.none() | st.integers(-(2**63), 2**63 - 1))
    given = Input(value, b"42", timestamp_ms, draw(_headers), rules)
    return Input(value, draw(_keys), timestamp_ms, (), rules) if draw(st.integers(0, 9)) == 0 else rekeyed(given)
