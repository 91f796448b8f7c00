"""What a driver has read of its collections, kept until it has changed. For driver authors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from polystore.driver.absence import no_collection
from polystore.errors import Contention
from polystore.schema import Collection

T = TypeVar("T")
R = TypeVar("R")

TRIES = 5
"""How often a call is prepared anew where its collections have just been changed."""


class Known(Generic[T]):
    """What is there for each collection: asked when first needed.

    Args:
        driver: name of the driver.
        ask: what is there now; ``None`` where the collection is not there.
    """

    def __init__(self, driver: str, ask: Callable[[Collection], T | None]) -> None:
        self._driver = driver
        self._ask = ask
        self._found: dict[str, T] = {}

    def __getitem__(self, collection: Collection) -> T:
        """What is there, as it was when it was last asked.

        Raises:
            ConfigError: there is no such collection.
        """
        found = self._found.get(collection.name)
        if found is None:
            found = self._ask(collection)
            if found is None:
                raise no_collection(self._driver, collection)
            self._found[collection.name] = found
        return found

    def forget(self, collection: Collection) -> None:
        """Ask again when it is next needed."""
        self._found.pop(collection.name, None)

    def settled(self, collections: Iterable[Collection], attempt: Callable[[], R | None]) -> R:
        """What a call answers that looks whether its collections are still as they are known.

        Args:
            collections: what it is about.
            attempt: prepares and sends it; ``None`` where one of them is not as it is known, and
                nothing was done.

        Raises:
            Contention: they were changed as often as it was tried.
        """
        asked = tuple(collections)
        for _ in range(TRIES):
            answer = attempt()
            if answer is not None:
                return answer
            for collection in asked:
                self.forget(collection)
        raise Contention("the collection is being changed, again and again", driver=self._driver)
