"""``polystore compare``, and the support matrix that it makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from polystore.cli.matrix import matrix
from polystore.plugin.registry import default_registry
from polystore.route.checks import exceeded
from polystore_dynamodb.limits import ITEM
from tests.cli.conftest import run

PAGE = Path(__file__).parents[2] / "docs" / "support-matrix.md"
CONFIG = """
url = "memory://"
[collections.orders]
key = ["customer", "order:int"]
[collections.orders.datastore]
path = "Customer/{customer}/Order/{order}"
[collections.notes]
key = ["note"]
[groups.shop]
collections = ["orders"]
source = "dynamodb://eu-central-1?endpoint=http://127.0.0.1:1"
target = "datastore://nowhere?emulator=127.0.0.1:1"
"""


@pytest.fixture
def shop(tmp_path: Path) -> str:
    path = tmp_path / "shop.toml"
    path.write_text(CONFIG)
    return str(path)


def codes(comparison: dict[str, Any], effect: str) -> set[str]:
    return {difference["code"] for difference in comparison[effect]}


@pytest.mark.rule("CAP-12")
def test_the_support_matrix_is_up_to_date() -> None:
    """Write it again with ``polystore compare --matrix > docs/support-matrix.md``."""
    assert PAGE.read_text() == matrix(default_registry())


@pytest.mark.rule("CAP-13", "CLI-2")
def test_two_drivers_are_compared_by_name() -> None:
    (found,) = run("compare", "datastore", "dynamodb", "--json").data["comparisons"]
    assert codes(found, "refused") == {
        "keys.partition", "keys.sort", "keys.empty", "records.size", "transactions.items",
        "transactions.size", "indexes.first", "indexes.rest",
    }  # fmt: skip
    assert codes(found, "translated") == {"values.native", "indexes.empty"}
    assert codes(found, "weaker") == {"reads.index"}
    assert codes(found, "split") == {"batches.read_keys", "batches.write_items"}
    costs = {cost["kind"]: cost for cost in found["costs"]}
    # The name f, 9 bytes of digits; the hint: its name, a map, its tag and a set of one path.
    assert costs["datetime"] == {"kind": "datetime", "source": 19, "target": 21}
    told = run("compare", "datastore", "dynamodb").out
    for difference in (*found["refused"], *found["weaker"]):
        assert difference["says"] in told
        assert difference["do"] in told
    assert "datetime: a field takes 21 bytes on dynamodb, 19 on datastore" in told


@pytest.mark.rule("CAP-13")
def test_the_words_are_those_of_the_error() -> None:
    (found,) = run("compare", "datastore", "dynamodb", "--json").data["comparisons"]
    (size,) = (d for d in found["refused"] if d["code"] == "records.size")
    error = exceeded("records.size", ITEM, 500_000, "A record", "dynamodb").error("orders", ("k",))
    assert size["do"] in error.message
    assert f"({ITEM.counts}; {ITEM.source})" in error.message
    assert f"({ITEM.counts}; {ITEM.source})" in size["says"]


@pytest.mark.rule("CAP-13")
def test_the_collections_of_a_configuration_are_compared_and_nothing_is_called(shop: str) -> None:
    (found,) = run("compare", "--config", shop, "--json").data["comparisons"]
    assert (found["collection"], found["source"], found["target"]) == (
        "orders", "dynamodb", "datastore",
    )  # fmt: skip
    assert "keys.int_min" in codes(found, "refused")  # of that path alone: ids begin at 1
    both = run("compare", "sqlite", "datastore", "--config", shop, "--json").data["comparisons"]
    assert [each["collection"] for each in both] == ["orders", "notes"]
    assert "keys.int_min" not in codes(both[1], "refused")
    (one,) = run(
        "compare", "sqlite", "datastore", "-c", shop, "--collection", "notes", "--json"
    ).data["comparisons"]
    assert one == both[1]


@pytest.mark.rule("CAP-13")
def test_a_target_that_holds_all_has_nothing_to_tell() -> None:
    assert "memory holds everything that sqlite does" in run("compare", "sqlite", "memory").out


@pytest.mark.rule("CLI-1", "CLI-3")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("memory",), "two databases"),
        (("memory", "nosuch"), "nosuch"),
        (("memory", "sqlite", "--collection", "x"), "there are: example"),
        (("--config", "/nowhere.toml"), "/nowhere.toml"),
    ],
)
def test_wrong_arguments_say_what_is_expected(arguments: tuple[str, ...], message: str) -> None:
    done = run("compare", *arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err


@pytest.mark.rule("CAP-13", "REC-9")
def test_what_is_compressed_is_no_refusal(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    path.write_text(CONFIG.replace('key = ["note', "oversized = 'compress'\nkey = [\"note"))
    both = run("compare", "sqlite", "datastore", "--config", str(path), "--json")
    for found in both.data["comparisons"]:
        told, silent = "translated", "refused"
        if found["collection"] == "orders":
            told, silent = silent, told
        assert "records.size" in codes(found, told)
        assert "records.size" not in codes(found, silent)
