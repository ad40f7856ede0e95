"""Simulated seconds a second, and simulated runs a minute, beside the bare handlers of the same protocol.

All on one core, in CPU time, so that whatever else the machine does counts for little; and taking turns, so that the
ratios mean something on any machine.

- simulated: a whole run (network, disks, clocks, witness, clients, history) of 20 virtual seconds at 50 operations/s, calm;
- bare: the same protocol objects at the same rate of operations, whose messages are handed over at once: no copies, no
  network, no disk, no witness, no workload. What a simulation can't be faster than;
- runs: 10 virtual seconds with kills, pauses and partitions on top, judged for linearizability, laws and liveness.

What we ask of ourselves: 100 simulated seconds a second with 3 replicas, and 300 runs a minute.

    python bench/simulated.py [turns]
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import random
import statistics
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from harness.audit import audit
from harness.checkers import CHECKERS
from harness.checkers.checker import Limits, judge
from harness.simulation.simulate import simulate
from harness.spec import RunSpec
from node.machines.kv import KeyValue
from node.protocol import Io, Message, Outcome, Protocol, Record, Request
from node.protocols.multi_paxos import MultiPaxos

RATE_PER_SECOND = 50
CALM_SECONDS = 20.0
STORM_SECONDS = 10.0
CHECKERS_OF_A_RUN = ("linearizable", "invariants", "liveness")


def spec(replicas: int, seed: int, duration_seconds: float, faults: Sequence[str]) -> RunSpec:
    streams = [
        {"choices": [{"fault": fault, "for_seconds": 1.0}], "every_seconds": 2.5, "first_seconds": 1.0 + 0.7 * place}
        for place, fault in enumerate(faults)
    ]
    return RunSpec.model_validate(
        {
            "campaign": "bench",
            "cell": "multi-paxos",
            "seed": seed,
            "cluster": "simulated",
            "replicas": replicas,
            "protocol": {"name": "multi-paxos"},
            "machine": "kv",
            "workload": {"name": "register"},
            "nemesis": {"name": "bench", "streams": streams},
            "clients": {"processes": 6, "rate_per_second": RATE_PER_SECOND},
            "duration_seconds": duration_seconds,
        }
    )


class BareIo(Io):
    """Hands everything over at once."""

    def __init__(self, bare: Bare, id: str, peers: tuple[str, ...]) -> None:
        self.id = id
        self.peers = peers
        self.random = random.Random(id)
        self._bare = bare

    def now(self) -> float:
        return self._bare.time

    def send(self, peer: str, message: Message) -> None:
        self._bare.letters.append((self.id, peer, message))

    def append(self, record: Record) -> None:
        pass

    def compact(self, records: Sequence[Record]) -> None:
        pass

    def reply(self, request: Request, outcome: Outcome) -> None:
        self._bare.answered += outcome.type == "ok"

    def set_timer(self, name: str, seconds: float) -> None:
        self._bare.set_timer(self.id, name, seconds)

    def cancel_timer(self, name: str) -> None:
        self._bare.armed.pop((self.id, name), None)

    def log(self, text: str) -> None:
        pass


class Bare:
    """Replicas that talk to each other without anything in between."""

    def __init__(self, replicas: int) -> None:
        self.time = 0.0
        self.answered = 0
        self.letters: deque[tuple[str, str, Message]] = deque()
        self.armed: dict[tuple[str, str], int] = {}
        self._heap: list[tuple[float, int, str, str]] = []
        self._numbers = itertools.count()
        names = tuple(f"n{number}" for number in range(1, replicas + 1))
        self._protocols: dict[str, Protocol] = {}
        for name in names:
            io = BareIo(self, name, tuple(peer for peer in names if peer != name))
            self._protocols[name] = MultiPaxos(io, KeyValue(), MultiPaxos.Options())
        for protocol in self._protocols.values():
            protocol.recover([])

    def set_timer(self, replica: str, name: str, seconds: float) -> None:
        number = self.armed[replica, name] = next(self._numbers)
        heapq.heappush(self._heap, (self.time + seconds, number, replica, name))

    def run(self, seconds: float) -> None:
        """Half of the operations read, half write, all through whoever leads in the end: n1."""
        place = 0
        while self.time < seconds:
            due, asked = self._heap[0][0], place / RATE_PER_SECOND
            self.time = min(due, asked)
            if asked <= due:
                f, value = ("read", None) if place % 2 else ("write", place)
                request = Request("p1", place, {"f": f, "key": "x", "value": value}, place)
                self._protocols["n1"].on_request(request)
                place += 1
            else:
                _, number, replica, name = heapq.heappop(self._heap)
                if self.armed.get((replica, name)) == number:
                    self._protocols[replica].on_timer(name)
            while self.letters:
                sender, peer, message = self.letters.popleft()
                self._protocols[peer].on_message(sender, message)


def bare_seconds(replicas: int, seed: int) -> float:
    bare = Bare(replicas)
    began = time.process_time()
    bare.run(CALM_SECONDS)
    took = time.process_time() - began
    assert bare.answered > CALM_SECONDS * RATE_PER_SECOND * 0.8
    return CALM_SECONDS / took


def simulated_seconds(replicas: int, seed: int) -> float:
    began = time.process_time()
    simulated = simulate(spec(replicas, seed, CALM_SECONDS, ()))
    took = time.process_time() - began
    assert sum(event["type"] == "ok" for event in simulated.events) > CALM_SECONDS * RATE_PER_SECOND * 0.9
    return simulated.virtual_seconds / took


def runs_per_minute(replicas: int, seed: int) -> float:
    began = time.process_time()
    run = spec(replicas, seed, STORM_SECONDS, ("kill", "pause", "partition"))
    simulated = simulate(run)
    assert not audit(simulated.events)
    for name in CHECKERS_OF_A_RUN:
        result = judge(CHECKERS[name](), run, simulated.events, Limits(60.0))
        assert result.verdict == "valid", result.sentence
    return 60 / (time.process_time() - began)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("turns", type=int, nargs="?", default=7, help="how often each is measured (%(default)s)")
    return parser.parse_args()


def main(turns: int) -> None:
    kinds: dict[str, tuple[str, Callable[[int, int], float]]] = {
        "bare": ("simulated seconds a second", bare_seconds),
        "simulated": ("simulated seconds a second", simulated_seconds),
        "runs": (f"runs of {STORM_SECONDS:g} s with faults a minute, judged", runs_per_minute),
    }
    print(f"Multi-Paxos, {RATE_PER_SECOND} operations/s, {turns} turns, one core, CPU time; medians:")
    for replicas in (3, 5):
        rates: dict[str, list[float]] = {name: [] for name in kinds}
        for _, measure in kinds.values():
            measure(replicas, 0)  # not counted: imports
        for seed, (name, (_, measure)) in itertools.product(range(1, turns + 1), kinds.items()):
            rates[name].append(measure(replicas, seed))
        for name, (unit, _) in kinds.items():
            print(f"  {replicas} replicas, {name:10} {_told(rates[name])} {unit}")
        ratios = [one / other for one, other in zip(rates["simulated"], rates["bare"], strict=True)]
        print(f"  {replicas} replicas, {'of bare':10} {statistics.median(ratios):7.2f}")


def _told(measured: Sequence[float]) -> Any:
    return f"{statistics.median(measured):7.0f}   ({min(measured):.0f} to {max(measured):.0f})"


if __name__ == "__main__":
    main(options().turns)
