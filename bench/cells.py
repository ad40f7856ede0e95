"""What a cell costs beside its work: seconds from its start to the first operation, and from the last one to its end.

Runs the same short cell (Multi-Paxos, five replicas, no faults) on local processes and, if an engine and the images are
there, in containers that are up already. Both together are to stay under 3 s on local processes and 6 s in containers.

    python bench/cells.py [repetitions]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

from faults.cluster import ClusterError
from harness.cluster import standing
from harness.errors import RashomonError
from harness.run import Silent, new_folder, run
from harness.spec import ClientsSpec, Named, ProtocolSpec, RunSpec

Kind = Literal["local", "docker"]


def cell(kind: Kind) -> RunSpec:
    return RunSpec(
        campaign="bench",
        cell=kind,
        seed=1,
        cluster=kind,
        protocol=ProtocolSpec(name="multi-paxos"),
        machine="kv",
        workload=Named(name="register"),
        clients=ClientsSpec(processes=5, rate_per_second=50),
        duration_seconds=3,
    )


def measure(kind: Kind, repetitions: int) -> tuple[float, float]:
    """Medians, in seconds: to the first operation, and from the last one."""
    first, last = [], []
    with tempfile.TemporaryDirectory() as results:
        for _ in range(repetitions):
            spec = cell(kind)
            seconds = run(spec, new_folder(Path(results), spec), Silent(), threading.Event())["seconds"]
            first.append(seconds["first_operation"])
            last.append(seconds["after_last_operation"])
    return statistics.median(first), statistics.median(last)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repetitions", type=int, nargs="?", default=3, help="how many cells of each kind (%(default)s)")
    return parser.parse_args()


def main() -> None:
    repetitions = options().repetitions
    table = Table(title=f"medians of {repetitions} cells")
    for column in ("cluster", "start to first operation", "last operation to end", "together", "of local's", "at most"):
        table.add_column(column, justify="left" if column == "cluster" else "right")
    first, last = measure("local", repetitions)
    local = first + last
    table.add_row("local", f"{first:.2f} s", f"{last:.2f} s", f"{local:.2f} s", "1.0", "3 s")
    try:
        standing.up("docker", 5, "multi-paxos")
        try:
            first, last = measure("docker", repetitions)
        finally:
            standing.down("docker")
        together = f"{first + last:.2f} s"
        table.add_row("docker", f"{first:.2f} s", f"{last:.2f} s", together, f"{(first + last) / local:.1f}", "6 s")
    except (ClusterError, RashomonError) as error:
        table.add_row("docker", f"not measured: {error}")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
