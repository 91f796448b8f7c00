"""References as key values, and back. No I/O.

The collection of a ``Ref`` is read as kinds joined by ``/``, its key as one name or id for each:
``Ref("Customer/Order", ("c1", 17))`` is the key ``Customer "c1" / Order 17``. A key of another
place has ``//project/database/namespace/`` before its kinds. What fits no path is tagged by the
codec instead. Placements play no part here: what a reference reads as must be the same for every
process, whichever collections it has opened.
"""

from __future__ import annotations

import attrs

from polystore.values import INT_MAX, INT_MIN, Ref
from polystore_datastore.messages import Message
from polystore_datastore.names import is_refused, key_name, key_part

NAME_BYTES = 1500
"""Longest name or kind in a key (cloud.google.com/datastore/docs/concepts/limits)."""

KEY_BYTES = 6144
"""Longest key (the same page)."""


@attrs.frozen
class Partition:
    """Where keys are: a project, a database and a namespace."""

    project: str
    database: str = ""
    namespace: str = ""

    def fill(self, key: Message) -> None:
        """Set a key's partition."""
        place = key.partition_id
        place.project_id = self.project
        if self.database:
            place.database_id = self.database
        if self.namespace:
            place.namespace_id = self.namespace


def fill_ref(home: Partition, ref: Ref, key: Message) -> bool:
    """Make ``key`` what ``ref`` refers to; ``False``, and nothing done, where it fits no path."""
    place, kinds = home, ref.collection.split("/")
    if kinds[:2] == ["", ""]:
        place, kinds = Partition(*kinds[2:5]), kinds[5:]
        if place == home or not place.project or not kinds:
            return False
    if len(kinds) != len(ref.key) or not all(map(_is_kind, kinds)) or not _fits(kinds, ref):
        return False
    place.fill(key)
    for kind, part in zip(kinds, ref.key, strict=True):
        element = key.path.add()
        element.kind = _unquoted(kind)
        if isinstance(part, str):
            element.name = key_name(part)
        else:
            assert isinstance(part, int)
            element.id = part
    return True


def _is_kind(text: str) -> bool:
    kind = _unquoted(text)
    return not is_refused(kind) and _quoted(kind) == text


def _fits(kinds: list[str], ref: Ref) -> bool:
    """Whether each part is a name or id, and nothing is over a limit."""
    total = 0
    for text in (*kinds, *ref.key):
        if isinstance(text, bytes):
            return False
        if isinstance(text, int):
            if text == 0 or not INT_MIN <= text <= INT_MAX:
                return False
            continue
        size = len(key_name(text).encode())
        if size > NAME_BYTES:
            return False
        total += size
    return total + 40 * len(kinds) < KEY_BYTES - 500


def ref_of(home: Partition, key: Message) -> Ref | None:
    """What a key value refers to; ``None`` where the key is incomplete."""
    kinds, parts = [], []
    for element in key.path:
        form = element.WhichOneof("id_type")
        if form is None:
            return None
        kinds.append(_quoted(element.kind))
        parts.append(key_part(element.name) if form == "name" else element.id)
    if not parts:
        return None
    where = key.partition_id
    place = Partition(where.project_id or home.project, where.database_id, where.namespace_id)
    if place != home:
        kinds[:0] = ["", "", place.project, place.database, place.namespace]
    return Ref("/".join(kinds), tuple(parts))


def _quoted(kind: str) -> str:
    return kind.replace("%", "%25").replace("/", "%2F")


def _unquoted(text: str) -> str:
    return text.replace("%2F", "/").replace("%25", "%")
