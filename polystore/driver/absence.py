"""What a driver says where a collection, or an index of one, is not there."""

from __future__ import annotations

from collections.abc import Iterable

from polystore.driver.policies import Policed
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


def present(
    driver: str,
    collection: Collection,
    index: Index,
    declared: Iterable[Policed],
    there: Iterable[Policed],
) -> Policed:
    """The index of a query, as it is declared and kept. Raises ConfigError where it is not."""
    kept = next((one for one in declared if one.index == index), None)
    if kept is None or kept not in there:
        raise no_index(driver, collection, index)
    return kept


def problems(
    driver: str, collection: Collection, declared: Iterable[Policed], there: Iterable[Policed]
) -> tuple[str, ...]:
    """What a description says of declared indexes that are not there as they are declared."""
    kept = tuple(there)
    missing = [one.index for one in declared if one not in kept]
    return tuple(no_index(driver, collection, index).message for index in missing)


def closed(driver: str) -> Unavailable:
    """The driver was closed; nothing was sent."""
    return Unavailable("this store is closed; open it again", driver=driver)
