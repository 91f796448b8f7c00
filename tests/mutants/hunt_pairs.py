"""A pytest plugin: every broken procedure in one session, each on the cases of its rule alone.

    pytest -p tests.mutants.hunt_pairs --pyargs polystore.testing.suite --hunted=FILE

The procedure is broken while a case of its pair runs. One that a case has caught is not tried any
further. FILE gets what happened, as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path

import attrs
import pytest

from polystore.plugin.registry import default_registry
from polystore.plugin.specs import DriverSpec, hookimpl
from polystore.testing.harnesses.memory import MemoryHarness
from polystore.testing.plugin import rules_of
from polystore.testing.simulator.choices import Choices
from tests.mutants.procedures import PROCEDURES

BOTH = ":memory"
"""What a pair is called after the name of its broken procedure."""

MACHINE = "test_one_store"
"""It would find most of them, for whichever rule, and be long about telling how."""


class Unbroken(MemoryHarness):
    """Memory's harness, named after a procedure."""

    def __init__(self, options: str) -> None:
        super().__init__()


_seeded = Choices.seeded


@attrs.define(eq=False)
class Hunt:
    """What became of each: the cases that ran, their seconds, and who caught it."""

    ran: dict[str, int] = attrs.field(factory=lambda: dict.fromkeys(PROCEDURES, 0))
    took: dict[str, float] = attrs.field(factory=lambda: dict.fromkeys(PROCEDURES, 0.0))
    caught: dict[str, str] = attrs.field(factory=dict)

    @hookimpl
    def polystore_register_drivers(self) -> list[DriverSpec]:
        """One driver, with the name of a procedure as its option."""
        harness = f"{__name__}:Unbroken"
        return [DriverSpec(name="broken", factory="-:-", summary="", url="", harness=harness)]

    @pytest.hookimpl(wrapper=True)
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> Generator[None]:
        """A case is made for the procedures whose rule it checks."""
        rules = rules_of(metafunc.definition)
        names = [name for name, broken in PROCEDURES.items() if broken.rule in rules]
        if MACHINE in metafunc.definition.name:
            names = []
        named = [f"broken?{name}{BOTH}" for name in names or [*PROCEDURES][:1]]
        metafunc.config.option.polystore_pairs = named
        yield
        metafunc.config.option.polystore_pairs = [f"broken?{name}{BOTH}" for name in PROCEDURES]

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Each procedure meets the cases of its own rule."""
        items[:] = [
            item
            for item in items
            if MACHINE not in item.name and PROCEDURES[broken_of(item)].rule in rules_of(item)
        ]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """The procedure is broken as long as its case runs. One failure is enough."""
        name = broken_of(item)
        moved = 1000 * item.config.getoption("hunt_seed")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Choices, "seeded", lambda seed, *about: _seeded(seed + moved, *about))
            for place, attribute, replacement in PROCEDURES[name].removed():
                patch.setattr(place, attribute, replacement)
            return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """What was caught is not tried any further."""
        if broken_of(item) in self.caught:
            pytest.skip("caught already")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A failed case has caught its procedure, and so has a failed preparation."""
        name = report.nodeid.rpartition("broken?")[2].partition(":")[0]
        self.ran[name] += report.when == "call" and not report.skipped
        self.took[name] += report.duration
        if report.failed:
            self.caught.setdefault(name, report.nodeid)


def broken_of(item: pytest.Item) -> str:
    """The broken procedure that a case runs with."""
    call = getattr(item, "callspec", None)
    named: str = call.params.get("pair", "") if call else ""
    return named.partition("?")[2].partition(":")[0] or next(iter(PROCEDURES))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where the outcome goes, and what the simulator's seeds are moved by."""
    parser.addoption("--hunted", type=Path)
    parser.addoption("--hunt-seed", type=int, default=0)


def pytest_configure(config: pytest.Config) -> None:
    """The hunt begins with all of them."""
    hunt = Hunt()
    default_registry().register(hunt, "broken-procedures")
    config.pluginmanager.register(hunt, "hunt")
    config.option.polystore_pairs = [f"broken?{name}{BOTH}" for name in PROCEDURES]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell what happened."""
    hunt = session.config.pluginmanager.get_plugin("hunt")
    assert isinstance(hunt, Hunt)
    told = {"ran": hunt.ran, "took": hunt.took, "caught": hunt.caught}
    session.config.getoption("hunted").write_text(json.dumps(told))
