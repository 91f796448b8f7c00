"""The JSON Schema of a descriptor, in ``spec/``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from polystore.capabilities import Capabilities, from_json, to_json
from polystore.capabilities.schema import schema
from polystore.errors import ConfigError
from tests.unit.capabilities.descriptors import descriptors

PATH = Path(__file__).parents[3] / "spec" / "capabilities.schema.json"
VALIDATOR = Draft202012Validator(schema())
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 1, 1.5, "", "strong", "held", [], ["int"], ["odd"], {}, {"i": "omitted"}]
)


@pytest.mark.rule("CAP-12")
def test_the_schema_in_spec_is_up_to_date() -> None:
    """Write it again with ``python -m polystore.capabilities.schema``."""
    assert json.loads(PATH.read_text()) == schema()
    Draft202012Validator.check_schema(schema())


@pytest.mark.rule("CAP-12")
@given(descriptors, st.data())
def test_the_schema_and_from_json_take_the_same(c: Capabilities, data: st.DataObject) -> None:
    plain = to_json(c)
    assert VALIDATOR.is_valid(plain)
    group = data.draw(st.sampled_from(sorted(plain)))
    name = data.draw(st.sampled_from(sorted(plain[group])))
    plain[group][name] = data.draw(ODD)
    try:
        from_json(plain)
    except ConfigError:
        taken = False
    else:
        taken = True
    assert VALIDATOR.is_valid(plain) == taken
