"""What a violation's finding says: one history for each anomaly, minimal proofs, shortest prefixes."""

from __future__ import annotations

import random
import statistics

import pytest

from harness.checkers.checker import Limits
from harness.checkers.linearizable import Linearizable, near_linear
from harness.checkers.linearizable.budget import Budget
from harness.checkers.linearizable.support import Support
from harness.checkers.operations import Operation, Record, from_intervals
from harness.checkers.result import CheckResult, Finding
from harness.models.register import Register
from tests.support.brute import linearizable, operation, simulated_register_history, spoil

MODEL = Register()


def judge(history: list[Operation], failed: list[Operation] | None = None) -> CheckResult:
    return Linearizable().check_record(Record(history, failed or []), MODEL, Limits())


def at(process: int, f: str, value: object, result: object, call: float, returned: float | None) -> Operation:
    """One operation on n<process>, by seconds."""
    return operation(
        process,
        f,
        value,
        result,
        round(call * 1e9),
        None if returned is None else round(returned * 1e9),
        "x",
        f"n{process}",
    )


def only_finding(*history: Operation, failed: list[Operation] | None = None) -> Finding:
    result = judge(from_intervals(list(history)), failed)
    assert result.verdict == "violation"
    (finding,) = result.findings
    return finding


def processes(finding: Finding) -> list[object]:
    return [one["process"] for one in finding.operations]


def test_stale_read() -> None:
    finding = only_finding(
        at(1, "write", 17, None, 1, 1.5),
        at(2, "write", 18, None, 11, 11.9),
        at(4, "read", None, 18, 12, 12.02),
        at(7, "read", None, 17, 12.41, 12.5),
        at(5, "read", None, 18, 13, 13.1),
    )
    assert finding.anomaly == "stale read"
    assert finding.sentence == (
        "p7 began to read at 12.410 s and got 17 (n7), but p2's write of 18 (n2) had been acknowledged at 11.900 s and was "
        "read by p4 (n4) by 12.020 s, and 17 was older (p1's write of 17 (n1) was acknowledged at 1.500 s)"
    )
    assert processes(finding) == [1, 2, 7]
    assert finding.prefix_end == 12_500_000_000
    assert finding.operations[2] == {
        "process": 7,
        "f": "read",
        "key": "x",
        "value": None,
        "result": 17,
        "type": "ok",
        "replica": "n7",
        "call": 12_410_000_000,
        "return": 12_500_000_000,
        "index": 6,
    }


def test_lost_write() -> None:
    finding = only_finding(
        at(1, "write", 17, None, 1, 2),
        at(2, "write", 18, None, 3, 4),
        at(3, "read", None, 17, 5, 6),
        at(4, "read", None, 17, 7, 8),
    )
    assert finding.anomaly == "lost write"
    assert finding.sentence == (
        "p3 began to read at 5.000 s and got 17 (n3), but p2's write of 18 (n2) had been acknowledged at 4.000 s, "
        "and 17 was older (p1's write of 17 (n1) was acknowledged at 2.000 s); 18 was never seen by anybody"
    )


def test_resurrected_value() -> None:
    finding = only_finding(
        at(1, "write", 17, None, 1, 2),
        at(2, "write", 18, None, 3, 4),
        at(3, "read", None, 18, 5, 6),
        at(4, "read", None, 17, 7, 8),
        at(5, "read", None, 17, 9, 10),
    )
    assert finding.anomaly == "resurrected value"
    assert finding.sentence.endswith("; 18 was never seen again")


def test_value_from_nowhere() -> None:
    finding = only_finding(at(1, "write", 17, None, 1, 2), at(2, "read", None, 99, 3, 4))
    assert finding.anomaly == "value from nowhere"
    assert finding.sentence == "p2 read 99 (n2) by 4.000 s, but nobody ever wrote 99"
    assert processes(finding) == [2]


def test_a_write_that_failed_must_not_be_seen() -> None:
    refused = at(1, "write", 99, None, 1, 2)
    refused.type = "fail"
    finding = only_finding(at(2, "read", None, 99, 3, 4), failed=[refused])
    assert finding.anomaly == "failed write seen"
    assert "p1's write of 99 (n1) had been answered with a failure" in finding.sentence


def test_value_from_the_future() -> None:
    finding = only_finding(at(1, "read", None, 5, 1, 2), at(2, "write", 5, None, 3, 4))
    assert finding.anomaly == "value from the future"
    assert finding.sentence == "p1 read 5 (n1) by 2.000 s, but p2's write of 5 (n2) began only at 3.000 s"


def test_two_cas_from_one_value() -> None:
    finding = only_finding(
        at(1, "write", 5, None, 1, 2), at(2, "cas", [5, 6], True, 3, 5), at(3, "cas", [5, 7], True, 4, 6)
    )
    assert finding.anomaly == "two CAS from one value"
    assert finding.sentence == (
        "p2's cas 5 -> 6 (n2) succeeded at 5.000 s, and p3's cas 5 -> 7 (n3) succeeded at 6.000 s: both came right after "
        "5, which was there only once"
    )


def test_two_cas_from_one_value_of_unknown_outcome() -> None:
    finding = only_finding(
        at(1, "cas", [None, 6], None, 1, None), at(2, "cas", [None, 7], True, 1, 2), at(3, "read", None, 6, 3, 4)
    )
    assert finding.anomaly == "two CAS from one value"
    assert "p1's cas null -> 6 (n1) succeeded, for p3 read 6 (n3) by 4.000 s" in finding.sentence


def test_cas_on_a_stale_value() -> None:
    finding = only_finding(
        at(1, "write", 5, None, 1, 2), at(2, "write", 6, None, 3, 4), at(3, "cas", [5, 7], True, 5, 6)
    )
    assert finding.anomaly == "cas on a stale value"
    assert finding.sentence.startswith(
        "p3 began its cas 5 -> 7 at 5.000 s (n3), and it was carried out, but p2's write of 6 (n2)"
    )


def test_cas_refused_wrongly() -> None:
    finding = only_finding(at(1, "write", 5, None, 1, 2), at(2, "cas", [5, 6], False, 3, 4))
    assert finding.anomaly == "cas refused wrongly"
    assert finding.sentence == (
        "p2's cas 5 -> 6 (n2) was refused, but 5 had been put there by p1's write of 5 (n1), and no other value can have "
        "been there between 3.000 s and 4.000 s"
    )
    assert processes(finding) == [1, 2]


def test_order_reversed() -> None:
    finding = only_finding(
        at(1, "write", 5, None, 1, 9),
        at(2, "write", 6, None, 1.1, 9.1),
        at(3, "read", None, 5, 2, 3),
        at(3, "read", None, 6, 4, 5),
        at(4, "read", None, 5, 6, 7),
    )
    assert finding.anomaly == "order reversed"
    assert finding.sentence == (
        "p3 read 6 (n3) by 5.000 s and p4 read 5 (n4) after 6.000 s, but p3 read 5 (n3) by 3.000 s and p3 read 6 (n3) "
        "after 4.000 s: 5 and 6 can't each have come first"
    )


def test_cas_in_a_circle() -> None:
    finding = only_finding(at(1, "cas", [5, 6], True, 1, 5), at(2, "cas", [6, 5], True, 1, 5))
    assert finding.anomaly == "cas in a circle"


def test_a_value_that_came_from_an_overwritten_one() -> None:
    finding = only_finding(
        at(1, "cas", [None, 2], True, 1, 4), at(2, "write", 3, None, 2, 5), at(3, "read", None, 2, 6, 7)
    )
    assert finding.anomaly == "stale read"
    assert "2 came in the place of null, which was older" in finding.sentence


def test_every_key_that_fails_has_a_finding_and_there_are_not_too_many() -> None:
    history = []
    for number in range(30):
        for turn in range(4):
            one = at(number, "read", None, f"nowhere {number} {turn}", 10 * turn + 1, 10 * turn + 2)
            one.key = f"k{number}"
            history.append(one)
    result = judge(from_intervals(history))
    assert len(result.findings) == 30
    assert {finding.key for finding in result.findings} == {f"k{number}" for number in range(30)}
    few = judge(from_intervals([one for one in history if one.key in ("k1", "k2")]))
    assert len(few.findings) == 8


def test_the_prefix_is_the_shortest_and_the_proof_is_minimal() -> None:
    seed = 30
    chance = random.Random(seed)
    sizes = []
    for number in range(60):
        history = simulated_register_history(chance, 200, chance.choice([3, 6]), chance.choice([0, 0.05]))
        how, history = spoil(chance, history)
        where = f"seed {seed}, history {number}: {how}"
        finding = judge(history).findings[0]
        proof = [one for one in history if one.index in {entry["index"] for entry in finding.operations}]
        assert not linearizable(proof, MODEL), where
        support = Support(history, None)
        for one in proof:
            rest = support.closed([other for other in proof if other is not one])
            assert linearizable(rest, MODEL), f"{where}: {one} can be left out of {proof}"
        before = [one for one in history if one.ended is None or one.ended < finding.prefix_end]
        assert near_linear.decide(before, None, Budget(Limits())).linearizable is not False, where
        sizes.append(len(proof))
    assert statistics.median(sizes) <= 4, sizes
    assert max(sizes) <= 8, sizes


@pytest.mark.parametrize("values", [None, 3])
def test_whatever_is_proved_is_proved(values: int | None) -> None:
    """Findings of random corruptions: one response replaced by another value that was written."""
    seed = 31
    chance = random.Random(seed)
    found = 0
    for number in range(40):
        history = simulated_register_history(chance, 40, 3, 0.02, values)
        reads = [one for one in history if one.f == "read" and one.type == "ok"]
        chance.choice(reads).result = chance.choice(reads).result
        result = judge(history)
        assert (result.verdict == "valid") is linearizable(history, MODEL), f"seed {seed}, history {number}"
        for finding in result.findings:
            found += 1
            proof = [one for one in history if one.index in {entry["index"] for entry in finding.operations}]
            assert not linearizable(proof, MODEL), f"seed {seed}, history {number}: {finding.sentence}"
    assert found > 10
