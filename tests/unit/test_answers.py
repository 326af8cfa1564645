"""Requests to replies: one reply each, in order, and what fails for one question fails for that one alone."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson
import pytest

from consumers.answering.answers import AnswerRules, Answers
from consumers.answering.asking import Asking
from consumers.answering.findings import Findings
from consumers.answering.item_names import ItemNames
from consumers.answering.likes import LikeReader
from consumers.answering.reply_address import Addresses, Destination
from consumers.answering.similar_users import UserWriter
from consumers.answering.writing import AnswerWriter
from consumers.lists import ListWriter
from consumers.metrics import Metrics
from consumers.records import Record
from recommender.catalogue import CatalogueItem
from recommender.listing import RankedList
from recommender.memory_store import MemoryStore
from recommender.profile import NEW_USER, Change, HistoryLimits, Rate, SetAttributes, Update, UserState, fold
from recommender.question import Question
from recommender.recommender import Recommender
from recommender.rules import RankingRules
from recommender.standing_filters import NO_FILTERS, StandingFilters
from recommender.store import StateWrite, StoreSettings, StoreUnavailableError, UserWrite
from recommender.vector import user_vector
from schemas.requests import RequestLimits
from schemas.scale import Scale

RULES = RankingRules()
USERS, ITEMS = 12, 30


def filled_store() -> MemoryStore:
    """Users who rated, each a few items of those that the next one rated too."""
    store = MemoryStore(StoreSettings("integer", 0.5, 5.0, RULES.value.fingerprint))
    writes = []
    for user in range(USERS):
        changes: list[Change] = [SetAttributes({"age": 20 + user})]
        changes += [Rate((user + at) % ITEMS, 3.0 + at % 3, at) for at in range(6)]
        rates = [Update("t:0", at, f"u{user}", change) for at, change in enumerate(changes)]
        state = fold(NEW_USER, rates, HistoryLimits())
        writes.append(UserWrite(f"u{user}", state, user_vector(state.history, RULES.value), frozenset(), missing=True))
    store.write(StateWrite({}, writes))
    return store


class Desk:
    """Answers over a filled store."""

    def __init__(
        self,
        *,
        reply_max_bytes: int = 100_000,
        allow_user_ids: bool = False,
        filters: StandingFilters = NO_FILTERS,
        content_weight: float = 0.0,
    ) -> None:
        rules_ = replace(RULES, filters=filters, content_weight=content_weight)
        self.store, self.metrics = filled_store(), Metrics()
        self.recommender = Recommender(self.store, rules_, 1 << 20)
        self.recommender.scan_slice(USERS)
        lists = ListWriter("lists", "test", "x", 1, self.recommender.catalogue)
        likes = LikeReader(ItemNames(self.recommender.catalogue), Scale(), self.recommender.are_rated)
        near = UserWriter(self.store, allow_user_ids, frozenset({"age"}))
        rules = AnswerRules(
            RequestLimits(),
            Asking(rules_, likes, self.recommender.has_attribute, self.recommender.newest_ms),
            Findings(self.recommender, AnswerWriter(lists, near, "default")),
            Addresses("replies", {"replies": Destination(1, reply_max_bytes)}),
            "test",
        )
        self.answers = Answers(rules, self.store, self.metrics, lambda: 0)

    def replies(self, *documents: Any) -> list[dict[str, Any]]:
        records = [
            Record("requests", 0, at, "requests:0", f"r{at}".encode(), orjson.dumps(document))
            for at, document in enumerate(documents)
        ]
        messages = self.answers.answer(records)
        assert [message.key for message in messages] == [record.key for record in records]
        return [orjson.loads(message.value or b"") for message in messages]


def test_replies_come_in_the_order_of_their_requests() -> None:
    """Lists, users, errors and batches mixed: each reply is that of its own request asked alone."""
    documents: list[Any] = [
        {"user_id": "u1"},
        {"type": "similar_users", "user_id": "u2", "n": 3},
        {"user_id": "u3", "n": 0},
        {"type": "batch", "questions": [{"user_id": "u4"}, {"x": 1}, {"likes": [{"item_id": 3, "like": 1}]}]},
        {"likes": [{"item_id": 5, "rating": 4}], "n": 2},
    ]
    together = Desk().replies(*documents)
    assert [reply.pop("request_id") for reply in together] == [f"r{at}" for at in range(5)]
    alone = [Desk().replies(document)[0] for document in documents]
    assert together == [{k: v for k, v in reply.items() if k != "request_id"} for reply in alone]


def test_wishes_need_a_hybrid_and_labels_that_there_are() -> None:
    """Off: an error that names the setting; on: a genre that no item has is an error, not a list of something else."""
    asked = {"wishes": {"genres": ["Noir"]}}
    (refused,), (unknown,) = Desk().replies(asked), Desk(content_weight=0.3).replies(asked)
    assert refused["error"]["code"] == "not_hybrid"
    assert "ranking.content_weight" in refused["error"]["message"]
    assert unknown["error"]["code"] == "unknown_label"
    (nothing,) = Desk(content_weight=0.3).replies({"wishes": {}})
    assert nothing["error"]["code"] == "missing_field"


def test_similar_users_are_named_only_where_that_is_allowed() -> None:
    """The setting decides, for every user of the answer."""
    question = {"type": "similar_users", "user_id": "u2", "n": 3}
    (silent,), (open_,) = Desk().replies(question), Desk(allow_user_ids=True).replies(question)
    assert [user.get("user_id") for user in silent["users"]] == [None] * 3
    assert "u2" not in {user["user_id"] for user in open_["users"]}
    assert open_["users"][0]["overlap"] == 5


def test_similar_users_are_read_in_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many questions of a batch find however many users."""
    desk = Desk()
    calls, states = [], desk.store.states

    def counted(ids: Sequence[int]) -> Mapping[int, UserState]:
        calls.append(len(ids))
        return states(ids)

    monkeypatch.setattr(desk.store, "states", counted)
    desk.replies(*({"type": "similar_users", "user_id": f"u{user}", "n": 4} for user in range(3)))
    assert len(calls) == 1


def test_as_many_items_say_why_as_are_asked_for() -> None:
    """Each question of a batch has its own number; the list is the same with reasons and without."""
    questions = [{"user_id": "u4", "explain": explain} for explain in (0, 2, 3, 2)]
    answers = Desk().replies({"type": "batch", "questions": questions})[0]["answers"]
    told = [["why" in item for item in answer["items"]].count(True) for answer in answers]
    assert told == [0, 2, 3, 2]
    assert all("why" in item for item in answers[1]["items"][:2])
    plain = [[{k: v for k, v in item.items() if k != "why"} for item in answer["items"]] for answer in answers]
    assert plain == [answers[0]["items"]] * 4


def named(**changed: Any) -> dict[str, Any]:
    return {"type": "similar_items", "n": 3, **changed}


def test_items_like_an_item() -> None:
    """By content those with its traits, by ratings those that its raters rated; never the item itself."""
    desk = Desk()
    for item in range(ITEMS):
        genre = "Crime" if item % 2 else "Comedy"
        desk.recommender.catalogue.put(item, CatalogueItem(title=f"Film {item}", genres=(genre,)))
    by_content, by_ratings = desk.replies(named(title="Film 5"), named(item_id=5, by="ratings"))
    assert by_content["item"] == {"item_id": 5, "title": "Film 5", "genres": ["Crime"]}
    assert [(item["genres"], item["similarity"]) for item in by_content["items"]] == [(["Crime"], 1.0)] * 3
    assert {item["item_id"] for item in by_ratings["items"]} <= set(range(11)) - {5}
    found = [item["similarity"] for item in by_ratings["items"]]
    assert (by_ratings["by"], found) == ("ratings", sorted(found, reverse=True))


@pytest.mark.parametrize(
    ("question", "code"),
    [
        (named(item_id=999), "unknown_items"),
        (named(title="No Such Film"), "not_found"),
        (named(item_id="tt0113277"), "bad_item_id"),
        (named(item_id=5), "no_traits"),
        (named(item_id=500), "no_traits"),
        (named(item_id=500, by="ratings"), "no_ratings"),
        (named(title="Hamlet", by="ratings"), "ambiguous"),
    ],
)
def test_nothing_is_like_an_item_of_which_too_little_is_known(question: dict[str, Any], code: str) -> None:
    """The reply says what is missing, instead of an empty list."""
    desk = Desk()
    for item, title in ((500, "Nobody's"), (10, "Hamlet (1990)"), (11, "Hamlet (1996)")):
        desk.recommender.catalogue.put(item, CatalogueItem(title=title))
    assert desk.replies(question)[0]["error"]["code"] == code


def test_a_reply_that_is_too_large_is_an_error() -> None:
    """It would abort its transaction, and with it everybody's."""
    (reply,) = Desk(reply_max_bytes=500).replies({"user_id": "u1", "n": 20})
    assert reply["error"]["code"] == "reply_too_large"


def ages(reply: dict[str, Any]) -> list[int]:
    return sorted(user["attributes"]["age"] for user in reply["users"])


def similar(n: int, **neighbours: Any) -> dict[str, Any]:
    return {"type": "similar_users", "user_id": "u5", "n": n, "neighbours": neighbours}


def test_neighbours_are_those_that_meet_the_conditions() -> None:
    """Enough of them are found as asked; too few, and the reply says how the conditions were widened."""
    within, beyond = Desk().replies(
        similar(2, attributes={"age": {"around": 25, "within": 2}}),
        similar(6, attributes={"age": {"around": 25, "within": 2}}),
    )
    assert (len(ages(within)), within["widened"]) == (2, "as asked")
    assert set(ages(within)) <= {23, 24, 26, 27}
    assert (len(ages(beyond)), beyond["widened"]) == (6, "age +/- 4")


def test_an_attribute_that_nobody_has_is_an_error() -> None:
    """A misspelt name is told, instead of being widened away."""
    (reply,) = Desk().replies(similar(2, attributes={"aeg": 25}))
    assert reply["error"]["code"] == "unknown_attribute"


def test_the_standing_filters_hold_unless_a_question_has_its_own() -> None:
    """Who asks for other neighbours gets them; who does not, those of the deployment."""
    desk = Desk(filters=StandingFilters(near=(("age", 1.0),)))
    standing, own = desk.replies(similar(2), similar(2, min_ratings=1))
    assert (ages(standing), standing["widened"]) == ([24, 26], "as asked")
    assert own["widened"] == "as asked"
    assert "widened" not in Desk().replies(similar(2))[0]


class Failing(Recommender):
    """Fails at users who have rated an item, as a bug would."""

    def answer(self, questions: Sequence[Question]) -> list[RankedList]:
        if any(3 in question.history.items for question in questions):
            raise RuntimeError("a bug")
        return super().answer(questions)


def test_a_bug_costs_the_one_question_that_meets_it() -> None:
    """The others of the batch are answered, and the worker goes on."""
    desk = Desk()
    desk.recommender.__class__ = Failing
    first, second, third = desk.replies({"user_id": "u9"}, {"user_id": "u3"}, {"user_id": "u8"})
    assert second["error"]["code"] == "internal"
    assert first["items"]
    assert third["items"]


def test_a_store_that_is_away_is_nobody_s_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole batch waits."""
    desk = Desk()

    def away(*_: object) -> None:
        raise StoreUnavailableError("away")

    monkeypatch.setattr(desk.store, "nearest", away)
    with pytest.raises(StoreUnavailableError):
        desk.replies({"user_id": "u1"})


def test_asking_changes_nothing() -> None:
    """Neither what is stored, nor the statistics, nor the items that are known."""
    desk = Desk()
    before = (desk.store.scan(None, 100).states, desk.recommender.statistics.counts.tolist())
    desk.replies({"user_id": "u1"}, {"likes": [{"item_id": 3, "like": 1}, {"item_id": 999, "like": 1}]})
    assert (desk.store.scan(None, 100).states, desk.recommender.statistics.counts.tolist()) == before
    assert len(desk.recommender.index) == len(before[1])


def test_every_question_is_counted_by_what_became_of_it() -> None:
    """Answered, or the code of its error."""
    desk = Desk()
    desk.replies({"user_id": "u1"}, {"type": "batch", "questions": [{"user_id": "u2"}, {}]}, [])
    text = desk.metrics.render().decode()
    assert 'tastestream_requests_total{outcome="answered"} 2.0' in text
    assert 'tastestream_requests_total{outcome="missing_field"} 1.0' in text
    assert 'tastestream_requests_total{outcome="not_an_object"} 1.0' in text
