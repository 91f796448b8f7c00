"""The rules of spec/ and the tests know each other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

ROOT = Path(__file__).parents[2]

RULE_ITEM = re.compile(r"^- \*\*(?P<id>[A-Z]+-\d+)\*\* (?P<text>.+(?:\n  .+)*)$", re.MULTILINE)
LATER = re.compile(r"\(later: issue (\d+)\)")
# Where tests are: the project's own, each plugin's, and those that are shipped to driver authors.
TESTS = ("tests/**/*.py", "plugins/*/tests/**/*.py", "polystore/testing/**/*.py")
# Where else rules are named: a comment or docstring says why the code exists.
CODE = ("polystore/**/*.py", "plugins/**/*.py", "benchmarks/**/*.py", "examples/**/*.py")


@attrs.frozen
class Rule:
    """One rule: its id, its text on one line, and the issue that will test it, if none does."""

    id: str
    text: str
    later: int | None


def read_rules() -> list[Rule]:
    """The rules of every file of spec/, in order."""
    rules = []
    for path in sorted((ROOT / "spec").glob("*.md")):
        for item in RULE_ITEM.finditer(path.read_text()):
            text = " ".join(item["text"].split())
            later = LATER.search(text)
            rules.append(Rule(item["id"], text, int(later[1]) if later else None))
    return rules


RULES = read_rules()
PREFIXES = sorted({rule.id.partition("-")[0] for rule in RULES})
RULE_ID = re.compile(rf"\b(?:{'|'.join(PREFIXES)})-\d+\b")


def files(patterns: tuple[str, ...]) -> Iterator[Path]:
    for pattern in patterns:
        yield from sorted(ROOT.glob(pattern))


def is_test(node: ast.AST) -> bool:
    """Whether pytest runs it: a test, a class of tests, or a state machine."""
    if isinstance(node, ast.ClassDef):
        return node.name.startswith("Test") or node.name.endswith("Machine")
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test")


def marked(node: ast.expr) -> Iterator[str]:
    """The ids in ``pytest.mark.rule("A-1", "A-2")``, wherever it stands in an expression."""
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.rule":
            for argument in call.args:
                assert isinstance(argument, ast.Constant), f"{ast.unparse(call)}: write the id out"
                yield str(argument.value)


def named_by_tests() -> dict[str, str]:
    """Each rule id that a test names, with one place where."""
    found: dict[str, str] = {}
    for path in files(TESTS):
        for node in ast.walk(ast.parse(path.read_text(), str(path))):
            ids: list[str] = []
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                if not is_test(node):
                    continue
                ids += RULE_ID.findall(ast.get_docstring(node) or "")
                for decorator in node.decorator_list:
                    ids += marked(decorator)
            elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
                ids += marked(node.value)
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.param":
                ids += [i for keyword in node.keywords for i in marked(keyword.value)]
            for rule_id in ids:
                line = getattr(node, "lineno", 1)
                found.setdefault(rule_id, f"{path.relative_to(ROOT)}:{line}")
    return found


def report(what: str, problems: list[str]) -> None:
    if problems:
        pytest.fail("\n  ".join([f"{len(problems)} {what}:", *problems]), pytrace=False)


def test_spec_has_rules_each_with_one_id() -> None:
    ids = [rule.id for rule in RULES]
    assert len(ids) > 100
    assert sorted(set(ids)) == sorted(ids)


def test_every_item_that_looks_like_a_rule_is_read_as_one() -> None:
    for path in sorted((ROOT / "spec").glob("*.md")):
        looks = re.findall(r"^\s*[-*] \*\*[A-Z]+-?\d+", path.read_text(), re.MULTILINE)
        assert len(RULE_ITEM.findall(path.read_text())) == len(looks), path.name


def test_every_rule_is_named_by_a_test(capsys: pytest.CaptureFixture[str]) -> None:
    later = [f"{rule.id} (issue {rule.later})" for rule in RULES if rule.later]
    with capsys.disabled():
        print(f"\nrules that no test checks yet: {', '.join(later) or 'none'}")  # noqa: T201
    tested = named_by_tests()
    missing = [f"{rule.id}  {rule.text}" for rule in RULES if not (rule.later or rule.id in tested)]
    report("rules without a test", missing)


def test_a_rule_with_a_test_is_not_marked_later() -> None:
    tested = named_by_tests()
    outdated = [f"{r.id}, tested in {tested[r.id]}" for r in RULES if r.later and r.id in tested]
    report("rules whose mark (later: …) can go", outdated)


def test_every_rule_that_a_test_names_exists() -> None:
    known = {rule.id for rule in RULES}
    unknown = [f"{place} names {i}" for i, place in named_by_tests().items() if i not in known]
    report("ids that no rule has", unknown)


def test_every_rule_that_the_code_names_exists() -> None:
    known = {rule.id for rule in RULES}
    unknown = [
        f"{path.relative_to(ROOT)} names {rule_id}"
        for path in files(CODE)
        for rule_id in sorted(set(RULE_ID.findall(path.read_text())))
        if rule_id not in known
    ]
    report("ids that no rule has", unknown)
