"""The package's face: what it exports, and that both facades are the same."""

from __future__ import annotations

import inspect
from types import ModuleType

import pytest

import polystore
from polystore import aio, collection, store

FACADES = (
    (store.Store, aio.AsyncStore),
    (collection.OpenCollection, aio.AsyncOpenCollection),
    (collection.Query, aio.AsyncQuery),
    (store.Transaction, aio.AsyncTransaction),
    (store.TransactionCollection, aio.AsyncTransactionCollection),
)
SPECIAL = {"__aiter__": "__iter__", "__aenter__": "__enter__", "__aexit__": "__exit__"}


def test_the_exports_are_exactly_all() -> None:
    public = {
        name
        for name, value in vars(polystore).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert sorted({*public, "aio"}) == sorted(polystore.__all__)


def signatures(facade: type) -> dict[str, str]:
    """The public methods and properties of a class, with their parameters."""
    found = {}
    for name, member in vars(facade).items():
        if isinstance(member, property):
            found[name] = "property"
        elif inspect.isfunction(member) and name != "__init__":
            signature = inspect.signature(member)
            if not name.startswith("_") or name.startswith("__"):
                plain = SPECIAL.get(name, name)
                found[plain] = str(signature.replace(return_annotation=inspect.Signature.empty))
    return found


def without_async(text: str) -> str:
    """The annotations of the asynchronous facade, as those of the other one."""
    text = text.replace("Awaitable[T]", "T")
    for one, other in FACADES:
        text = text.replace(other.__name__, one.__name__)
    return text


@pytest.mark.rule("RUN-1")
@pytest.mark.parametrize(("one", "other"), FACADES)
def test_both_facades_have_the_same_names_and_parameters(one: type, other: type) -> None:
    found = {name: without_async(text) for name, text in signatures(other).items()}
    assert found == signatures(one)


@pytest.mark.rule("RUN-1")
def test_both_are_opened_with_the_same_parameters() -> None:
    one, other = inspect.signature(store.open), inspect.signature(aio.open)
    assert one.parameters == other.parameters


@pytest.mark.rule("RUN-1")
@pytest.mark.parametrize(("one", "other"), FACADES)
def test_both_give_the_same_results(one: type, other: type) -> None:
    for name in signatures(one):
        if name.startswith("__") or isinstance(inspect.getattr_static(one, name), property):
            continue
        results = [
            inspect.signature(getattr(facade, name)).return_annotation for facade in (one, other)
        ]
        assert without_async(results[1]) == results[0]
