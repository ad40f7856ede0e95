"""The names of anomalies: all in one place, all used, all in the manual."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import harness.checkers
from harness.checkers.anomalies import ANOMALIES

ROOT = Path(harness.checkers.__file__).parent
MANUAL = Path(__file__).parent.parent / "docs" / "verdicts.md"
NAMED_BY = {"Story": 0, "accuse": 0, "Contradiction": 2}
"""Who is given a name, and as which argument."""


def strings(node: ast.AST) -> Iterator[str]:
    """Those that an expression may come to: of a condition only what follows from it."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from (*strings(node.body), *strings(node.orelse))


def names_given() -> Iterator[tuple[str, str]]:
    """(file, name) of every violation that is named with a string where it is told."""
    for source in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                for argument in node.args[NAMED_BY.get(name, 99) :][:1]:
                    yield from ((source.name, given) for given in strings(argument))


def test_no_violation_is_given_another_name() -> None:
    given = list(names_given())
    assert len(given) > 40
    assert [one for one in given if one[1] not in ANOMALIES] == []


def test_no_name_stands_here_twice_or_without_use() -> None:
    assert len(set(ANOMALIES)) == len(ANOMALIES)
    sources = "".join(file.read_text() for file in ROOT.rglob("*.py") if file.name != "anomalies.py")
    assert [name for name in ANOMALIES if f'"{name}"' not in sources] == []


@pytest.mark.parametrize("name", ANOMALIES)
def test_the_manual_tells_what_it_means(name: str) -> None:
    rows = [line for line in MANUAL.read_text().splitlines() if line.startswith("| ")]
    assert any(name in (told.strip() for told in row.split("|")[1].split(",")) for row in rows)
