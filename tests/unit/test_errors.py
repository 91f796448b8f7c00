"""The tree of errors."""

from __future__ import annotations

import inspect
import pickle
import re
from collections.abc import Iterator
from typing import Any

import pytest

from polystore import errors
from polystore.errors import (
    AMBIGUOUS,
    NEVER,
    SAFE,
    ConfigError,
    Conflict,
    Declined,
    GateClosed,
    InvalidRequest,
    InvalidValue,
    LimitExceeded,
    MirrorPending,
    OutcomeUnknown,
    PolystoreError,
    RetryAdvice,
    Throttled,
    after,
)

CLASSES = [
    found
    for _, found in inspect.getmembers(errors, inspect.isclass)
    if issubclass(found, PolystoreError)
]


def drawn() -> Iterator[tuple[str, str]]:
    """Each class of the docstring's tree with its parent."""
    lines = re.findall(r"^    ((?:[│ ]   )*)([├└]── )?(\w+)", errors.__doc__ or "", re.MULTILINE)
    above: list[str] = []
    for indent, branch, name in lines:
        depth = len(indent) // 4 + bool(branch)
        above[depth:] = [name]
        yield name, above[depth - 1] if depth else ""


@pytest.mark.rule("ERR-1")
def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    tree = dict(drawn())
    assert tree.pop("PolystoreError") == ""
    assert tree == {c.__name__: c.__mro__[1].__name__ for c in CLASSES if c is not PolystoreError}


@pytest.mark.rule("ERR-2")
def test_every_class_has_a_code_of_its_own_that_never_changes() -> None:
    assert {c.__name__: c.code for c in CLASSES} == {
        "AlreadyExists": "already-exists",
        "ConfigError": "config",
        "Conflict": "conflict",
        "Contention": "contention",
        "CursorExpired": "cursor-expired",
        "DeadlineExceeded": "deadline-exceeded",
        "Declined": "declined",
        "DriverError": "driver-error",
        "GateClosed": "gate-closed",
        "IllegalEdge": "illegal-edge",
        "InvalidKey": "invalid-key",
        "InvalidRequest": "invalid-request",
        "InvalidValue": "invalid-value",
        "LimitExceeded": "limit-exceeded",
        "MigrationError": "migration",
        "MirrorPending": "mirror-pending",
        "MixedHome": "mixed-home",
        "NotFound": "not-found",
        "OutcomeUnknown": "outcome-unknown",
        "PermissionDenied": "permission-denied",
        "PolystoreError": "error",
        "Throttled": "throttled",
        "Unavailable": "unavailable",
        "UnknownDriver": "unknown-driver",
        "Unsupported": "unsupported",
    }
    assert len({c.code for c in CLASSES}) == len(CLASSES)


@pytest.mark.rule("ERR-2")
@pytest.mark.parametrize("error", CLASSES)
def test_every_class_has_advice_on_sending_again(error: type[PolystoreError]) -> None:
    assert error.retry.kind in {"never", "safe", "ambiguous", "after"}
    assert (error.retry.seconds is not None) == (error.retry.kind == "after")
    if issubclass(error, InvalidRequest):
        assert error.retry is NEVER


@pytest.mark.rule("ERR-2")
def test_advice_is_ambiguous_exactly_where_the_outcome_may_be_open() -> None:
    assert [c.__name__ for c in CLASSES if c.retry == AMBIGUOUS] == [
        "DriverError",
        OutcomeUnknown.__name__,
    ]
    assert Throttled.retry == after(0.1) == RetryAdvice("after", 0.1)


@pytest.mark.rule("ERR-3")
def test_an_error_names_driver_collection_and_key_where_they_are_known() -> None:
    assert str(Conflict("no")) == "no"
    error = Conflict("no", collection="cities", key=("de", 1), driver="sqlite")
    assert str(error) == "no [driver sqlite, collection cities, key ('de', 1)]"
    assert (error.message, error.collection, error.key) == ("no", "cities", ("de", 1))


MADE: list[PolystoreError] = [
    *(c("m", collection="a", key=("k", 1, b"x"), driver="d") for c in CLASSES if c.__init__
      is PolystoreError.__init__),
    InvalidValue("m", path="a.b[1]", key=("k",)),
    LimitExceeded("m", limit=1, size=2, unit="bytes", collection="a"),
    Declined("m", seconds=0.5, collection="a"),
    GateClosed("m", gates=["one", "two"]),
    MirrorPending("m", versions=["v1", "v2"], collection="a"),
]  # fmt: skip


@pytest.mark.rule("ERR-6")
@pytest.mark.parametrize("error", MADE, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
def test_an_error_survives_pickling_with_all_it_carries(
    error: PolystoreError, protocol: int
) -> None:
    error.retry = SAFE
    error.add_note("seen in segment 3")
    back: Any = pickle.loads(pickle.dumps(error, protocol))
    assert type(back) is type(error)
    assert (str(back), back.args, vars(back)) == (str(error), error.args, vars(error))


def test_every_class_is_made_in_the_pickling_test() -> None:
    assert {type(error) for error in MADE} == set(CLASSES)


@pytest.mark.rule("ERR-5")
def test_a_mistake_of_a_caller_can_be_caught_as_one() -> None:
    assert issubclass(ConfigError, InvalidRequest)
    assert issubclass(LimitExceeded, InvalidRequest)
