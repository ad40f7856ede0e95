"""What most machines share: any number of objects, each under a key of its own, and operations on one object at a time.

A machine of this kind says what one object is (`blank`), what an operation makes of it (`decide`) and how an effect
changes it (`change`). Objects are JSON values that are replaced and never changed in place, so that a snapshot can share
them.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from node.machine import Executed, Machine, Operation


class Keyed(Machine):
    """See the module."""

    blank: ClassVar[Any] = None
    """An object that nothing was done to yet."""
    takes_no_value: ClassVar[frozenset[str]] = frozenset()
    """Functions whose value has to be null."""

    def __init__(self) -> None:
        self._objects: dict[str, Any] = {}

    @abstractmethod
    def decide(self, state: Any, f: str, value: Any) -> Executed:
        """The result of a function on an object in this state, and its effect; None if the object stays as it is."""

    @abstractmethod
    def change(self, state: Any, effect: Any) -> Any:
        """The object's next state; the one that is given stays as it is."""

    def problem_of_value(self, f: str, value: Any) -> str | None:
        """One sentence if this function does not take this value, else None."""
        return None

    def problem(self, operation: Operation) -> str | None:
        f, key, value = operation.get("f"), operation.get("key"), operation.get("value")
        if not isinstance(f, str) or f not in self.functions:
            return f"{self.name} has no function {f!r}: use one of {', '.join(self.functions)}"
        if not isinstance(key, str) or not key:
            return f"{self.name} needs a key that is a string and not empty, not {key!r}"
        if f in self.takes_no_value and value is not None:
            return f"a {f} takes no value, not {value!r}"
        return self.problem_of_value(f, value)

    def execute(self, operation: Operation) -> Executed:
        key = operation["key"]
        result, effect = self.decide(self._objects.get(key, self.blank), operation["f"], operation["value"])
        return Executed(result, None if effect is None else [key, effect])

    def install(self, effect: Any) -> None:
        if effect is None:
            return
        key, change = effect
        self._objects[key] = self.change(self._objects.get(key, self.blank), change)

    def snapshot(self) -> Any:
        return dict(self._objects)

    def restore(self, snapshot: Any) -> None:
        self._objects = {} if snapshot is None else dict(snapshot)


def is_whole(value: Any) -> bool:
    """Whether a JSON value is a whole number of at most 64 bits, so that no sum becomes too long to be told; true is none."""
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
