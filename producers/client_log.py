"""What Kafka clients write through: librdkafka writes to standard error by itself unless it is given a logger."""

import logging


class ClientLog:
    """What a Kafka client writes through, also while an error of its own is on its way to whoever called it."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def log(self, level: int, form: str, *parts: object) -> None:
        """Write one line.

        Raises:
            KafkaException: the error that was on its way; the interpreter makes a SystemError of it here.
        """
        try:
            self._logger.log(level, form, *parts)
        except SystemError as error:
            if error.__cause__ is None:
                raise
            self._logger.log(level, form, *parts)
            raise error.__cause__ from None


KAFKA_LOG = ClientLog(logging.getLogger("kafka"))
"""For every Kafka client of the service."""
