"""What a comparison leaves out or takes for alike; nothing that is written changes."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polystore.comparing import EXACT, FORMS, Compare
from polystore.config import parse
from polystore.errors import ConfigError
from polystore.testing import strategies as portable
from polystore.values import Fields, same

NAMES = [*FORMS, "empty", "round:2"]
MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)


@pytest.mark.rule("VER-7")
@pytest.mark.parametrize(
    ("form", "one", "other"),
    [
        ("casefold", "Straße", "STRASSE"),
        ("strip", " a ", "a"),
        ("nfc", "e\u0301", "\u00e9"),
        ("milliseconds", MOMENT, MOMENT.replace(microsecond=678_000)),
        ("seconds", MOMENT, MOMENT.replace(microsecond=0)),
        ("unordered", [1, "a", 2.0], ["a", 2.0, 1]),
        ("empty", "", None),
        ("empty", [], {}),
        ("round:2", 1.004, Decimal(1)),
        ("round:0", 2.5, 2),
        ("round:2", -0.001, 0),
        (
            "round:2",
            Decimal("12345678901234567890123456789.121"),
            Decimal("12345678901234567890123456789.12"),
        ),
    ],
)
def test_each_form_makes_alike_what_it_is_for(form: str, one: Any, other: Any) -> None:
    compare = Compare(normalise={"f": [form]})
    assert EXACT.differing({"f": one}, {"f": other})
    assert compare.differing({"f": one}, {"f": other}) == []
    assert compare.differing({"f": one}, {"f": "another thing altogether"}) == ["f"]


@pytest.mark.rule("VER-7")
def test_empty_is_alike_what_is_not_there() -> None:
    assert Compare(normalise={"f": ["empty"]}).differing({"f": ""}, {}) == []
    assert Compare(normalise={"f": ["strip", "empty"]}).differing({"f": "  "}, {}) == []
    assert EXACT.differing({"f": ""}, {}) == ["f"]


@pytest.mark.rule("VER-7")
def test_what_is_ignored_is_left_out_at_any_depth() -> None:
    compare = Compare(ignore=["seen", "meta.cache"])
    one: Fields = {"seen": 1, "meta": {"cache": 1, "kept": 1}, "a": 1}
    other: Fields = {"meta": {"cache": 2, "kept": 2}, "a": 1}
    assert compare.differing(one, other) == ["meta.kept"]
    assert one["meta"] == {"cache": 1, "kept": 1}, "the record itself stays"


@pytest.mark.rule("VER-7")
@given(
    fields=st.dictionaries(st.text("abc", min_size=1), portable.values()),
    form=st.sampled_from(NAMES),
)
def test_no_form_fails_or_makes_a_record_differ_from_itself(fields: Fields, form: str) -> None:
    compare = Compare(normalise={name: [form] for name in fields})
    seen = compare.seen(fields)
    assert same(compare.seen(seen), seen)
    assert compare.differing(fields, dict(fields)) == []


@pytest.mark.rule("SHD-4")
def test_the_paths_of_what_differs() -> None:
    one: Fields = {"a": 1, "b": {"c": [1, {"d": 1}], "e": 1}, "f": 1, "same": 1}
    other: Fields = {"a": 1.0, "b": {"c": [1, {"d": 2}], "e": [1]}, "same": 1}
    assert sorted(EXACT.differing(one, other)) == ["a", "b.c[].d", "b.e", "f"]


@pytest.mark.rule("VER-7")
@pytest.mark.parametrize(
    ("compare", "message"),
    [
        ({"normalise": {"f": ["rond:2"]}}, "compare.normalise.f: there is no form 'rond:2'; known"),
        ({"normalise": {"f": ["round:99"]}}, "compare.normalise.f: there is no form 'round:99'"),
        ({"normalise": {"f": "strip"}}, "compare.normalise.f: expected a list of texts"),
        ({"ignore": "f"}, "compare.ignore: expected a list of texts"),
        ({"ignore": ["a..b"]}, "'a..b' names no field"),
        ({"ignored": ["a"]}, "compare.ignored: unknown; did you mean 'ignore'?"),
    ],
)
def test_a_wrong_rule_is_refused_by_its_place(compare: dict[str, Any], message: str) -> None:
    data = {"url": "memory://", "collections": {"c": {"key": ["id"], "compare": compare}}}
    with pytest.raises(ConfigError) as raised:
        parse(data, "app.toml")
    assert message in str(raised.value)


@pytest.mark.rule("VER-7")
def test_rules_come_from_the_configuration() -> None:
    rules = {"ignore": ["a"], "normalise": {"m.n": ["strip", "round:3"]}}
    data = {"url": "memory://", "collections": {"c": {"key": ["id"], "compare": rules}}}
    compare = parse(data, "app.toml").collections["c"].compare
    assert compare.ignore == ("a",)
    assert compare.normalise == {"m.n": ("strip", "round:3")}
    with pytest.raises(ConfigError, match="a list of forms"):
        Compare(normalise={"a": "strip"})
    with pytest.raises(ConfigError, match="a list of fields"):
        Compare(ignore="ab")
