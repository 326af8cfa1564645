"""Who and what a record is about, for the apps that build events themselves."""

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from schemas.identity import ITEM_ID_MAX, RESERVED_USER_IDS, ItemId, UserId

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

USER = TypeAdapter[str](UserId)
ITEM = TypeAdapter[int | str](ItemId)


@patient
@given(number=st.integers(-(2**63), 2**64 - 1))
def test_an_integer_user_is_its_decimal_text(number: int) -> None:
    """Law: 42 and "42" are one user."""
    assert USER.validate_python(number) == USER.validate_python(str(number)) == str(number)


@patient
@given(user=st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=64))
@example(user=" zoë ")
def test_a_user_id_is_kept_as_it_is(user: str) -> None:
    """Law: no trimming, folding or normalising: what an app sends is what the key says."""
    assume(user not in RESERVED_USER_IDS)
    assert USER.validate_python(user) == user


@pytest.mark.parametrize("value", ["u" * 256, "é" * 128, " ", "007", "_popular_", "a/b:c.d", "\u202e"])
def test_user_ids_at_the_edge_are_taken(value: str) -> None:
    """Law: 256 bytes fit, and only control characters and reserved ids are kept out."""
    assert USER.validate_python(value) == value


@pytest.mark.parametrize("value", ["\ud800", "a\udfff", "\0", "\x7f", "\x85", "", "_popular", b"42", 4.0, True, None])
def test_what_is_no_user_id_raises_a_validation_error(value: object) -> None:
    """Law: bad ids, lone surrogates too, end in a ValidationError that a producer can catch."""
    with pytest.raises(ValidationError):
        USER.validate_python(value)


@pytest.mark.parametrize("value", [0, 318, ITEM_ID_MAX, "tt0111161", "i" * 256])
def test_item_ids_keep_their_type(value: int | str) -> None:
    """Law: an item id that is a number stays one, and text of digits stays text."""
    assert ITEM.validate_python(value) == value
    assert ITEM.validate_python(str(value)) == str(value)


@pytest.mark.parametrize("value", [-1, ITEM_ID_MAX + 1, 10**100, 318.0, True, None, "", "\ud800", "i" * 257, b"318"])
def test_what_is_no_item_id_raises_a_validation_error(value: object) -> None:
    """Law: everything else ends in a ValidationError."""
    with pytest.raises(ValidationError):
        ITEM.validate_python(value)
