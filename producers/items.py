"""How a catalogue is sent: the right key, the right partitioner, nothing that a worker would leave out.

with ItemProducer("localhost:9092") as items:
    items.put(Item(item_id=318, title="Shawshank Redemption, The (1994)", genres=["Crime", "Drama"]))
    items.remove(42)
"""

from producers.record_producer import CheckedProducer
from schemas.encode import item_message, removed_item_message
from schemas.items import Item, decode_item
from schemas.messages import Message


class ItemProducer(CheckedProducer):
    """Sends what items are to the topic of the catalogue; `rules` are the deployment's (kind of item ids)."""

    default_topic = "items"

    def put(self, item: Item) -> None:
        """All that is known of an item, in place of what was known before.

        Raises:
            ValueError: the worker would refuse it; nothing is queued.
            DeliveryError: the queue is full and records in it failed.
        """
        self._send(item_message(self.topic, item))

    def remove(self, item_id: int | str) -> None:
        """Take an item out of the catalogue, so that no list shows it.

        Raises:
            ValueError: the worker would refuse it; nothing is queued.
            DeliveryError: the queue is full and records in it failed.
        """
        self._send(removed_item_message(self.topic, item_id))

    def _send(self, message: Message) -> None:
        decode_item(message.key, message.value, self.rules)
        self.queue(message)
