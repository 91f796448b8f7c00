"""What a driver says where a collection, or an index of one, is not there."""

from __future__ import annotations

from polystore.errors import ConfigError, Unavailable
from polystore.schema import Collection, Index

MAKE_IT = "make it with store.create(), or `polystore create`"
"""What to do about it: nothing is made by surprise."""


def no_collection(driver: str, collection: Collection) -> ConfigError:
    """There is no such collection: it is made when asked for, never by surprise."""
    return ConfigError(
        f"there is no such collection in this database; {MAKE_IT}",
        collection=collection.name,
        driver=driver,
    )


def no_index(driver: str, collection: Collection, index: Index) -> ConfigError:
    """The collection is there without this index."""
    return ConfigError(
        f"the index {index.name!r} is not there as it is declared; {MAKE_IT}",
        collection=collection.name,
        driver=driver,
    )


def closed(driver: str) -> Unavailable:
    """The driver was closed; nothing was sent."""
    return Unavailable("this store is closed; open it again", driver=driver)
