"""Everything that goes wrong. It knows the contract of a cluster (`faults.cluster`), not the harness."""
