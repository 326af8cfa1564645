"""One run of `tastestream dead-letters redrive`: its parts put together, and what would be done without them."""

from collections.abc import Mapping

from consumers.app import check_cluster, clock_ms, transactional_sink
from consumers.cluster import Cluster, Topic
from consumers.redrive import Redriven, Redriver, RedriveRules, Report, planned
from consumers.redrive_letters import (
    Selection,
    dead_letter_records,
    decided_records,
    ends_with_what_is_open,
    read_letters,
)
from consumers.settings import Settings
from producers.sink import FencedError


def planned_redrive(settings: Settings, selection: Selection, max_attempts: int) -> Redriven:
    """What a run would do now; sends nothing, and disturbs no other run.

    Raises:
        ClusterError: Kafka does not answer or refuses.
        TopicsError: a topic is missing.
    """
    rules = _rules(settings, check_cluster(settings), max_attempts)
    return planned(read_letters(dead_letter_records(settings), selection), rules)


def run_redrive(settings: Settings, selection: Selection, max_attempts: int, report: Report) -> Redriven:
    """Send what is due, each once; whoever else does so for this group is stopped.

    Raises:
        ClusterError: Kafka does not answer or refuses.
        TopicsError: a topic is missing.
        FencedError: another run took over.
        SinkError: nothing more can be sent; another run sends the rest.
    """
    topics = check_cluster(settings)
    topic = settings.dead_letter_topic
    cluster = Cluster(settings.kafka.client_config(), settings.kafka.request_timeout_s)
    try:
        sink = transactional_sink(settings, topics, settings.redrive_transactional_id)
        try:
            redriver = Redriver(
                topic,
                sink,
                lambda: decided_records(settings, ends_with_what_is_open(cluster, topic, topics[topic].partitions)),
                f"tastestream/{settings.group}",
                clock_ms,
            )
            return redriver.run(selection, _rules(settings, topics, max_attempts), report)
        finally:
            sink.close()
    except FencedError as error:
        raise FencedError(
            f"another `tastestream dead-letters redrive` of the group {settings.group!r} took over: what this one sent "
            "stays sent, and the other one sends none of it again"
        ) from error


def _rules(settings: Settings, topics: Mapping[str, Topic], max_attempts: int) -> RedriveRules:
    inputs = {name: topics[name] for name in settings.input_topics}
    return RedriveRules(
        max_attempts,
        {name: topic.partitions for name, topic in inputs.items()},
        {name: topic.max_message_bytes for name, topic in inputs.items()},
    )
