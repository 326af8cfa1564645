"""What a worker says of itself after every step: whether it is ready, what it holds, how far behind it is."""

from consumers.handler import Handler
from consumers.source import KafkaSource
from consumers.surroundings import Surroundings
from recommender.recommender import Recommender


class Status:
    """Brings health and gauges up to date."""

    def __init__(self, source: KafkaSource, handler: Handler, recommender: Recommender, around: Surroundings) -> None:
        self._source = source
        self._handler = handler
        self._recommender = recommender
        self._around = around
        self._reported: set[tuple[str, int]] = set()

    def refresh(self) -> None:
        """Say it all again."""
        self._report_health()
        metrics = self._around.metrics
        metrics.assigned(len(self._source.held))
        metrics.cache_bytes("own", self._handler.cached_bytes)
        metrics.cache_bytes("neighbours", self._recommender.cache.size_bytes)
        metrics.write_conflicts(self._handler.write_conflicts)
        lags = self._source.lags()
        for topic, partition in self._reported - lags.keys():
            metrics.unassigned(topic, partition)
        for (topic, partition), records in lags.items():
            metrics.lag(topic, partition, records)
        self._reported = set(lags)

    def _report_health(self) -> None:
        health = self._around.health
        health.beat()
        if not self._source.held:
            health.ready(False, "no partitions are assigned")
        elif self._source.replaying:
            health.ready(False, "the store is catching up with what was committed")
        else:
            health.ready(True)
