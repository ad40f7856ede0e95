"""The tiny checker that judges protocols in tests."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.tiny_checker import NEVER, Told, unexplained


def told(f: str, value: Any, result: Any, call: int, end: int, type: Any = "ok") -> Told:
    return Told("c", f, "x", value, call, NEVER if type == "info" else end, type, result)


WRITE_1 = told("write", 1, None, 0, 1)
MAYBE_1 = told("write", 1, None, 0, 1, "info")


@pytest.mark.parametrize(
    ("name", "operations", "fits"),
    [
        ("nothing", [], True),
        ("a read of what was written", [WRITE_1, told("read", None, 1, 2, 3)], True),
        ("a stale read", [WRITE_1, told("read", None, None, 2, 3)], False),
        ("an old value beside a write", [told("write", 1, None, 0, 5), told("read", None, None, 1, 2)], True),
        ("new, then old", [told("write", 1, None, 0, 9), told("read", None, 1, 1, 2), told("read", None, None, 3, 4)], False),
        ("a value from nowhere", [told("read", None, 7, 0, 1)], False),
        ("a failed write that is read", [told("write", 1, None, 0, 1, "fail"), told("read", None, 1, 2, 3)], False),
        ("an unknown write that is read", [MAYBE_1, told("read", None, 1, 8, 9)], True),
        ("an unknown write that is not read", [MAYBE_1, told("read", None, None, 8, 9)], True),
        ("an unknown write, read and gone", [MAYBE_1, told("read", None, 1, 4, 5), told("read", None, None, 6, 7)], False),
        ("two cas from one value", [WRITE_1, told("cas", [1, 2], True, 2, 3), told("cas", [1, 3], True, 4, 5)], False),
        ("a cas that says rightly no", [WRITE_1, told("cas", [2, 3], False, 2, 3), told("read", None, 1, 4, 5)], True),
        ("a cas that says wrongly no", [WRITE_1, told("cas", [1, 3], False, 2, 3)], False),
    ],
)  # fmt: skip
def test_it_tells_what_can_be_explained(name: str, operations: list[Told], fits: bool) -> None:
    assert unexplained(operations) == ([] if fits else ["x"]), name
