"""Dead letters in an operator's hands: the limits that stop a worker, and sending what was refused again, once each."""

import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from confluent_kafka import Message, Producer
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from deployment import Deployment
from sample_ratings import ratings
from service_process import PREFIX, PROGRAM, WAIT_S, await_until, clean_environment
from topic_truth import assert_exactly_once, committed_records, header_values

from consumers.app import check_cluster, clock_ms, transactional_sink
from consumers.commands.presentation import entries
from consumers.exit_codes import ExitCode
from consumers.redrive import Redriver, RedriveRules
from consumers.redrive_letters import Selection, dead_letter_records
from consumers.topics import INPUT_MAX_MESSAGE_BYTES
from recommender.store import point_id
from schemas.dead_letters import (
    ATTEMPTS_HEADER,
    HEADROOM_BYTES,
    REDRIVEN_FROM_HEADER,
    REDRIVEN_HEADER,
    RefusedRecord,
    dead_letter,
)
from schemas.messages import Headers
from schemas.reasons import MalformedRecordError, Reason

GOOD, BAD, RUN_LIMIT = 50, 60, 20
MANY = 5_000
PARTITIONS = 4
AT_MS = 1_577_836_800_000
THEIRS: Headers = (("trace", b"\x00\xff"), ("ce_id", b"theirs"), ("none", None))
UNKNOWN_FIELD = b'{"user_id": "ann", "item_id": %d, "rating": 4.5, "mood": "good"}'

Origin = tuple[int, int]


@pytest.fixture
def deployment(broker: str, topic_prefix: str, tmp_path: Path) -> Iterator[Deployment]:
    with Deployment(broker, topic_prefix, tmp_path) as made:
        yield made.make_topics()


def started(deployment: Deployment, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
    """A `dead-letters` command on its way; `variables` are settings of its own."""
    command = [*PROGRAM, "dead-letters", *arguments]
    own = {PREFIX + name.upper(): value for name, value in variables.items()}
    environment = clean_environment(deployment._variables | own) | {"COLUMNS": "200"}
    folder = deployment._folder
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def ended(process: subprocess.Popen[bytes]) -> tuple[int, bytes, str]:
    """Exit code, standard output and what was said, once it has ended."""
    out, said = process.communicate(timeout=WAIT_S)
    assert b"Traceback" not in said, said
    return process.returncode, out, said.decode()


def shown(deployment: Deployment, *arguments: str) -> str:
    """What a command that succeeds prints."""
    code, out, said = ended(started(deployment, *arguments))
    assert code == 0, said
    return out.decode()


def listed(deployment: Deployment, *arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in shown(deployment, "list", "--json", *arguments).splitlines()]


def redriven(deployment: Deployment, *arguments: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(shown(deployment, "redrive", "--json", *arguments))
    return document


def send(deployment: Deployment, values: Iterable[bytes], key: bytes = b"ann") -> None:
    """Send values as they are, with headers and a time of the sender's own."""
    producer = Producer({"bootstrap.servers": deployment.servers})
    for number, value in enumerate(values):
        headers = cast("list[tuple[str, str | bytes | None]]", list(THEIRS))
        producer.produce(deployment.topic, value, key, number % PARTITIONS, timestamp=AT_MS + number, headers=headers)
    assert producer.flush(WAIT_S) == 0


def write_letters(deployment: Deployment, count: int, reason: Reason = "not_json", **options: int) -> None:
    """Write dead letters as a worker would, of originals that stand nowhere."""
    producer = Producer({"bootstrap.servers": deployment.servers})
    topic, error = deployment.settings.dead_letter_topic, MalformedRecordError(reason, "because")
    for number in range(count):
        place = (deployment.topic, number % PARTITIONS, number)
        record = RefusedRecord(*place, b"key-%d" % number, b"value-%d" % number, THEIRS, AT_MS)
        message = dead_letter(topic, record, error, "tests", AT_MS, **options)
        producer.produce(topic, message.value, message.key, headers=list(message.headers))
    assert producer.flush(WAIT_S) == 0


def sent_again(deployment: Deployment) -> list[Message]:
    """The records of the input topic that were redriven."""
    records = committed_records(deployment, deployment.topic)
    return [message for message in records if REDRIVEN_FROM_HEADER in header_values(message)]


def dead_letters(deployment: Deployment) -> list[Message]:
    records = committed_records(deployment, deployment.settings.dead_letter_topic)
    return [message for message in records if REDRIVEN_HEADER not in header_values(message)]


def origins(deployment: Deployment) -> Counter[Origin]:
    """Partition and offset of the records that have dead letters."""
    found = (header_values(message) for message in dead_letters(deployment))
    return Counter((int(h["__connect.errors.partition"]), int(h["__connect.errors.offset"])) for h in found)


def worker_to_the_end(deployment: Deployment, **variables: str) -> None:
    """Let a worker take everything, and stop it."""
    # The end of a transaction takes an offset of its own, which nobody commits: a record behind it can be awaited.
    producer = Producer({"bootstrap.servers": deployment.servers})
    for partition in range(PARTITIONS):
        user = b"last-%d" % partition
        producer.produce(deployment.topic, b'{"user_id": "%b", "item_id": 1, "rating": 4}' % user, user, partition)
    assert producer.flush(WAIT_S) == 0
    worker = deployment.worker(**variables).start()
    deployment.await_lag(0, worker)
    assert worker.stop() == 0


def assert_each_once(deployment: Deployment, count: int) -> None:
    """Each of the dead letters written was sent exactly once, to the partition it came from."""
    found = Counter((message.partition(), message.key(), message.value()) for message in sent_again(deployment))
    assert found == Counter((n % PARTITIONS, b"key-%d" % n, b"value-%d" % n) for n in range(count))


def test_a_limit_stops_the_worker_before_its_commit(deployment: Deployment) -> None:
    """Exit code 11 and what to do, however often it is tried; with the limit raised everything goes on, once each."""
    deployment.produce(ratings(GOOD))
    worker_to_the_end(deployment)
    send(deployment, [b"{"] * BAD)
    worker = deployment.worker(limits__dead_letter_run_limit_records=str(RUN_LIMIT))
    for _ in range(2):
        assert worker.start().await_exit() == ExitCode.DEAD_LETTERS, worker.stderr
        said = worker.refusal()
        assert f"{RUN_LIMIT} malformed records in a row, most often not_json ({RUN_LIMIT} times)" in said
        assert f"{deployment.topic}-" in said
        assert "limits.dead_letter_run_limit_records" in said
        done = deployment.committed()
        assert all(offset < done[partition] for partition, offset in origins(deployment))
        assert sum(origins(deployment).values()) == BAD - deployment.lag()
        assert deployment.lag() > 0
    deployment.produce(ratings(GOOD))
    worker_to_the_end(deployment, limits__dead_letter_run_limit_records="0")
    assert sorted(origins(deployment).values()) == [1] * BAD
    assert_exactly_once(deployment)


def test_a_share_of_malformed_records_stops_the_worker(deployment: Deployment) -> None:
    """Garbage between good records meets the ratio, and its setting is named."""
    send(deployment, [b"{", b'{"type": "forget", "user_id": "ann"}'] * BAD)
    limits = {"limits__dead_letter_ratio_limit": "0.4", "limits__dead_letter_ratio_min_records": "20"}
    worker = deployment.worker(**limits, limits__dead_letter_window_records="40").start()
    assert worker.await_exit() == ExitCode.DEAD_LETTERS, worker.stderr
    assert "limits.dead_letter_ratio_limit (0.4 of at least 20 records" in worker.refusal()


def test_what_the_rules_refused_is_taken_once_they_are_mended(deployment: Deployment) -> None:
    """Filters, dry run, redrive: key, value, time, headers and partition as they were; what fails again says so."""
    values = [UNKNOWN_FIELD % item for item in range(8)]
    send(deployment, [*values, b"{", b"["])
    worker_to_the_end(deployment, catalogue__refuse_unknown_fields="true")
    first = {row["letter"]: row for row in listed(deployment)}
    assert Counter(row["reason"] for row in first.values()) == {"unknown_field": 8, "not_json": 2}
    assert len(listed(deployment, "--reason", "not_json")) == 2
    assert listed(deployment, "--until", "2020-01-01T00:00:00Z") == []
    before = deployment.ends()
    assert "add --execute" in shown(deployment, "redrive")
    assert deployment.ends() == before
    done = redriven(deployment, "--reason", "unknown_field", "--execute")
    assert (done["sent"], done["left_alone"]["sent_before"]) == (8, 0)
    worker_to_the_end(deployment)
    again = sent_again(deployment)
    assert {message.value() for message in again} == set(values)
    for message in again:
        partition, offset = cast("int", message.partition()), values.index(message.value() or b"") // PARTITIONS
        row = first[header_values(message)[REDRIVEN_FROM_HEADER].decode().split(":", 1)[1]]
        assert (message.key(), row["partition"], row["offset"]) == (b"ann", partition, offset)
        assert message.timestamp()[1] == AT_MS + values.index(message.value() or b"")
        assert tuple(cast("list[tuple[str, bytes | None]]", message.headers()))[: len(THEIRS)] == THEIRS
    # How many events were applied is not asked: a restart replays its last batch by the new rules, which take the
    # originals, too. They are the same ratings at the same times, so the history cannot tell.
    history = deployment.states()[point_id("ann")].history
    assert [(item, rating) for item, rating, _ in entries(history)] == [(item, 4.5) for item in range(len(values))]


def test_attempts_are_counted_and_limited(deployment: Deployment) -> None:
    """What fails each time becomes one dead letter per attempt, and is left alone after --max-attempts."""
    send(deployment, [b"{"])
    for attempt in (1, 2, 3):
        worker_to_the_end(deployment)
        assert [row["attempts"] for row in listed(deployment)] == list(range(attempt, 0, -1))
        assert [row["redriven"] for row in listed(deployment)] == [False] + [True] * (attempt - 1)
        done = redriven(deployment, "--execute")
        assert done["sent"] == (1 if attempt < 3 else 0)
    assert done["left_alone"] | {"sent_before": 2, "too_many_attempts": 1} == done["left_alone"]
    assert redriven(deployment, "--max-attempts", "4")["due"] == 1
    (last,) = [row["letter"] for row in listed(deployment) if not row["redriven"]]
    assert redriven(deployment, last, "--max-attempts", "4", "--execute")["sent"] == 1
    assert [header_values(m)[ATTEMPTS_HEADER] for m in sent_again(deployment)] == [b"1", b"2", b"3"]


def test_a_filter_leaves_what_it_leaves_out_for_another_day(deployment: Deployment) -> None:
    """Each dead letter is sent by the first run that means it, and by no later one."""
    write_letters(deployment, 10)
    write_letters(deployment, 5, "bad_time")
    assert redriven(deployment, "--reason", "bad_time", "--execute")["sent"] == 5
    done = redriven(deployment, "--execute")
    assert (done["sent"], done["left_alone"]["sent_before"]) == (10, 5)
    assert redriven(deployment, "--execute")["sent"] == 0
    assert len(sent_again(deployment)) == 15


def test_a_run_that_is_killed_is_gone_on_with(deployment: Deployment) -> None:
    """A kill -9 in the middle leaves some sent and some not; the next run sends the rest, and none twice."""
    write_letters(deployment, MANY)
    process = started(deployment, "redrive", "--execute")
    await_until(lambda: sum(deployment.ends().values()) > 300, "some to be sent")
    process.kill()
    process.communicate()
    done = redriven(deployment, "--execute")
    assert 0 < done["sent"] < MANY
    assert done["sent"] + done["left_alone"]["sent_before"] == MANY
    assert_each_once(deployment, MANY)


def test_two_runs_at_once_send_nothing_twice(deployment: Deployment) -> None:
    """A run that was paused while another one did its work is stopped when it wakes up, and says so."""
    write_letters(deployment, MANY)
    first = started(deployment, "redrive", "--execute")
    await_until(lambda: sum(deployment.ends().values()) > 300, "some to be sent")
    first.send_signal(signal.SIGSTOP)
    assert 0 < redriven(deployment, "--execute")["sent"] < MANY
    first.send_signal(signal.SIGCONT)
    code, _, said = ended(first)
    assert (code, "took over" in said) == (ExitCode.FENCED, True), said
    assert_each_once(deployment, MANY)


def test_a_marker_behind_an_open_transaction_is_waited_for(deployment: Deployment) -> None:
    """What readers of committed records do not see yet was still sent: the next run waits, and sends none again."""
    write_letters(deployment, 8)
    settings, topic = deployment.settings, deployment.settings.dead_letter_topic
    topics = check_cluster(settings)
    worker = Producer({"bootstrap.servers": deployment.servers, "transactional.id": f"{topic}-worker"})
    worker.init_transactions(WAIT_S)
    worker.begin_transaction()
    for partition in range(PARTITIONS):
        worker.produce(topic, b"a dead letter on its way", None, partition)
    assert worker.flush(WAIT_S) == 0
    sink = transactional_sink(settings, topics, settings.redrive_transactional_id)
    redriver = Redriver(topic, sink, lambda: dead_letter_records(settings), "tests", clock_ms)
    rules = RedriveRules(3, {deployment.topic: PARTITIONS})
    assert len(redriver.run(Selection(), rules, lambda *_: None).sent) == 8
    sink.close()
    patience = {"kafka__request_timeout_s": "4", "limits__transaction_timeout_s": "1"}
    code, _, said = ended(started(deployment, "redrive", "--execute", **patience))
    assert (code, "sent nothing of" in said) == (ExitCode.KAFKA, True), said
    worker.abort_transaction(WAIT_S)
    assert redriven(deployment, "--execute")["sent"] == 0
    assert_each_once(deployment, 8)


def test_one_letter_is_shown_with_every_byte(deployment: Deployment) -> None:
    """Headers, reason, origin and bytes; --raw writes the value alone, and nothing acts on the terminal."""
    value = b'{"user_id": "\x1b[31mann"\x00\xff'
    send(deployment, [value, b"\xc3\xa9\x1b]0;x\x07"])
    worker_to_the_end(deployment)
    rows = {row["partition"]: row["letter"] for row in listed(deployment)}
    assert ended(started(deployment, "show", rows[0], "--raw"))[1] == value
    document = json.loads(shown(deployment, "show", rows[0], "--json"))
    assert document["original"]["value_text"] is None
    assert document["original"]["timestamp_ms"] == AT_MS
    text = shown(deployment, "show", rows[1])
    assert "c3 a9 1b 5d" in text
    assert "as text: é\\x1b]0;x\\x07" in text
    assert "trace: 2 bytes, hex 00ff" in text
    assert "\x1b" not in text + shown(deployment, "list")
    code, _, said = ended(started(deployment, "show", "0:9999"))
    assert (code, "there is no dead letter 0:9999" in said) == (ExitCode.CHECK_FAILED, True)


def test_a_record_too_large_for_a_dead_letter_stops_nobody(deployment: Deployment) -> None:
    """Where the topic cannot take the bytes, the dead letter says where they stand, and is not sent as if whole."""
    topic = ConfigResource(ResourceType.TOPIC, deployment.settings.dead_letter_topic)
    least = str(INPUT_MAX_MESSAGE_BYTES + HEADROOM_BYTES)
    topic.add_incremental_config(ConfigEntry("max.message.bytes", least, incremental_operation=AlterConfigOpType.SET))
    deployment.cluster.admin.incremental_alter_configs([topic])[topic].result(WAIT_S)
    # Ten times the same noise: small to a packer that looks far back, far too large to one that does not.
    value = os.urandom(900_000) * 10
    packing = {"compression.type": "zstd", "compression.level": 12, "message.max.bytes": 1_000_000_000}
    producer = Producer({"bootstrap.servers": deployment.servers, **packing})
    producer.produce(deployment.topic, value, b"ann", 0)
    assert producer.flush(WAIT_S) == 0
    deployment.produce(ratings(GOOD))
    worker_to_the_end(deployment)
    (row,) = listed(deployment)
    assert (row["omitted"], row["value_bytes"], row["key"]) == (["value"], len(value), "ann")
    done = redriven(deployment, "--execute")
    assert (done["sent"], done["left_alone"]["incomplete"]) == (0, 1)
    assert f"{deployment.topic}:0:0" in shown(deployment, "show", row["letter"])
    assert ended(started(deployment, "show", row["letter"], "--raw"))[0] == ExitCode.CHECK_FAILED


def test_what_packed_into_its_topic_but_no_longer_does_is_named(deployment: Deployment) -> None:
    """A record that its input topic does not take is said to be too large; the others are sent all the same."""
    write_letters(deployment, 3)
    record = RefusedRecord(deployment.topic, 0, 3, b"large", os.urandom(2 * INPUT_MAX_MESSAGE_BYTES))
    message = dead_letter(
        deployment.settings.dead_letter_topic, record, MalformedRecordError("not_json", "because"), "tests", AT_MS
    )
    producer = Producer({"bootstrap.servers": deployment.servers, "message.max.bytes": 10_000_000})
    producer.produce(message.topic, message.value, message.key, headers=list(message.headers))
    assert producer.flush(WAIT_S) == 0
    done = redriven(deployment, "--execute")
    assert (done["sent"], done["left_alone"]["too_large"]) == (3, 1)
    assert_each_once(deployment, 3)
