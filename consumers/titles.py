"""Titles and genres of items, from a MovieLens data set, until the catalogue has a topic of its own."""

from collections.abc import Mapping
from pathlib import Path

from consumers.lists import ItemCard
from producers.datasets import bundled_dataset, load_dataset

BUNDLED = "bundled"


def item_cards(titles: str | None) -> Mapping[int, ItemCard]:
    """Cards by item id; `titles` is the path of a data set, "bundled" for the one that ships here, None for none.

    Raises:
        DatasetError: the data set cannot be read.
    """
    if titles is None:
        return {}
    dataset = bundled_dataset() if titles == BUNDLED else load_dataset(Path(titles))
    return {
        item_id: ItemCard(item.title, item.genres)
        for item_id, item in dataset.items.items()
        if isinstance(item_id, int)
    }
