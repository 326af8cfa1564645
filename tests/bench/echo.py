"""A bare echo through Kafka: read a record, write one of a list's size, commit. What freshness is compared with.

    python -m tests.bench.echo SERVERS GROUP INPUT OUTPUT FILE

FILE holds the value to write, the bytes of a real list. The key and the headers of what was read come back unchanged.
Settings and order of calls are the service's own (`consumers/source.py`, `producers/sink.py`), and nothing else is.
"""

import signal
import sys
from pathlib import Path
from types import FrameType

from confluent_kafka import Consumer, Producer, TopicPartition

POLL_TIMEOUT_S = 0.2
REQUEST_TIMEOUT_S = 10.0
BATCH_MAX_RECORDS = 500


class Echo:
    """Reads, writes and commits until it is told to stop."""

    def __init__(self, servers: str, group: str, topics: tuple[str, str], value: bytes) -> None:
        self._output = topics[1]
        self._value = value
        self._stopping = False
        self._producer = Producer({
            "bootstrap.servers": servers,
            "linger.ms": 0,
            "retry.backoff.ms": 10,
            "compression.type": "zstd",
            "partitioner": "murmur2_random",
            "transactional.id": group,
            "transaction.timeout.ms": 15_000,
            "enable.idempotence": True,
        })  # fmt: skip
        self._producer.init_transactions(REQUEST_TIMEOUT_S)
        self._consumer = Consumer({
            "bootstrap.servers": servers,
            "group.id": group,
            "group.protocol": "consumer",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 100,
        })  # fmt: skip
        self._consumer.subscribe([topics[0]])

    def stop(self, _number: int, _frame: FrameType | None) -> None:
        """End after the batch in hand."""
        self._stopping = True

    def run(self) -> None:
        """One batch after the other."""
        while not self._stopping:
            self._step()
        self._consumer.close()

    def _step(self) -> None:
        first = self._consumer.poll(POLL_TIMEOUT_S)
        if first is None:
            return
        messages = [first, *self._consumer.consume(BATCH_MAX_RECORDS - 1, 0)]
        metadata = self._consumer.consumer_group_metadata()
        self._producer.begin_transaction()
        offsets: dict[tuple[str | None, int | None], int] = {}
        for message in messages:
            self._producer.produce(self._output, key=message.key(), value=self._value, headers=message.headers())
            offsets[message.topic(), message.partition()] = (message.offset() or 0) + 1
        self._producer.poll(0)
        self._producer.flush(REQUEST_TIMEOUT_S)
        self._producer.send_offsets_to_transaction(
            [TopicPartition(topic or "", partition or 0, offset) for (topic, partition), offset in offsets.items()],
            metadata,
            REQUEST_TIMEOUT_S,
        )
        self._producer.commit_transaction(REQUEST_TIMEOUT_S)


def main() -> None:
    """Echo until SIGTERM."""
    servers, group, read, written, file = sys.argv[1:]
    echo = Echo(servers, group, (read, written), Path(file).read_bytes())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, echo.stop)
    echo.run()


if __name__ == "__main__":
    main()
