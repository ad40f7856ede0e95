"""JSON values as parts of states: hashable, and equal exactly if the JSON values are.

Numbers are equal by value (1 and 1.0), true and false are no numbers, arrays and objects are equal by their contents.
"""

from __future__ import annotations

import json
from collections.abc import Hashable
from typing import Any


def canonical(value: Any) -> Hashable:
    """A hashable stand-in: equal for equal JSON values, different for different ones."""
    kind = type(value)
    if kind is int or kind is str or value is None:
        return value  # type: ignore[no-any-return]
    if kind is bool:
        return ("true",) if value else ("false",)
    if kind is float:
        return value if value == value else ("nan",)  # not JSON, but Python's parser lets it in
    if kind is list or kind is tuple:
        return ("array", *map(canonical, value))
    if kind is dict:
        return ("object", frozenset((name, canonical(part)) for name, part in value.items()))
    raise TypeError(f"{value!r} is not a JSON value")


def is_truth_or_null(value: Any) -> bool:
    """Whether it is true, false or null; 1 and 0 are numbers."""
    return value is None or isinstance(value, bool)


def problem_of_asking(f: str, value: Any) -> str | None:
    """What is wrong with an operation that only asks, if it has a value: most likely it is meant to be the result."""
    if value is None:
        return None
    return f"a {f} has no value of its own, but here it is {show(value)}: what came back belongs into the result"


def show(value: Any, limit: int = 60) -> str:
    """The value as JSON, for sentences; cut if it is long."""
    text = json.dumps(value, ensure_ascii=False, separators=(", ", ": "), default=str)
    return text if len(text) <= limit else text[: limit - 3] + "..."
