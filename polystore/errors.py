"""Every error that polystore raises, in one tree.

::

    PolystoreError
    ├── InvalidRequest            the caller's mistake; nothing was sent
    │   ├── ConfigError           wrong TOML, wrong URL, wrong declaration
    │   │   └── UnknownDriver     no installed driver has this name
    │   ├── InvalidKey            wrong number, type or content of key parts
    │   ├── InvalidValue          a value that no portable record can hold
    │   ├── LimitExceeded         a limit of a database, with the measured size
    │   └── CursorExpired         a cursor of another query, or of a side that is gone
    ├── Unsupported               this database (or this pair) cannot do it; nothing was sent
    ├── Conflict                  a condition was false; nothing was written
    │   ├── AlreadyExists         insert met a record
    │   └── NotFound              update met no record
    ├── Contention                the database gave way to another writer; not applied
    ├── Unavailable               not executed: unreachable, closed, no answer before sending
    │   └── Throttled             the database asks for fewer calls
    │       └── Declined          a side is at the capacity that it was given; nothing was sent
    ├── DeadlineExceeded          waited to the deadline; not applied
    ├── OutcomeUnknown            sent, no answer: applied once or never
    ├── MirrorPending             applied at its home; the mirror did not have it by the deadline
    ├── PermissionDenied          credentials are missing, wrong or too weak
    ├── DriverError               a native error that the driver does not know; outcome unknown
    └── MigrationError            what an operator's command met
        ├── GateClosed            conditions of a stage change that do not hold
        ├── IllegalEdge           no such way between two stages
        └── MixedHome             keys of one transaction have different homes; nothing was sent

Each carries ``code`` (stable text), ``retry`` (advice), and where they are known ``collection``,
``key`` and ``driver``. Messages hold keys and sizes, never values of fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import attrs


@attrs.frozen
class RetryAdvice:
    """Whether sending the same call again is sensible.

    ``kind`` is ``never`` (it will fail again), ``safe`` (it was surely not applied),
    ``ambiguous`` (it may have been applied) or ``after`` (safe, once ``seconds`` have passed).
    """

    kind: str
    seconds: float | None = None


NEVER = RetryAdvice("never")
SAFE = RetryAdvice("safe")
AMBIGUOUS = RetryAdvice("ambiguous")


def after(seconds: float) -> RetryAdvice:
    """Advice to send the call again, unchanged, in ``seconds``."""
    return RetryAdvice("after", seconds)


class PolystoreError(Exception):
    """Base of the tree.

    Args:
        message: what went wrong and what to do, for a person.
        collection: name of the collection concerned.
        key: key of the record concerned, a tuple of key parts.
        driver: name of the driver concerned.
    """

    code: ClassVar[str] = "error"
    retry: RetryAdvice = NEVER

    def __init__(
        self,
        message: str,
        *,
        collection: str | None = None,
        key: tuple[object, ...] | None = None,
        driver: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.collection = collection
        self.key = key
        self.driver = driver

    def locate(self, collection: str, key: tuple[object, ...] | None) -> None:
        """Say where it happened, as far as it is not known yet."""
        if self.collection is None:
            self.collection = collection
        if self.key is None and self.collection == collection:
            self.key = key

    def __reduce__(self) -> tuple[object, ...]:
        # The usual way back calls the class with the message alone; some need more.
        return _restored, (type(self), self.args, self.__dict__)

    def __str__(self) -> str:
        where = [
            f"{name} {value!r}" if name == "key" else f"{name} {value}"
            for name, value in (
                ("driver", self.driver),
                ("collection", self.collection),
                ("key", self.key),
            )
            if value is not None
        ]
        return f"{self.message} [{', '.join(where)}]" if where else self.message


def _restored(
    cls: type[PolystoreError], args: tuple[object, ...], state: dict[str, object]
) -> PolystoreError:
    """A pickled error (ERR-6); its cause stays behind, a native exception may not be picklable."""
    error = cls.__new__(cls, *args)
    error.__dict__.update(state)
    return error


class InvalidRequest(PolystoreError):
    """The call itself is wrong: nothing was sent, and it will fail again."""

    code = "invalid-request"


class ConfigError(InvalidRequest):
    """A configuration, declaration or URL is wrong; the message says where and what is expected."""

    code = "config"


class UnknownDriver(ConfigError):
    """No installed driver has this name; the message lists those that are."""

    code = "unknown-driver"


class InvalidKey(InvalidRequest):
    """A key has the wrong number of parts, or a part of the wrong type or content."""

    code = "invalid-key"


class InvalidValue(InvalidRequest):
    """A value that no portable record can hold. ``path`` leads to it, such as ``a.b[3]``."""

    code = "invalid-value"

    def __init__(
        self,
        message: str,
        *,
        path: str = "",
        collection: str | None = None,
        key: tuple[object, ...] | None = None,
        driver: str | None = None,
    ) -> None:
        super().__init__(message, collection=collection, key=key, driver=driver)
        self.path = path


class LimitExceeded(InvalidRequest):
    """A limit of a database would be exceeded.

    Args:
        limit: the most that the database takes, in ``unit``.
        size: what was measured, in ``unit``.
        unit: ``bytes``, ``items``, ``levels``.
    """

    code = "limit-exceeded"

    def __init__(
        self,
        message: str,
        *,
        limit: int,
        size: int,
        unit: str,
        collection: str | None = None,
        key: tuple[object, ...] | None = None,
        driver: str | None = None,
    ) -> None:
        super().__init__(message, collection=collection, key=key, driver=driver)
        self.limit = limit
        self.size = size
        self.unit = unit


class CursorExpired(InvalidRequest):
    """A cursor belongs to another query, or to a side that no longer answers."""

    code = "cursor-expired"


class Unsupported(PolystoreError):
    """This database, or this pair of databases, cannot do it; nothing was sent."""

    code = "unsupported"


class Conflict(PolystoreError):
    """A condition was false when it was decided; nothing was written."""

    code = "conflict"


class AlreadyExists(Conflict):
    """``insert`` met a record with this key; nothing was written."""

    code = "already-exists"


class NotFound(Conflict):
    """``update`` met no record with this key; nothing was written."""

    code = "not-found"


class Contention(PolystoreError):
    """The database gave way to another writer at the same moment; surely not applied."""

    code = "contention"
    retry = SAFE


class Unavailable(PolystoreError):
    """The call was not executed: the database cannot be reached, or refused to start on it."""

    code = "unavailable"
    retry = SAFE


class Throttled(Unavailable):
    """The database asks for fewer calls; surely not applied."""

    code = "throttled"
    retry = after(0.1)


class Declined(Throttled):
    """A side is at the capacity that it was given: the operation was not begun.

    Args:
        seconds: when it would be its turn, as things stand; ``retry`` says the same.
    """

    code = "declined"

    def __init__(
        self,
        message: str,
        *,
        seconds: float,
        collection: str | None = None,
        key: tuple[object, ...] | None = None,
        driver: str | None = None,
    ) -> None:
        super().__init__(message, collection=collection, key=key, driver=driver)
        self.retry = after(seconds)


class MirrorPending(PolystoreError):
    """The write is done at its home; the mirror did not have it by the deadline, and will follow.

    Only under the policy ``fail``. The write stands: sending it again is another write.

    Args:
        versions: those of the records that were written, in the order of the writes.
    """

    code = "mirror-pending"
    applied = True

    def __init__(
        self,
        message: str,
        *,
        versions: Sequence[object] = (),
        collection: str | None = None,
        key: tuple[object, ...] | None = None,
        driver: str | None = None,
    ) -> None:
        super().__init__(message, collection=collection, key=key, driver=driver)
        self.versions = tuple(versions)

    @property
    def version(self) -> object:
        """The version of the record, where one was written."""
        return self.versions[0] if self.versions else None


class DeadlineExceeded(PolystoreError):
    """The call waited to its deadline, for a frozen bucket or for its turn; not applied."""

    code = "deadline-exceeded"
    retry = SAFE


class OutcomeUnknown(PolystoreError):
    """The call was sent and has no answer: it takes effect once, or never."""

    code = "outcome-unknown"
    retry = AMBIGUOUS


class PermissionDenied(PolystoreError):
    """The database refuses these credentials."""

    code = "permission-denied"


class DriverError(PolystoreError):
    """A native error that the driver does not know. The native exception is ``__cause__``."""

    code = "driver-error"
    retry = AMBIGUOUS


class MigrationError(PolystoreError):
    """A command on a migration cannot be carried out as things stand."""

    code = "migration"


class GateClosed(MigrationError):
    """A stage change needs conditions that do not hold. ``gates`` names each of them."""

    code = "gate-closed"

    def __init__(self, message: str, *, gates: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.gates = tuple(gates)


class IllegalEdge(MigrationError):
    """There is no way from the present stage to the one that was asked for."""

    code = "illegal-edge"


class MixedHome(MigrationError):
    """The keys of one transaction have different homes just now; nothing was written."""

    code = "mixed-home"
    retry = SAFE
