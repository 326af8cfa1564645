"""What every system test stands on: a Kafka cluster, and names in it that no other test has."""

import os
import re
import uuid
from collections.abc import Iterator

import pytest

from producers.broker import FAST_RECOVERY, BrokerOptions, LocalBroker


@pytest.fixture(scope="session")
def broker() -> Iterator[str]:
    """Bootstrap servers: the cluster of `KAFKA_BOOTSTRAP_SERVERS`, otherwise a broker of this session's own."""
    if running := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        yield running
        return
    with LocalBroker(BrokerOptions(properties=FAST_RECOVERY)) as local:
        yield local.bootstrap_servers


@pytest.fixture
def topic_prefix(request: pytest.FixtureRequest) -> str:
    """A prefix for names of topics and groups, readable and used by no other test or run."""
    test = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:60].strip("-")
    return f"{test}-{uuid.uuid4().hex[:8]}-"
