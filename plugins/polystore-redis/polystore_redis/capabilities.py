"""What a Redis server promises for one collection: the descriptor of the driver."""

from __future__ import annotations

from polystore.capabilities import Capabilities, Indexes, Scope, Transactions, Values
from polystore.driver.document import JSON_KINDS
from polystore.driver.policies import empties, policed
from polystore.schema import Collection
from polystore_redis.settings import DRIVER


def capabilities_of(collection: Collection) -> Capabilities:
    """Strong reads and transactions over the whole prefix, and no limits of its own.

    Raises:
        ConfigError: the placement has a policy that there is not.
    """
    return Capabilities(
        values=Values(native=JSON_KINDS),
        transactions=Transactions(scope=Scope.STORE),
        indexes=Indexes(empty=empties(policed(collection, DRIVER, native=False))),
    )
