"""Some tens of thousands of inputs in seconds; `make fuzz ARGS='--inputs 1000000'` is the long run."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest
from campaign import Campaign, Failure
from corpus import CLASSES, RecordClass
from hypothesis import HealthCheck, given, settings
from inputs import Input, as_hex, from_hex
from laws import DEAD, RATING
from structured import inputs

import schemas.decode
from consumers.handler import Handler
from consumers.records import Batch
from schemas.decode import Decoded, RawRecord, WireRules, decode_json
from schemas.messages import Message
from schemas.reasons import REASONS, MalformedRecordError

BENT_INPUTS = 20_000
DRAWN_INPUTS = 500
CLASSES_MIN = 60
SAMPLES = 20
SEED = 1
NOT_FROM_DECODING = {"user_id_collision"}


def failures_of(*given_: Input) -> list[Failure]:
    campaign = Campaign()
    campaign.judge(given_)
    return campaign.tally.failures


def shown(failures: list[Failure]) -> str:
    return "\n".join(f"{failure.law}: --replay {as_hex(failure.inputs)[:5_000]}" for failure in failures)


@pytest.mark.parametrize("made_by", CLASSES, ids=lambda one: one.name)
def test_every_class_comes_out_as_it_must(made_by: RecordClass) -> None:
    """Each sample of a class is accepted, or refused for the class's reason, by decoder and handler alike."""
    campaign, chance = Campaign(), Random(SEED)  # noqa: S311  # repeatable, no secret
    campaign.judge([made_by.make(chance) for _ in range(SAMPLES)], [made_by.expected] * SAMPLES)
    assert not campaign.tally.failures, shown(campaign.tally.failures)


def test_the_corpus_has_every_reason() -> None:
    """At least sixty classes, each with a name of its own, and all reasons that decoding has are among them."""
    assert len({one.name for one in CLASSES}) == len(CLASSES) >= CLASSES_MIN
    assert {one.expected for one in CLASSES} == set(REASONS) - NOT_FROM_DECODING | {"accepted"}


def test_whatever_the_bytes_the_laws_hold() -> None:
    """Samples bent out of shape: one dead letter or one event each, nothing raised, nothing slow, nothing changed."""
    campaign = Campaign()
    for tally in campaign.run(BENT_INPUTS, SEED):
        assert not tally.failures, shown(tally.failures)
    assert campaign.tally.inputs == BENT_INPUTS
    assert campaign.tally.events > BENT_INPUTS / 20
    assert set(campaign.tally.outcomes) >= set(REASONS) - NOT_FROM_DECODING


@settings(max_examples=DRAWN_INPUTS, deadline=None, suppress_health_check=list(HealthCheck))
@given(inputs())
def test_whatever_the_document_the_laws_hold(drawn: Input) -> None:
    """The same of documents in which each field is good, odd or missing."""
    failures = failures_of(drawn)
    assert not failures, shown(failures)


def test_an_input_is_replayed_as_it_was() -> None:
    """The word that is printed for a failure holds everything: bytes, key, time, headers and rules."""
    odd = Input(bytes(range(256)), None, None, (("ключ", b"\xff"), ("", None)), "strict")
    assert from_hex(as_hex([odd, Input(None, b"")])) == [odd, Input(None, b"")]


def raising(_record: RawRecord, _rules: WireRules) -> Decoded:
    raise KeyError("user_id")


def changing(record: RawRecord, rules: WireRules) -> Decoded:
    decoded = decode_json(record, rules)
    return Decoded(decoded.event.model_copy(update={"rating": 4.0}), decoded.at_ms, decoded.unknown_fields)


def inventing(_record: RawRecord, _rules: WireRules) -> Decoded:
    raise MalformedRecordError("bad_luck", "no such reason")  # type: ignore[arg-type]


def dawdling(record: RawRecord, rules: WireRules) -> Decoded:
    sum(range(2_000_000))
    return decode_json(record, rules)


@pytest.mark.parametrize(
    ("decoder", "law"),
    [(raising, "KeyError"), (changing, "not what the bytes say"), (inventing, "closed list"), (dawdling, "limit")],
)
def test_a_broken_decoder_is_seen(monkeypatch: pytest.MonkeyPatch, decoder: object, law: str) -> None:
    """A decoder that raises what it should not, changes what it reads, invents a reason or dawdles breaks a law."""
    campaign = Campaign()
    monkeypatch.setattr(schemas.decode, "decode_json", decoder)
    campaign.judge([Input(RATING)])
    (failure,) = campaign.tally.failures
    assert law in failure.law


def is_letter(message: Message) -> bool:
    return message.topic == DEAD


Spoil = Callable[[list[Message]], list[Message]]
SPOILED: list[tuple[Spoil, str]] = [
    (lambda messages: [one for one in messages if not is_letter(one)], "1 refusals make 0 dead letters"),
    (lambda messages: messages + [one for one in messages if is_letter(one)], "1 refusals make 2 dead letters"),
    (lambda messages: [replace(one, key=b"k") if is_letter(one) else one for one in messages], "other bytes"),
    (lambda messages: [replace(one, value=b"{ ") if is_letter(one) else one for one in messages], "other bytes"),
    (lambda messages: [one for one in messages if is_letter(one)], "one list for each user"),
    (lambda messages: messages + [one for one in messages if not is_letter(one)], "one list for each user"),
]


@pytest.mark.parametrize(("spoiled", "law"), SPOILED)
def test_a_broken_handler_is_seen(monkeypatch: pytest.MonkeyPatch, spoiled: Spoil, law: str) -> None:
    """A handler that loses, doubles or changes a dead letter or a list breaks a law; one input is kept to show it."""
    honest = Handler.handle

    def handle(handler: Handler, batch: Batch) -> list[Message]:
        return spoiled(honest(handler, batch))

    monkeypatch.setattr(Handler, "handle", handle)
    (failure,) = failures_of(Input(RATING), Input(b"{"))
    assert law in failure.law
    assert len(failure.inputs) == 1
