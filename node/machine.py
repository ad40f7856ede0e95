"""THE CONTRACT of a machine: the deterministic service that a protocol replicates.

A machine holds the state and knows its operations; it knows nothing of replicas, messages or disks. Executing is split
in two, because a primary sends its backups the effect of an operation and not the operation:

    executed = machine.execute(operation)     # looks, decides, changes nothing
    machine.install(executed.effect)          # changes the state, the same way on every replica

`apply` does both, for protocols that replicate the operations themselves. Two machines of the same state answer the same
operation with the same result and the same effect: no clock, no chance, no order of an unordered set.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple, TypedDict

_as_text = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


class Operation(TypedDict):
    """What a client wants: `{"f": "cas", "key": "x", "value": [1, 2]}`."""

    f: str
    """The function, such as `read`."""
    key: str
    """Which object of the machine; the empty string where a machine has only one."""
    value: Any
    """The argument, any JSON value; None where the function takes none."""


class Executed(NamedTuple):
    result: Any
    """What the client is told: any JSON value."""
    effect: Any
    """What `install` needs to change the state: any JSON value; None if nothing changes."""


class Machine(ABC):
    name: ClassVar[str]
    functions: ClassVar[dict[str, str]]
    """Each function and one sentence about its argument, result and effect."""
    queries: ClassVar[frozenset[str]] = frozenset()
    """The functions that never change anything, whatever the state: a protocol may carry them out again at will."""
    lazy: ClassVar[frozenset[str]] = frozenset()
    """The functions whose effect may be lost although they were acknowledged: a protocol may answer them before they are
    replicated, and needs not."""

    @abstractmethod
    def problem(self, operation: Operation) -> str | None:
        """One sentence if this is not an operation of the machine (unknown function, wrong argument), else None.

        The host asks before a protocol sees the operation, so that `execute` never meets one that it doesn't know.
        """

    @abstractmethod
    def execute(self, operation: Operation) -> Executed:
        """The result and the effect of the operation in the present state, which stays as it is."""

    @abstractmethod
    def install(self, effect: Any) -> None:
        """Change the state by an effect that `execute` gave, here or on another replica; None changes nothing."""

    @abstractmethod
    def snapshot(self) -> Any:
        """The whole state as a JSON value: a copy, which later operations don't change."""

    @abstractmethod
    def restore(self, snapshot: Any) -> None:
        """Replace the whole state by what `snapshot` gave; None gives the initial state."""

    def apply(self, operation: Operation) -> Any:
        """Execute and install; returns the result."""
        executed = self.execute(operation)
        self.install(executed.effect)
        return executed.result

    def digest(self) -> str:
        """Twelve hexadecimal digits; equal for equal states."""
        return hashlib.sha256(_as_text(self.snapshot()).encode()).hexdigest()[:12]
