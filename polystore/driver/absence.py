"""What a driver says where a collection, or an index of one, is not there."""

from __future__ import annotations

from polystore.errors import ConfigError, Unavailable
from polystore.schema import Collection, Index


def no_collection(driver: str, collection: Collection) -> ConfigError:
    """There is no such collection: it is made when asked for, never by surprise."""
    return ConfigError(
        "there is no such collection in this database; make it with store.create()",
        collection=collection.name,
        driver=driver,
    )


def no_index(driver: str, collection: Collection, index: Index) -> ConfigError:
    """The collection is there without this index."""
    return ConfigError(
        f"the index {index.name!r} is not there as it is declared; make it with store.create()",
        collection=collection.name,
        driver=driver,
    )


def closed(driver: str) -> Unavailable:
    """The driver was closed; nothing was sent."""
    return Unavailable("this store is closed; open it again", driver=driver)
