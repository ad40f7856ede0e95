"""What takes a coincidence is found within so many runs of a hunt: flaws that went unfound as long as faults came at drawn
times only. A run takes a twentieth of a second; the limits are some four times the runs that it takes on average."""

from __future__ import annotations

import pytest

from harness.explore.trial import Task
from harness.hunt.catalogue import cases
from harness.hunt.hunt import attempt

LIMITS = {
    ("leased-primary", "forgets-grants"): 150,
    ("leased-primary", "ignores-drift"): 1500,
    ("leased-primary", "no-fencing"): 250,
    ("leased-primary", "serves-after-expiry"): 150,
    ("multi-paxos", "leader-reads-locally"): 500,
    ("multi-paxos", "lowest-ballot-wins"): 250,
    ("paxos", "accepted-not-persisted"): 250,
    ("raft", "commits-by-counting"): 500,
    ("raft", "cuts-what-matches"): 800,
    ("raft", "reads-before-its-first-commit"): 300,
    ("raft", "retries-applied-twice"): 500,
    ("raft", "votes-twice"): 800,
}


@pytest.mark.slow
@pytest.mark.parametrize(("protocol", "flaw"), LIMITS)
def test_a_flaw_that_takes_a_coincidence_is_found_within_so_many_runs(protocol: str, flaw: str) -> None:
    (case,) = cases([protocol], [flaw])
    limit = LIMITS[protocol, flaw]
    seed = next((seed for seed in range(1, limit + 1) if attempt([case.spec], Task(0, seed)).findings), None)
    print(f"seed {seed}")
    assert seed is not None, f"{flaw} of {protocol} was not found in {limit} runs"
