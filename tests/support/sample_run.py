"""Makes the folder of a run that never ran: what the report is built from, realistic enough to look at.

A small simulation: clients read, write and compare-and-set registers while faults come and go. `python -m
tests.support.sample_run KIND FOLDER` writes one to look at; the kinds are the keys of `KINDS`.
"""

from __future__ import annotations

import json
import random
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from harness.history import FINAL_READS

MS = 1_000_000
SECOND = 1_000 * MS
REPLICAS = ("n1", "n2", "n3", "n4", "n5")
NASTY = "</script><img src=x onerror=alert(1)>\u202e\x00\x1b[31m\ud800 & \"quotes\" 'too' ]]>"


@dataclass
class Fault:
    number: int
    fault: str
    description: str
    targets: list[str]
    began: int
    ended: int
    effective: bool | None = True


@dataclass
class SampleRun:
    """Knobs of a sample; `write` makes the folder."""

    seed: int = 1
    seconds: float = 20.0
    clients: int = 10
    keys: int = 12
    pause_ms: float = 30.0
    """How long a client rests between two operations, on average."""
    violation: bool = False
    nasty: bool = False
    faults: list[Fault] = field(default_factory=list)
    verdict: str = "valid"
    expect: str = "valid"

    def write(self, folder: Path) -> Path:
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        chance = random.Random(self.seed)
        operations = self._operations(chance)
        findings = self._findings(operations) if self.violation else []
        events = self._events(operations)
        (folder / "history.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events), "utf-8")
        statuses = list(self._statuses())
        (folder / "statuses.jsonl").write_text("".join(json.dumps(status) + "\n" for status in statuses), "utf-8")
        results = self._results(operations, findings, events)
        (folder / "results.json").write_text(json.dumps(results, indent=1), "utf-8")
        (folder / "run.yaml").write_text(yaml.safe_dump(self._spec(), sort_keys=False), "utf-8")
        for replica in REPLICAS:
            lines = [f"{second:8.3f} {replica} heartbeat, term {second // 7}" for second in range(300)]
            if self.nasty:
                lines.append(NASTY.encode("utf-8", "replace").decode())
            (folder / "logs" / f"{replica}.log").write_text("\n".join(lines) + "\n", "utf-8")
        return folder

    @property
    def end(self) -> int:
        return int(self.seconds * SECOND)

    def _down(self, replica: str, time: int) -> bool:
        return any(
            fault.fault in ("kill", "pause", "partition")
            and replica in fault.targets
            and fault.began <= time < fault.ended
            for fault in self.faults
        )

    def _operations(self, chance: random.Random) -> list[dict[str, Any]]:
        """What each worker did, one after the other; every read sees the last write that came before it."""
        workers = [(chance.random() * 20 * MS, worker, worker) for worker in range(self.clients)]
        state: dict[str, Any] = {}
        operations: list[dict[str, Any]] = []
        value = 0
        while workers:
            workers.sort()
            time, worker, process = workers.pop(0)
            if time >= self.end:
                continue
            call = int(time)
            key = f"k{worker * self.keys // self.clients}.{call // (7 * SECOND)}"
            replica = chance.choice(REPLICAS)
            f = chance.choices(("read", "write", "cas"), (5, 4, 1))[0]
            slow = any(fault.fault == "latency" and fault.began <= call < fault.ended for fault in self.faults)
            took = int(chance.expovariate(1 / (4 * MS)) + 1.5 * MS + (chance.uniform(40, 90) * MS if slow else 0))
            operation: dict[str, Any] = {
                "process": process,
                "f": f,
                "key": key,
                "value": None,
                "call": call,
                "replica": replica,
            }
            if f != "read":
                value += 1
                seen = state.get(key)
                operation["value"] = value if f == "write" else [seen if chance.random() < 0.7 else -1, value]
            if self._down(replica, call):
                unknown = chance.random() < 0.25
                operation["type"] = "info" if unknown else "fail"
                operation["error"] = "timed out after 2 s" if unknown else "connection refused"
                took = 2 * SECOND if unknown else MS
            else:
                operation["type"] = "ok"
                if f == "read":
                    operation["result"] = state.get(key)
                elif f == "write":
                    state[key] = value
                else:
                    operation["result"] = operation["value"][0] == state.get(key)
                    if operation["result"]:
                        state[key] = value
            if self.nasty and chance.random() < 0.05:
                operation.update(key=NASTY, value={NASTY: [NASTY]}, error=NASTY)
            operation["return"] = call + took
            operations.append(operation)
            following = process + self.clients if operation["type"] == "info" else process
            rest = chance.expovariate(1 / (self.pause_ms * MS)) + (60 * MS if operation["type"] == "fail" else 0)
            workers.append((operation["return"] + rest, worker, following))
        return operations

    def _findings(self, operations: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Make a read late in the run see what an acknowledged write had replaced."""
        for read in reversed(operations):
            writes = [
                operation
                for operation in operations
                if operation["f"] == "write"
                and operation["type"] == "ok"
                and operation["key"] == read["key"]
                and operation["return"] < read["call"]
            ]
            if read["f"] == "read" and read["type"] == "ok" and read["call"] < self.end * 0.7 and len(writes) > 2:
                before, lost = writes[-2:]
                read["result"] = before["value"]
                proof = [before, lost, read]
                sentence = (
                    f"Process {read['process']} read {before['value']!r} from {read['key']!r} on {read['replica']} at "
                    f"{read['call'] / SECOND:.3f} s, although process {lost['process']} had written {lost['value']!r} before, "
                    f"acknowledged by {lost['replica']} at {lost['return'] / SECOND:.3f} s: an acknowledged write was lost."
                )
                described = [{**operation, "result": operation.get("result")} for operation in proof]
                return [
                    {
                        "checker": "linearizable",
                        "anomaly": NASTY if self.nasty else "lost write",
                        "sentence": sentence,
                        "key": read["key"],
                        "operations": described,
                        "prefix_end": read["return"],
                    }
                ]
        raise AssertionError(f"seed {self.seed} has no write to lose")

    def _events(self, operations: list[dict[str, Any]]) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        for operation in operations:
            common = {name: operation[name] for name in ("process", "f", "key", "value", "replica")}
            events.append({"time": operation["call"], "type": "invoke", **common})
            more: dict[str, Any] = {name: operation[name] for name in ("result", "error") if name in operation}
            events.append({"time": operation["return"], "type": operation["type"], **common, **more})
        for fault in self.faults:
            events.extend(_nemesis(fault))
        events.append(_note(self.end, "the clients' work is over"))
        events.append(_note(self.end + 300 * MS, FINAL_READS))
        for number, key in enumerate(sorted({operation["key"] for operation in operations})):
            process = 100_000 + number % 5
            call = self.end + 320 * MS + number * 12 * MS
            common = {"process": process, "f": "read", "key": key, "value": None, "replica": REPLICAS[number % 5]}
            events.append({"time": call, "type": "invoke", **common})
            events.append({"time": call + 5 * MS, "type": "ok", **common, "result": number})
        events.sort(key=lambda event: event["time"])
        return [{"index": index, **event} for index, event in enumerate(events)]

    def _statuses(self) -> list[dict[str, Any]]:
        statuses: list[dict[str, Any]] = []
        for time in range(0, self.end + SECOND, SECOND // 2):
            up = [replica for replica in REPLICAS if not self._out(replica, time)]
            leader = up[0] if up else None
            for replica in REPLICAS:
                state = self._out(replica, time) or "up"
                alive = state == "up"
                statuses.append(
                    {
                        "time": time + 3 * MS,
                        "replica": replica,
                        "state": state,
                        "role": ("leader" if replica == leader else "follower") if alive else None,
                        "leader": leader if alive else None,
                        "term": f"({REPLICAS.index(leader or 'n1') + 1}, {leader})" if alive else None,
                        "commit_index": time // (4 * MS) if alive else None,
                        "log_index": time // (4 * MS) if alive else None,
                    }
                )
        return statuses

    def _out(self, replica: str, time: int) -> str | None:
        for fault in self.faults:
            if replica in fault.targets and fault.began <= time < fault.ended and fault.fault in ("kill", "pause"):
                return "down" if fault.fault == "kill" else "paused"
        return None

    def _spec(self) -> dict[str, Any]:
        return {
            "campaign": "sample",
            "cell": NASTY if self.nasty else f"multi-paxos register everything seed {self.seed}",
            "seed": self.seed,
            "cluster": "local",
            "replicas": 5,
            "protocol": {"name": "multi-paxos", "options": {"snapshot_every": 500}},
            "machine": "kv",
            "workload": {"name": "register", "options": {}},
            "nemesis": {"name": "everything", "streams": []},
            "duration_seconds": self.seconds,
            "expect": self.expect,
        }

    def _results(
        self, operations: list[dict[str, Any]], findings: list[dict[str, Any]], events: list[dict[str, Any]]
    ) -> dict[str, Any]:
        outcomes = {kind: sum(operation["type"] == kind for operation in operations) for kind in ("ok", "fail", "info")}
        proved = sum(fault.effective is True for fault in self.faults)
        reason = findings[0]["sentence"] if findings else "One consistent story explains what all clients saw."
        return {
            "format": 1,
            **{name: self._spec()[name] for name in ("campaign", "cell", "seed", "cluster", "replicas", "machine")},
            "protocol": "multi-paxos(snapshot_every=500)",
            "workload": "register",
            "nemesis": "everything",
            "expect": self.expect,
            "verdict": self.verdict,
            "as_expected": self.verdict == self.expect,
            "reason": reason,
            "interrupted": False,
            "error": None,
            "started": "2026-01-31T09:30:00Z",
            "seconds": {
                "setup": 1.42,
                "work": self.seconds,
                "recovery": 0.3,
                "check": 0.61,
                "total": self.seconds + 3.1,
                "first_operation": 1.5,
            },
            "operations": {
                **outcomes,
                "by_function": {
                    f: {
                        kind: sum(operation["type"] == kind and operation["f"] == f for operation in operations)
                        for kind in outcomes
                    }
                    for f in ("read", "write", "cas")
                },
            },
            "checks": self._checks(outcomes, findings, proved),
            "findings_total": len(findings),
            "faults": {
                "injected": len(self.faults),
                "proved": proved,
                "ineffective": sum(fault.effective is False for fault in self.faults),
                "unproved": sum(fault.effective is None for fault in self.faults),
            },
            "audit": [],
            "notes": [],
            "replay": "rashomon replay results/sample/20260131T093000-multi-paxos",
            "tainted": None,
            "versions": {"rashomon": "0.1.0", "python": "3.11.9", "platform": "Linux-6.1-x86_64"},
        }

    def _checks(self, outcomes: dict[str, int], findings: list[dict[str, Any]], proved: int) -> list[dict[str, Any]]:
        total = max(1, sum(outcomes.values()))
        return [
            {
                "checker": "linearizable",
                "verdict": "violation" if findings else "valid",
                "sentence": f"{outcomes['ok']} operations on {self.keys} keys were judged.",
                "findings": findings,
                "statistics": {
                    "keys": self.keys,
                    "operations": outcomes["ok"],
                    "crashed": outcomes["info"],
                    "algorithms": {"near-linear": self.keys - 1, "search": 1},
                    "largest_window": 7,
                    "seconds": 0.412,
                },
            },
            {
                "checker": "availability",
                "verdict": "valid",
                "sentence": f"{outcomes['ok'] / total:.1%} of the operations succeeded.",
                "findings": [],
                "statistics": {
                    "success_fraction": outcomes["ok"] / total,
                    "longest_unavailable_seconds": 0.41,
                    "longest_unavailable_window": [4.1, 4.51],
                    "recoveries": [
                        {"number": fault.number, "fault": fault.fault, "seconds": 0.03 * fault.number**1.5}
                        for fault in self.faults
                    ],
                    "operations_per_second": total / self.seconds,
                },
            },
            {
                "checker": "faults",
                "verdict": "valid",
                "sentence": f"{proved} of {len(self.faults)} injections were proved.",
                "findings": [],
                "statistics": {"proved": proved, "by_fault": {"kill": 1}},
            },
        ]


def _nemesis(fault: Fault) -> list[dict[str, Any]]:
    common = {"process": "nemesis", "fault": fault.fault, "number": fault.number}
    details = {
        "targets": fault.targets,
        "roles": {target: "leader" if target == "n1" else "follower" for target in fault.targets},
        "description": fault.description,
        "links": [],
    }
    measured = "12 of 12 cut links let no ping through" if fault.effective else "the ping went through all the same"
    evidence = {
        "effective": fault.effective,
        "detail": measured if fault.effective is not None else "nothing could be measured: both ends were down",
        "measurements": [
            {"link": "n1->n2", "outcome": "timeout", "seconds": 0.301},
            {"link": "n1->n3", "outcome": "timeout", "seconds": 0.302},
        ],
    }
    kind = "ok" if fault.effective else "info"
    healed = {"effective": True, "detail": "12 of 12 links pass again", "measurements": []}
    injected = {**details, "applied": fault.began, "evidence": evidence}
    mended = {"applied": fault.ended, "evidence": healed}
    return [
        {"time": fault.began - 12 * MS, "type": "invoke", "f": "inject", **common},
        {"time": fault.began + 310 * MS, "type": kind, "f": "inject", **common, **injected},
        {"time": fault.ended - 9 * MS, "type": "invoke", "f": "heal", **common},
        {"time": fault.ended + 40 * MS, "type": "ok", "f": "heal", **common, **mended},
    ]


def _note(time: int, text: str, replica: str | None = None) -> dict[str, Any]:
    return {"time": time, "type": "info", "process": "harness", "f": "note", "value": text, "replica": replica}


def some_faults(scale: float = 1.0) -> list[Fault]:
    """Faults that overlap, one that did not bite, and one that could not be measured."""

    def at(seconds: float) -> int:
        return int(seconds * scale * SECOND)

    return [
        Fault(1, "partition", "random halves: n1 n4 | n2 n3 n5, drop", ["n1", "n4"], at(2.1), at(5.0)),
        Fault(2, "kill", "kill n1 (leader)", ["n1"], at(4.2), at(7.1)),
        Fault(3, "latency", "latency 50 ms +- 20 ms on every link of n2", ["n2"], at(8.3), at(11.2)),
        Fault(4, "partition", "one-way: n3 can't speak", ["n3"], at(10.0), at(12.5), effective=False),
        Fault(5, "pause", "pause n2 n5", ["n2", "n5"], at(13.1), at(15.9)),
        Fault(6, "partition", "isolate n4, refuse", ["n4"], at(14.8), at(18.0), effective=None),
    ]


def failed_run(folder: Path) -> Path:
    """A run whose cluster never came up: a specification, an error, and nothing else."""
    sample = SampleRun()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.yaml").write_text(yaml.safe_dump(sample._spec(), sort_keys=False), "utf-8")
    results = {
        "format": 1,
        "campaign": "sample",
        "cell": "multi-paxos register everything seed 1",
        "seed": 1,
        "expect": "valid",
        "verdict": "unknown",
        "as_expected": False,
        "reason": "The run failed before any operation.",
        "error": "port 21001 is taken: stop what listens there, or free it",
    }
    (folder / "results.json").write_text(json.dumps(results), "utf-8")
    (folder / "harness.log").write_text("bringing up n1\nport 21001 is taken\n", "utf-8")
    return folder


def empty_run(folder: Path) -> Path:
    """A run that was killed at once: a folder with an empty history."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "history.jsonl").write_text("", "utf-8")
    return folder


def _violation(nasty: bool = False) -> SampleRun:
    return SampleRun(violation=True, nasty=nasty, verdict="violation", faults=some_faults())


KINDS = {
    "valid": lambda folder: SampleRun(faults=some_faults()).write(folder),
    "violation": lambda folder: _violation().write(folder),
    "nasty": lambda folder: _violation(nasty=True).write(folder),
    "large": lambda folder: SampleRun(seconds=60, clients=48, pause_ms=14, faults=some_faults(3)).write(folder),
    "failed": failed_run,
    "empty": empty_run,
}

if __name__ == "__main__":
    print(KINDS[sys.argv[1]](Path(sys.argv[2])))
