"""Descriptors as JSON."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest
from hypothesis import given

from polystore.capabilities import Capabilities, from_json, to_json
from polystore.errors import ConfigError
from tests.unit.capabilities.descriptors import descriptors


@pytest.mark.rule("CAP-1")
@given(descriptors)
def test_a_descriptor_comes_back_equal_from_json(c: Capabilities) -> None:
    assert from_json(json.loads(json.dumps(to_json(c)))) == c


@pytest.mark.rule("CAP-1")
def test_a_descriptor_is_frozen() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Capabilities().reads = None  # type: ignore[misc, assignment]  # that is the test


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("reads", "point"), "best"),
        (("reads", "point"), ["strong"]),
        (("keys",), None),
        (("keys", "int_min"), True),
        (("keys", "int_min"), 1.5),
        (("keys", "partition"), {"most": 1}),
        (("values", "native"), 7),
        (("keys", "more"), 7),
        (("writes", "conditions"), "anything"),
        (("writes", "conditions"), [1]),
        (("indexes", "empty"), "indexed"),
        (("indexes", "empty"), {"by_state": "best"}),
    ],
)
def test_what_is_no_descriptor_is_refused_with_its_path(path: tuple[str, ...], value: Any) -> None:
    data = to_json(Capabilities())
    inner = data
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    where = ".".join(path[:-1] if path[-1] == "more" else path)
    with pytest.raises(ConfigError, match=f"capabilities.{where}"):
        from_json(data)


def test_nothing_is_filled_in_for_what_is_missing() -> None:
    data = to_json(Capabilities())
    del data["reads"]["index"]
    with pytest.raises(ConfigError, match=r"capabilities\.reads: missing or unknown: index"):
        from_json(data)
