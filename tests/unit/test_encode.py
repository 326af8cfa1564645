"""Events that we produce: right key, right bytes, and they decode to themselves."""

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from schemas.decode import RawRecord, WireRules, decode_json
from schemas.encode import event_message
from schemas.events import Event, Forgotten, ProfileChanged, Rated, Retracted
from schemas.identity import RESERVED_USER_IDS
from schemas.json_schema import schemas
from schemas.times import EARLIEST_MS, FUTURE_TOLERANCE_MS

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

NOW = 1_795_348_800_000
EVENT_SCHEMA = Draft202012Validator(schemas()["event"])

texts = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=64)
common = {"user_id": texts.filter(lambda text: text not in RESERVED_USER_IDS), "event_id": st.none() | texts}
times = st.none() | st.integers(EARLIEST_MS, NOW + FUTURE_TOLERANCE_MS)
items = st.integers(0, 2**32 - 1) | texts
attributes = st.dictionaries(
    st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,63}", fullmatch=True),
    st.none()
    | st.booleans()
    | st.integers(1 - 2**63, 2**63 - 1)
    | st.floats(-1e18, 1e18)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=256),
    max_size=64,
)
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(Rated, item_id=items, rating=st.floats(0.5, 5), rated_at=times, **common),
    st.builds(Retracted, type=st.just("retracted"), item_id=items, rated_at=times, **common),
    st.builds(ProfileChanged, type=st.just("profile"), attributes=attributes, **common),
    st.builds(Forgotten, type=st.just("forget"), **common),
)


def rules_for(event: Event) -> WireRules:
    text = isinstance(event, Rated | Retracted) and isinstance(event.item_id, str)
    return WireRules(catalogue="string" if text else "integer", refuse_unknown_fields=True)


@patient
@given(event=events)
def test_what_we_encode_decodes_to_the_same_event(event: Event) -> None:
    """Law: any valid event comes back from its record unchanged, with no field that the decoder does not know."""
    message = event_message("ratings", event)
    decoded = decode_json(RawRecord(message.key, message.value, NOW), rules_for(event))
    assert decoded.event == event
    assert type(decoded.event) is type(event)


@patient
@given(event=events)
def test_what_we_encode_is_valid_by_the_published_schema(event: Event) -> None:
    """Law: nothing of ours on the topic contradicts the JSON Schema."""
    value = event_message("ratings", event).value
    assert value is not None
    EVENT_SCHEMA.validate(orjson.loads(value))


def test_a_record_goes_where_kafka_orders_its_user() -> None:
    """Law: the key is the user id, the partition is left to the partitioner."""
    message = event_message("ratings", Forgotten(type="forget", user_id="zoë"))
    assert (message.topic, message.key, message.partition) == ("ratings", "zoë".encode(), None)
