"""Operations a second, and messages per operation, of each protocol on real replicas without faults.

Every protocol is run with one replica (nothing to agree upon: the comparison), with three and with five, on the same
machine in the same run. Messages are those that the replicas sent each other while clients worked, less what they send in
the same time when nobody asks anything (heartbeats); requests are what the clients and the proxies carried.

    python bench/protocols.py [seconds] [processes]

What an operation costs exactly, message by message, is counted on a simulated cluster: see docs/gallery.md.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from harness.clients import Clients
from harness.cluster import Cluster, create
from harness.history import History, read_history
from harness.spec import ClientsSpec
from harness.workloads.register import Register, RegisterOptions

PROTOCOLS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    # Each with its options, and those of the workload: some can't compare and set.
    ("primary-backup", {"acknowledge": "all"}, {}),
    ("primary-backup", {"acknowledge": "none"}, {}),
    ("log-shipping", {}, {}),
    ("two-phase-commit", {}, {}),
    ("multi-paxos", {}, {}),
    ("raft", {}, {}),
    ("leased-primary", {}, {}),
    ("quorum", {}, {"cas": 0}),
    ("causal", {}, {"cas": 0}),
]
REPLICAS = (1, 3, 5)
IDLE_SECONDS = 2.0


class Measured(NamedTuple):
    operations_per_second: float
    median_ms: float
    messages_per_operation: float


def messages_sent(cluster: Cluster) -> int:
    statuses = [cluster.status(replica) for replica in cluster.replicas]
    return sum(link["sent"] for status in statuses if status for link in status["host"]["links"].values())


def measure(
    protocol: str, options: dict[str, Any], work: dict[str, Any], replicas: int, seconds: float, processes: int
) -> Measured:
    with tempfile.TemporaryDirectory() as folder, create("local", replicas) as cluster:
        cluster.provision(protocol, options, "kv", "bench", seed=1)
        before = messages_sent(cluster)
        time.sleep(IDLE_SECONDS)
        idle_per_second = (messages_sent(cluster) - before) / IDLE_SECONDS

        history = History(Path(folder) / "history.jsonl")
        addresses = {replica: cluster.address(replica) for replica in cluster.replicas}
        workload = Register(RegisterOptions(**work), processes, seed=1)
        clients = Clients(workload, ClientsSpec(processes=processes), addresses, "bench", 1, history)
        before, began = messages_sent(cluster), time.monotonic()
        history.begin()
        clients.start()
        time.sleep(seconds)
        clients.stop()
        took = time.monotonic() - began
        messages = messages_sent(cluster) - before - idle_per_second * took
        history.close()
        done = clients.tally.counts()["ok"]
        return Measured(done / took, median_ms(Path(folder) / "history.jsonl"), messages / max(1, done))


def median_ms(path: Path) -> float:
    calls: dict[int, int] = {}
    spans = []
    for event in read_history(path):
        if event["type"] == "invoke":
            calls[event["process"]] = event["time"]
        elif event["type"] == "ok":
            spans.append(event["time"] - calls[event["process"]])
    return sorted(spans)[len(spans) // 2] / 1e6 if spans else float("nan")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "seconds", type=float, nargs="?", default=5.0, help="for which clients work on each (%(default)s)"
    )
    parser.add_argument("processes", type=int, nargs="?", default=10, help="how many clients (%(default)s)")
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    seconds, processes = asked.seconds, asked.processes
    table = Table(title=f"{processes} clients, {seconds:g} s each, local replicas, embedded proxies, no faults")
    for column in ("protocol", "replicas", "operations/s", "ratio to 1", "median ms", "messages/op"):
        table.add_column(column, justify="left" if column == "protocol" else "right", no_wrap=True)
    for protocol, options, work in PROTOCOLS:
        alone: float | None = None
        for replicas in REPLICAS:
            found = measure(protocol, options, work, replicas, seconds, processes)
            alone = alone or found.operations_per_second
            words = ", ".join(f"{name}={value}" for name, value in options.items())
            table.add_row(
                f"{protocol} {words}",
                str(replicas),
                f"{found.operations_per_second:,.0f}",
                f"{found.operations_per_second / alone:.2f}",
                f"{found.median_ms:.1f}",
                f"{found.messages_per_operation:.1f}" if replicas > 1 else "-",
            )
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
