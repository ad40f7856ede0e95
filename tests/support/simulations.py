"""Simulated runs for tests. Every one is run twice and compared, and watched: a protocol that reads a clock of the machine,
draws from chance that isn't its own, or blocks, does not get through.

What differs between processes only, such as the order of a set of strings, `digests` shows.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

from harness.simulation.simulate import Simulated, simulate
from harness.spec import RunSpec
from node.machine import Machine
from node.protocol import Io, Message, Outcome, Protocol, ProtocolOptions, Record, Request, Status
from tests.support.specs import spec_of

ROOT = Path(__file__).parent.parent.parent

STORM: dict[str, Any] = {
    "name": "storm",
    "streams": [
        {"choices": [{"fault": "kill", "options": {"target": "one"}, "for_seconds": 0.5}], "every_seconds": 0.9},
        {"choices": [{"fault": "partition", "for_seconds": 0.6}], "every_seconds": 1.1, "first_seconds": 0.5},
        {"choices": [{"fault": "pause", "options": {"target": "one"}, "for_seconds": 0.4}], "every_seconds": 1.3},
    ],
}

OUTSIDE: dict[ModuleType, tuple[str, ...]] = {
    time: ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "sleep"),
    random: ("random", "randrange", "randint", "uniform", "choice", "choices", "sample", "shuffle", "getrandbits"),
    os: ("urandom",),
    socket: ("socket",),
}
"""What nothing in a simulated run may call."""


def simulated_spec(**changes: Any) -> RunSpec:
    """A few virtual seconds of six clients on three simulated replicas."""
    plain: dict[str, Any] = {
        "cluster": "simulated",
        "clients": {"processes": 6, "rate_per_second": 60},
        "duration_seconds": 2.0,
    }
    return spec_of(**{**plain, **changes})


class Alone(Protocol):
    """One replica that answers from its memory, and a base for those that do what they must not."""

    name = "alone"
    promises = "nothing"

    def __init__(self, io: Io, machine: Machine, options: ProtocolOptions) -> None:
        super().__init__(io, machine, options)
        self.seen = 0

    def recover(self, records: Sequence[Record]) -> None:
        self.io.set_timer("tick", 0.1)

    def on_request(self, request: Request) -> None:
        self.io.reply(request, Outcome.ok(self.machine.apply(request.operation)))

    def on_message(self, sender: str, message: Message) -> None:
        self.seen += 1

    def on_timer(self, name: str) -> None:
        self.io.set_timer("tick", 0.1)
        for peer in self.io.peers:
            self.io.send(peer, {"type": "tick", "seen": self.look()})

    def look(self) -> Any:
        return self.seen

    def status(self) -> Status:
        return {
            "role": "replica",
            "leader": None,
            "term": None,
            "log_index": self.seen,
            "commit_index": self.seen,
            "digest": "",
        }


class NotRepeated(AssertionError):
    """Two runs of one spec differ, or might: something in it looked where it must not."""


def simulate_twice(spec: RunSpec, **options: Any) -> Simulated:
    """The run with its trace; raises `NotRepeated` if anything of it doesn't follow from the spec."""
    with _nothing_from_outside():
        first, second = (simulate(spec, trace=True, **options) for _ in range(2))
    for one, other in zip(_lines(first), _lines(second), strict=False):
        if one != other:
            raise NotRepeated(f"seed {spec.seed}: {one} against {other}")
    if len(_lines(first)) != len(_lines(second)):
        raise NotRepeated(f"seed {spec.seed}: one run goes on when the other is over")
    return first


def digest(simulated: Simulated) -> str:
    """Of everything that a run leaves."""
    return hashlib.sha256("\n".join(_lines(simulated)).encode()).hexdigest()


def digests(specs: Sequence[RunSpec], hash_seed: int) -> list[str]:
    """Of runs of these specs, in a process of their own that orders its sets of strings by this seed."""
    code = (
        "import sys\n"
        "from harness.spec import RunSpec\n"
        "from harness.simulation.simulate import simulate\n"
        "from tests.support.simulations import digest\n"
        "for line in sys.stdin:\n"
        "    print(digest(simulate(RunSpec.model_validate_json(line), trace=True)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input="".join(spec.model_dump_json() + "\n" for spec in specs),
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
    )
    return done.stdout.split()


@contextmanager
def _nothing_from_outside() -> Iterator[None]:
    """Raises `NotRepeated` at the end if this thread has called any of `OUTSIDE` meanwhile."""
    here, called = threading.get_ident(), list[str]()

    def watched(module: ModuleType, name: str) -> Callable[..., Any]:
        real = getattr(module, name)

        def instead(*arguments: Any, **options: Any) -> Any:
            if threading.get_ident() == here:
                called.append(f"{module.__name__}.{name}")
                if name == "sleep":
                    return None
            return real(*arguments, **options)

        return instead

    patches = [patch.object(module, name, watched(module, name)) for module, names in OUTSIDE.items() for name in names]
    for one in patches:
        one.start()
    try:
        yield
    finally:
        for one in patches:
            one.stop()
    if called:
        raise NotRepeated(f"something in a run calls {', '.join(dict.fromkeys(called))}")


def _lines(simulated: Simulated) -> list[str]:
    parts: list[Any] = [*simulated.events, *simulated.statuses, *(simulated.trace or []), simulated.logs]
    return [json.dumps(part) for part in parts]
