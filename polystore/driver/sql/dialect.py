"""In what the SQL of databases differs, as far as polystore speaks it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from polystore.driver.document import decode_document, encode_document
from polystore.driver.policies import Policed, policed
from polystore.schema import Collection, KeyField
from polystore.values import Fields, Key


@attrs.frozen(kw_only=True)
class Dialect:
    """One database's way of saying it.

    Attributes:
        driver: name of the driver.
        placeholder: what stands for a value: ``?`` or ``%s``.
        begin: begins a transaction in which what was read stays true until the commit, or it fails.
        types: types of key columns, by the type of the key field; in them different keys differ,
            and are in the order of their type, texts in that of UTF-8.
        kept: names and types of the columns beside the key that a table needs.
        entries: prefix of the names of columns with a record's place in an index, and their type,
            a text or, where ``head`` is given, bytes.
        segment: SQL for the number of a key's segment, given its columns and how many there are.
        collation: what is written behind a text column of the key wherever it is compared.
        head: bytes of an entry that an index can hold; ``None`` where it holds all.
        strict: whether a column holds values of its own type alone.
        untouched: SQL for that the running transaction has not put the row ``t`` there; for a
            :class:`DecidingDriver` alone.
        counted: whether an insert names no columns, and so fails where there is one more by now.
        encode, decode: fields as the document's column holds them, and back.
        to_part, from_part: a part of a key as its column holds it, and back; ``None`` where that is
            the same.
    """

    driver: str
    placeholder: str
    begin: str
    types: Mapping[type, str]
    kept: Mapping[str, str]
    entries: tuple[str, str]
    segment: Callable[[Sequence[str], int], str]
    collation: str = ""
    head: int | None = None
    strict: bool = False
    untouched: str = ""
    counted: bool = False
    encode: Callable[[Mapping[str, Any]], str] = encode_document
    decode: Callable[[str], Fields] = decode_document
    to_part: Callable[[Any], Any] | None = None
    from_part: Callable[[Any], Any] | None = None

    def quoted(self, name: str) -> str:
        """A name as an identifier, whatever it holds. Every statement is sent with values."""
        name = name.replace("%", "%%") if self.placeholder == "%s" else name
        return '"' + name.replace('"', '""') + '"'

    def key_column(self, field: KeyField) -> str:
        """The column of a key field, as it is compared."""
        return self.quoted(field.name) + (self.collation if field.type is str else "")

    def bound(self, key: Sequence[Any]) -> Sequence[Any]:
        """Parts of a key as they are compared with columns."""
        return key if self.to_part is None else [self.to_part(part) for part in key]

    def key(self, parts: Sequence[Any]) -> Key:
        """A key, given its parts as columns hold them."""
        return tuple(parts if self.from_part is None else map(self.from_part, parts))

    def entry(self, text: str) -> str | bytes:
        """A place in an index, as its column holds it."""
        return text if self.head is None else text.encode()

    def searched(self, column: str) -> str:
        """What an index is over, given its column."""
        return column if self.head is None else f"(substring({column} FROM 1 FOR {self.head}))"

    def indexes_of(self, collection: Collection) -> tuple[Policed, ...]:
        """The indexes of a collection under their policies.

        Raises:
            ConfigError: one is to be ``native``.
        """
        return policed(collection, self.driver, native=False)
