"""The support matrix: what every installed driver promises, in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from itertools import permutations

from polystore.capabilities import SUBJECTS, Effect, Limit
from polystore.capabilities.algebra import leaves
from polystore.capabilities.words import says
from polystore.databases import promised
from polystore.driver.side import Side
from polystore.kinds import EXAMPLES
from polystore.plugin.registry import Registry
from polystore.route.compared import compared, cost
from polystore.schema import Collection

EXAMPLE = Collection(
    "example", ["customer:str", "order:int"], indexes={"by_state": ["state", "total"]}
)
"""The collection that drivers are compared by where none is named."""

_HEAD = """\
# Support matrix

Made by `polystore compare --matrix`; `tests/cli/test_compare.py` fails where it is out of date. It
is about a collection with the key `customer` (text), `order` (int) and an index of `state` and
`total`; `polystore compare --config polystore.toml` tells it of your own.
"""

_KINDS = """\
Every driver holds every value. Bytes that a field of one letter takes, in the database's own
accounting; \\* is translated: it comes back as it was, and another program sees a form of ours.
"""


def matrix(registry: Registry) -> str:
    """The whole page. No database is called.

    Raises:
        PolystoreError: a driver cannot be opened.
    """
    with ExitStack() as stack:
        sides = {}
        for spec in registry.specs():
            driver = registry.open(spec.url.partition("?")[0])
            stack.callback(driver.close)
            sides[spec.name] = Side(spec.name, driver, partial(promised, registry))
        return "\n".join(_page(sides)) + "\n"


def _page(sides: Mapping[str, Side]) -> Iterator[str]:
    known = {name: dict(leaves(side.capabilities(EXAMPLE))) for name, side in sides.items()}
    yield _HEAD
    yield "## What each promises\n"
    yield from _head("", *sides)
    for path, subject in SUBJECTS.items():
        if path != "values.native":
            yield _row(subject, *(_cell(path, promises[path]) for promises in known.values()))
    yield "\n## Where the numbers come from\n"
    for name, promises in known.items():
        for path, limit in promises.items():
            if isinstance(limit, Limit):
                size = f"{limit.most:,} {limit.unit}"
                yield f"- {name}, `{path}`: {size}; {limit.counts} ({limit.source})"
    yield "\n## Values\n"
    yield _KINDS
    yield from _head("kind", *sides)
    for kind in EXAMPLES:
        yield _row(kind, *(_cost(side, kind) for side in sides.values()))
    for one, other in permutations(sides, 2):
        yield from _pair(sides[one], sides[other])


def _cell(path: str, promise: object) -> str:
    return "no limit" if promise is None else says(path, promise, brief=True)


def _cost(side: Side, kind: str) -> str:
    native = kind in side.capabilities(EXAMPLE).values.native
    return str(cost(EXAMPLE, side, kind)) + ("" if native else r" \*")


def _pair(source: Side, target: Side) -> Iterator[str]:
    found = compared(EXAMPLE, source, target)
    yield f"\n## From {found.source} to {found.target}\n"
    if not found.differences:
        yield f"{found.target} holds everything that {found.source} does."
    for effect in Effect:
        for difference in found.of(effect):
            do = "" if effect is Effect.SPLIT else f" {difference.do}"
            yield f"- *{effect.value}*: {difference.says}{do}"


def _head(*titles: str) -> Iterator[str]:
    yield _row(*titles)
    yield _row(*("---" for _ in titles))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
