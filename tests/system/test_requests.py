"""Requests over Kafka: each is answered exactly once, whatever it says and whatever happens to the worker."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import NewTopic
from deployment import Deployment
from request_client import RequestClient
from sample_ratings import ratings
from score_readings import exact, readings
from service_process import WAIT_S
from topic_truth import header_values

from consumers.catalogue_reading import item_producer
from consumers.published_lists import AwaitedList, list_reader
from producers.item_files import read_bundled_items
from schemas.events import AttributeValue, ProfileChanged, Rated
from schemas.replies import CORRELATION_HEADER, REPLY_PARTITION_HEADER, REPLY_TOPIC_HEADER

EVENTS = 3_000
HEAT, MATRIX, SHAWSHANK = 6, 2571, 318


def profiles() -> Iterator[ProfileChanged]:
    """Who the users are: ages from 20 to 59, two genders."""
    for user in range(1, 611):
        attributes: dict[str, AttributeValue | None] = {
            "age": 20 + user % 40,
            "gender": "F" if user % 2 else "M",
            "email": f"{user}@example.com",
        }
        yield ProfileChanged(type="profile", user_id=str(user), attributes=attributes)


@pytest.fixture(scope="module")
def client(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RequestClient]:
    """A worker that has taken some ratings, and somebody who asks it."""
    folder: Path = tmp_path_factory.mktemp("requests")
    name = f"requests-{uuid.uuid4().hex[:8]}"
    settings = {"requests__reply_topics": f"{name}-app", "requests__questions_max": "3"}
    with Deployment(broker, name, folder, **settings) as made:
        made.make_topics().produce([*profiles(), *ratings(EVENTS)])
        with item_producer(made.settings) as producer:
            for item in read_bundled_items():
                producer.put(item)
        made.cluster.admin.create_topics([NewTopic(f"{name}-app", 3, 1)])[f"{name}-app"].result(WAIT_S)
        worker = made.worker().start()
        made.await_lag(0, worker)
        yield RequestClient(made)
        assert worker.stop() == 0


def ids(reply: dict[str, Any]) -> list[int]:
    return [item["item_id"] for item in reply["items"]]


def error(reply: dict[str, Any]) -> dict[str, Any]:
    assert set(reply) == {"schema", "request_id", "error", "generated_at"}
    return dict(reply["error"])


def test_a_known_user_gets_a_list(client: RequestClient) -> None:
    """The reply has the list with its titles, under the request's id, and says whom it is for."""
    reply = client.ask({"user_id": "1", "n": 5})
    assert (reply["schema"], reply["type"], reply["asker"]["user_id"]) == (1, "recommend", "1")
    assert reply["asker"]["known"]
    assert len(set(ids(reply))) == 5
    assert all(item["title"] for item in reply["items"])
    assert reply["tier"] in {"personal", "thin"}
    assert reply["ranking"].startswith("default:")


def test_the_reply_is_the_list_that_the_worker_publishes(client: RequestClient) -> None:
    """Asked without rules or conditions of its own, a question has the very items of the list that was published."""
    deployment, event_id = client.deployment, uuid.uuid4().hex
    with list_reader(deployment.settings, deployment.topic) as reader:
        messages = reader.from_now_on()
        deployment.produce([Rated(user_id="1", item_id=HEAT, rating=4.0, event_id=event_id)])
        published = AwaitedList("1", event_id).within(messages, WAIT_S)
    assert published is not None
    reply = client.ask({"user_id": "1", "n": len(published["items"])})
    assert (reply["items"], reply["tier"]) == (published["items"], published["tier"])
    assert reply["ranking"] == published["ranking"]


def test_an_unknown_user_gets_what_is_popular_and_is_told_so(client: RequestClient) -> None:
    """Nothing is known of them: the list is the popular one, and the asker is not known."""
    reply = client.ask({"user_id": "nobody-knows-me"})
    assert reply["asker"] == {"user_id": "nobody-knows-me", "known": False, "num_ratings": 0, "avg_rating": None}
    assert reply["tier"] == "popular"
    assert len(ids(reply)) == 10


def test_likes_by_id_title_and_rating(client: RequestClient) -> None:
    """Somebody without a profile gets a list that has none of what they named."""
    likes = [
        {"title": "Heat (1995)", "like": 1},
        {"item_id": SHAWSHANK, "rating": 4.5},
        {"item_id": MATRIX, "like": -1},
    ]
    reply = client.ask({"likes": likes})
    assert not set(ids(reply)) & {HEAT, MATRIX, SHAWSHANK}
    assert reply["asker"] == {"known": False, "num_ratings": 3, "avg_rating": pytest.approx((5.0 + 4.5 + 0.5) / 3)}
    assert reply["tier"] != "popular"


def test_likes_of_unknown_ids_are_left_out_and_named(client: RequestClient) -> None:
    """What nobody knows does not hold up what somebody does; nothing but such is an error."""
    reply = client.ask({"likes": [{"item_id": 4_000_000_000, "like": 1}, {"item_id": SHAWSHANK, "like": 1}]})
    assert reply["unknown_items"] == [4_000_000_000]
    assert error(client.ask({"likes": [{"item_id": 4_000_000_000, "like": 1}]}))["code"] == "unknown_items"


def test_titles_are_resolved_or_their_candidates_named(client: RequestClient) -> None:
    """A title that several items have, or none, is an error with the candidates, or with what was not found."""
    several = error(client.ask({"likes": [{"title": "Hamlet", "like": 1}]}))
    assert several["code"] == "ambiguous"
    assert len(several["candidates"]["Hamlet"]) > 1
    none = error(client.ask({"likes": [{"title": "No Such Film", "like": 1}, {"item_id": HEAT, "like": 1}]}))
    assert (none["code"], none["not_found"]) == ("not_found", ["No Such Film"])


def test_similar_users_are_told_of_without_their_ids(client: RequestClient) -> None:
    """Similarity falls; age and gender are told, no other attribute and no id."""
    reply = client.ask({"type": "similar_users", "user_id": "1", "n": 7})
    users = reply["users"]
    assert len(users) == 7
    assert [user["similarity"] for user in users] == sorted((user["similarity"] for user in users), reverse=True)
    assert all(set(user["attributes"]) == {"age", "gender"} and "user_id" not in user for user in users)
    assert all(user["overlap"] >= 1 and user["num_ratings"] >= user["overlap"] for user in users)


def test_items_are_filtered(client: RequestClient) -> None:
    """Only items that meet the conditions are in the list; what no item has is an error."""
    reply = client.ask({"user_id": "1", "items": {"genres": ["Comedy"], "exclude": [1]}})
    assert reply["items"]
    assert all("Comedy" in item["genres"] for item in reply["items"])
    assert set(ids(client.ask({"user_id": "1", "items": {"include": [HEAT, MATRIX]}}))) <= {HEAT, MATRIX}
    assert error(client.ask({"user_id": "1", "items": {"genres": ["Commedy"]}}))["code"] == "unknown_label"


def test_neighbours_are_filtered_and_the_reply_says_how_far(client: RequestClient) -> None:
    """By age and gender, with similar users to see it; an attribute that nobody has is an error."""
    where = {"attributes": {"age": {"around": 30, "within": 5}, "gender": "F"}}
    reply = client.ask({"type": "similar_users", "user_id": "1", "n": 5, "neighbours": where})
    assert reply["widened"] == "as asked"
    assert all(25 <= user["attributes"]["age"] <= 35 for user in reply["users"])
    assert {user["attributes"]["gender"] for user in reply["users"]} == {"F"}
    narrow = {"attributes": {"age": {"around": 30, "within": 0}, "gender": ["F", "M"]}, "min_ratings": 10_000}
    assert client.ask({"user_id": "1", "neighbours": narrow})["widened"] == "without conditions"
    assert error(client.ask({"user_id": "1", "neighbours": {"attributes": {"agee": 3}}}))["code"] == "unknown_attribute"


def test_only_votes_within_the_window_count(client: RequestClient) -> None:
    """Nothing was rated after the end of the data set, so nobody votes, and what is popular is shown."""
    assert client.ask({"user_id": "1", "votes": {"since": "2020-01-01T00:00:00Z"}})["tier"] == "popular"
    assert client.ask({"user_id": "1", "votes": {"since": "1996-01-01T00:00:00Z"}})["tier"] != "popular"


def test_ids_elsewhere_are_looked_up_where_the_request_says_whose_they_are(client: RequestClient) -> None:
    """IMDb's and TMDB's ids by the catalogue's links; a number alone is an id of this catalogue."""
    by_id = client.ask({"likes": [{"item_id": HEAT, "like": 1}]})["items"]
    assert client.ask({"likes": [{"imdb": "0113277", "like": 1}]})["items"] == by_id
    assert client.ask({"likes": [{"tmdb": "949", "like": 1}]})["items"] == by_id


def test_rules_of_the_query_may_be_changed_and_show_in_the_ranking(client: RequestClient) -> None:
    """Another number of neighbours is another ranking; a rule that decides what is stored is no field of a request."""
    usual, changed = (client.ask({"user_id": "1", "rules": rules})["ranking"] for rules in ({}, {"neighbours": 3}))
    assert usual != changed
    assert error(client.ask({"user_id": "1", "rules": {"offset": 2.0}}))["code"] == "unknown_field"


def test_items_say_why_when_asked_and_add_up(client: RequestClient) -> None:
    """As many from the top as asked for; both readings of each score are the printed score, to the last digit."""
    likes = [{"item_id": HEAT, "like": 1}, {"item_id": SHAWSHANK, "rating": 4.5}]
    for whom in ({"user_id": "1"}, {"likes": likes}, {"user_id": "1", "items": {"genres": ["Drama"]}}):
        items = client.ask({**whom, "explain": 3})["items"]
        assert [at for at, item in enumerate(items) if "why" in item] == [0, 1, 2]
        assert all(readings(item["why"]) == [exact(item["score"])] * 2 for item in items[:3])
        assert [item["score"] for item in items] == [item["score"] for item in client.ask(dict(whom))["items"]]
        assert any(item["why"]["without"] for item in items[:3])
    assert error(client.ask({"user_id": "1", "explain": 21}))["code"] == "limit_exceeded"


def test_items_like_an_item(client: RequestClient) -> None:
    """By its traits or by who rated it, with title, genres and similarity; what is unknown is an error."""
    found = client.ask({"type": "similar_items", "title": "Heat (1995)", "n": 5})
    assert (found["item"]["item_id"], found["by"], len(found["items"])) == (HEAT, "content", 5)
    assert all(set(item["genres"]) & {"Action", "Crime", "Thriller"} for item in found["items"])
    rated = client.ask({"type": "similar_items", "imdb": "0113277", "by": "ratings", "n": 5})
    assert rated["item"] == found["item"]
    similarities = [item["similarity"] for item in rated["items"]]
    assert similarities == sorted(similarities, reverse=True)
    assert HEAT not in ids(rated)
    assert error(client.ask({"type": "similar_items", "item_id": 4_000_000_000}))["code"] == "unknown_items"


def test_a_batch_has_an_answer_or_an_error_for_each_question(client: RequestClient) -> None:
    """In order; too many questions are an error of the whole."""
    questions = [{"user_id": "1"}, {"user_id": "1", "n": 0}, {"type": "similar_users", "user_id": "2"}]
    reply = client.ask({"type": "batch", "questions": questions})
    first, second, third = reply["answers"]
    assert first["items"] == client.ask({"user_id": "1"})["items"]
    assert second["error"]["code"] == "wrong_type"
    assert third["type"] == "similar_users"
    assert error(client.ask({"type": "batch", "questions": questions * 2}))["code"] == "limit_exceeded"


MALFORMED: dict[str, tuple[Any, str]] = {
    "nothing": (b"", "empty_value"),
    "no JSON": (b"\x00\x01", "not_json"),
    "a list": ([], "not_an_object"),
    "another kind": ({"type": "predict"}, "unknown_type"),
    "nobody": ({}, "missing_field"),
    "both": ({"user_id": "1", "likes": [{"item_id": 1, "like": 1}]}, "contradiction"),
    "empty likes": ({"likes": []}, "empty_likes"),
    "a rating off the scale": ({"likes": [{"item_id": HEAT, "rating": 6}]}, "rating_out_of_scale"),
    "an id of another catalogue": ({"likes": [{"item_id": "tt0113277", "like": 1}]}, "bad_item_id"),
    "an item twice": ({"likes": [{"item_id": HEAT, "like": 1}, {"title": "Heat (1995)", "like": 1}]}, "contradiction"),
    "text for a number": ({"user_id": "1", "n": "5"}, "wrong_type"),
    "too long a list": ({"user_id": "1", "n": 101}, "limit_exceeded"),
    "a misspelt field": ({"user_id": "1", "itms": {}}, "unknown_field"),
    "no range": ({"user_id": "1", "neighbours": {"attributes": {"age": {"min": 9, "max": 1}}}}, "bad_filter"),
    "no time": ({"user_id": "1", "votes": {"since": "yesterday"}}, "bad_time"),
    "a later schema": ({"user_id": "1", "schema": 2}, "unsupported_schema"),
    "too large": ({"user_id": "1", "x": "x" * 70_000}, "request_too_large"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_request_has_an_error_for_its_reply(client: RequestClient, case: str) -> None:
    """A code from the closed list and a sentence, never silence."""
    document, code = MALFORMED[case]
    found = error(client.ask(document))
    assert (found["code"], bool(found["message"])) == (code, True)


def test_correlation_and_reply_topic_are_honoured(client: RequestClient) -> None:
    """The correlation id comes back as it went, and the reply goes to the topic and partition that were named."""
    app = client.deployment.settings.requests.reply_topics[0]
    given = [
        (CORRELATION_HEADER, b"\x00\xff\x10"),
        (REPLY_TOPIC_HEADER, app.encode()),
        (REPLY_PARTITION_HEADER, (2).to_bytes(4, "big")),
    ]
    reply = client.reply({"user_id": "1"}, given, app)
    assert reply.partition() == 2
    assert header_values(reply)[CORRELATION_HEADER] == b"\x00\xff\x10"


@pytest.mark.parametrize(("topic", "partition"), [(None, 9), ("ratings", 0), ("no-such-topic", 0)])
def test_a_reply_goes_nowhere_that_is_not_allowed(client: RequestClient, topic: str | None, partition: int) -> None:
    """Another topic than those of the setting, or a partition that is not there: an error, to the usual topic."""
    named = topic or client.deployment.settings.requests.reply_topics[0]
    given = [(REPLY_TOPIC_HEADER, named.encode()), (REPLY_PARTITION_HEADER, partition.to_bytes(4, "big"))]
    given.append((CORRELATION_HEADER, b"c"))
    reply = client.reply({"user_id": "1"}, given)
    assert error(json.loads(reply.value() or b""))["code"] == "bad_reply_topic"
    assert header_values(reply)[CORRELATION_HEADER] == b"c"
