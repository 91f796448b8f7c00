"""What a driver says where a collection, or an index of one, is not there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from polystore.driver.kept import Kept
from polystore.driver.policies import Policed
from polystore.errors import ConfigError, Unavailable
from polystore.schema import Collection, Index, KeyField

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
    driver: str, collection: Collection, declared: Iterable[Policed], there: Kept
) -> tuple[str, ...]:
    """What a description says of a key and of indexes that are not there as they are declared.

    Args:
        driver: name of the driver.
        collection: as it is declared.
        declared: its indexes, under their policies.
        there: what the database has.
    """
    other = _key_problem(collection, there.key)
    missing = [one.index for one in declared if one not in there.indexes]
    found = tuple(no_index(driver, collection, index).message for index in missing)
    return found if other is None else (other, *found)


def check_key(driver: str, collection: Collection, key: Sequence[KeyField]) -> None:
    """Refuse to make a collection where one of another key is. Raises ConfigError."""
    problem = _key_problem(collection, key)
    if problem is not None:
        raise ConfigError(problem, collection=collection.name, driver=driver)


def _key_problem(collection: Collection, key: Sequence[KeyField]) -> str | None:
    if tuple(key) == collection.key:
        return None
    return other_key(f"{field.name}:{field.type.__name__}" for field in key)


def other_key(fields: Iterable[str]) -> str:
    """What is said where a collection of another key is, given the parts of that."""
    there = ", ".join(fields)
    return f"the key is ({there}) there; declare it so, or give the collection another name"


def closed(driver: str) -> Unavailable:
    """The driver was closed; nothing was sent."""
    return Unavailable("this store is closed; open it again", driver=driver)
