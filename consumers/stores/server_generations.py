"""Generations on a Qdrant server: collections, and two aliases that name the current one and the one that is kept.

The origin is the collection that the settings name. Nobody reads or writes through an alias: it is looked up, and the
collection behind it is opened, so that a worker that has missed a change goes on with the collection it knew.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from qdrant_client import models

from consumers.stores.generations import FIRST_EPOCH, LATER_NAME, Generation, Lineage
from consumers.stores.points import stored_settings
from consumers.stores.server import ServerStore
from consumers.stores.server_connection import Connection
from consumers.stores.server_messages import EVERYTHING
from consumers.stores.server_options import ServerOptions
from consumers.stores.server_points import ServerPoints
from recommender.store import StoreError, StoreSettings, StoreUnavailableError, settings_id

CURRENT_SUFFIX = ".current"
PREVIOUS_SUFFIX = ".previous"


class ServerGenerations:
    """The generations of one collection name."""

    def __init__(self, options: ServerOptions) -> None:
        self._options = options
        self._origin = options.collection
        self._current_alias = options.collection + CURRENT_SUFFIX
        self._previous_alias = options.collection + PREVIOUS_SUFFIX
        self._connection = Connection(options)

    def claim(self) -> None:
        """Nothing to do: a server has no locks. Two rebuilds of the same make fill one collection, without harm."""

    def lineage(self) -> Lineage:
        """See `Generations.lineage`."""
        aliases = self._aliases()
        name = aliases.get(self._current_alias, self._origin)
        return Lineage(Generation(name, self._epoch(name)), aliases.get(self._previous_alias))

    def exists(self, name: str) -> bool:
        """See `Generations.exists`."""
        return name in self._collections()

    def named(self, later_name: str) -> str:
        """See `Generations.named`."""
        return f"{self._origin}.{later_name}"

    def others(self) -> Sequence[str]:
        """See `Generations.others`."""
        aliases = self._aliases()
        known = {aliases.get(self._current_alias, self._origin), aliases.get(self._previous_alias)}
        ours = re.compile(rf"{re.escape(self._origin)}(\.{LATER_NAME.pattern})?")
        return sorted(name for name in self._collections() if ours.fullmatch(name) and name not in known)

    def open(self, name: str, wanted: StoreSettings) -> ServerStore:
        """See `Generations.open`."""
        return ServerStore(replace(self._options, collection=name), wanted)

    def switch(self, lineage: Lineage) -> None:
        """See `Generations.switch`."""
        wanted = {self._current_alias: lineage.current.name}
        if lineage.previous is not None:
            wanted[self._previous_alias] = lineage.previous
        ours = (self._current_alias, self._previous_alias)
        changes: list[models.AliasOperations] = [
            models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias))
            for alias in self._aliases()
            if alias in ours
        ]
        changes += [
            models.CreateAliasOperation(create_alias=models.CreateAlias(collection_name=name, alias_name=alias))
            for alias, name in wanted.items()
        ]
        try:
            with self._connection.errors("switch the aliases"):
                self._connection.models.update_collection_aliases(changes)
        except StoreUnavailableError:
            # The answer may be all that was lost.
            if {alias: name for alias, name in self._aliases().items() if alias in ours} != wanted:
                raise

    def drop(self, name: str) -> None:
        """See `Generations.drop`."""
        lineage = self.lineage()
        if name == lineage.current.name:
            raise StoreError(f"{self.place(name)} is the current one and is not deleted")
        if name == lineage.previous:
            self.switch(Lineage(lineage.current))
        with self._connection.errors(f"delete collection {name!r}"):
            self._connection.models.delete_collection(name)

    def place(self, name: str) -> str:
        """See `Generations.place`."""
        return f"{self._connection.place}, collection {name!r}"

    def close(self) -> None:
        """See `Generations.close`."""
        self._connection.close()

    def _aliases(self) -> dict[str, str]:
        with self._connection.errors("read the aliases"):
            found = self._connection.models.get_aliases().aliases
        return {alias.alias_name: alias.collection_name for alias in found}

    def _collections(self) -> list[str]:
        with self._connection.errors("list the collections"):
            return [row.name for row in self._connection.models.get_collections().collections]

    def _epoch(self, name: str) -> int:
        if name == self._origin and not self.exists(name):
            return FIRST_EPOCH
        points = ServerPoints(self._connection, replace(self._options, collection=name), "")
        found = points.get([settings_id()], EVERYTHING, "read the settings")
        return stored_settings(found[settings_id()]).epoch if settings_id() in found else FIRST_EPOCH
