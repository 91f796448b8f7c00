"""Property transforms: changes that the server works out from what it has."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from polystore_engines.datastore_stub.appengine import Message, gd
from polystore_engines.datastore_stub.errors import invalid, need
from polystore_engines.datastore_stub.masks import made_holder, split_path
from polystore_engines.datastore_stub.timestamps import to_timestamp

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


def transform(entity: Message, change: Message, now: int) -> Message:
    """Applies one PropertyTransform to an entity.

    Args:
        entity: changed in place.
        change: the transform.
        now: the server's time in microseconds; milliseconds of it are stored.

    Returns:
        The Value for `transform_results`.
    """
    names, kind = split_path(change.property), change.WhichOneof("transform_type")
    need(kind, "A property transform must have a transform type.")
    place, name = made_holder(entity, names), names[-1]
    old = place.properties.get(name)
    if kind == "set_to_server_value":
        new = gd.Value(timestamp_value=to_timestamp(now // 1000 * 1000))
    elif kind in ARITHMETIC:
        new = _calculated(kind, old, getattr(change, kind))
    else:
        new = _changed_list(kind, old, getattr(change, kind).values)
    is_list = new.HasField("array_value")
    if old is not None and not is_list:
        new.exclude_from_indexes = old.exclude_from_indexes
    place.properties[name].CopyFrom(new)
    return gd.Value(null_value=0) if is_list else new


def _calculated(kind: str, old: Message | None, given: Message) -> Message:
    """What is not a number counts as absent: the operand takes its place."""
    operand, have = _number(given), _number(old)
    need(operand is not None, f"The operand of {kind} must be a number.")
    result = operand if have is None else ARITHMETIC[kind](have, operand)
    field = "double_value" if isinstance(result, float) else "integer_value"
    return gd.Value(**{field: result})


def _increment(have: Any, operand: Any) -> Any:
    """Integers saturate."""
    result = have + operand
    return max(INT64_MIN, min(INT64_MAX, result)) if isinstance(result, int) else result


def _extreme(better: Callable[[Any, Any], bool]) -> Callable[[Any, Any], Any]:
    """NaN wins; equal numbers leave the stored one, with its type."""

    def choose(have: Any, operand: Any) -> Any:
        for number in (have, operand):
            if math.isnan(number):
                return number
        return operand if better(operand, have) else have

    return choose


ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "increment": _increment,
    "maximum": _extreme(lambda operand, have: operand > have),
    "minimum": _extreme(lambda operand, have: operand < have),
}


def _changed_list(kind: str, old: Message | None, given: Iterable[Message]) -> Message:
    """What is not a list counts as an empty one."""
    have = list(old.array_value.values) if old is not None and old.HasField("array_value") else []
    if kind == "remove_all_from_array":
        unwanted = [_content(item) for item in given]
        items = [item for item in have if _content(item) not in unwanted]
    elif kind == "append_missing_elements":
        items = _with_missing(have, given)
    else:
        raise invalid(f"Unknown property transform {kind}.")
    new = gd.Value()
    new.array_value.SetInParent()
    new.array_value.values.extend(items)
    return new


def _with_missing(have: list[Message], given: Iterable[Message]) -> list[Message]:
    items, seen = list(have), [_content(item) for item in have]
    for item in given:
        content = _content(item)
        if content not in seen:
            items.append(item)
            seen.append(content)
    return items


def _number(value: Message | None) -> Any:
    kind = value.WhichOneof("value_type") if value is not None else None
    return getattr(value, kind) if kind in ("integer_value", "double_value") else None


def _content(value: Message) -> tuple[str, Any]:
    """What equality in lists looks at: numbers by value, all else by type and value."""
    number = _number(value)
    if number is not None:
        return "number", number
    kind = value.WhichOneof("value_type")
    item = getattr(value, kind)
    return kind, item.SerializeToString(deterministic=True) if hasattr(item, "DESCRIPTOR") else item
