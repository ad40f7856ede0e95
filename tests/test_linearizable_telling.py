"""What findings say: one history for each anomaly and model, and how small they are on random corrupted histories."""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence

import pytest

from harness.checkers.checker import Limits
from harness.checkers.linearizable import Linearizable
from harness.checkers.linearizable.budget import Budget
from harness.checkers.linearizable.decide import decide
from harness.checkers.linearizable.telling.cores import core, proves
from harness.checkers.linearizable.telling.tell import SECONDS_MORE, SHARE_MORE
from harness.checkers.linearizable.telling.violations import until
from harness.checkers.operations import Operation, Record, from_intervals
from harness.checkers.result import CheckResult, Finding
from harness.models.counter import Counter
from harness.models.kv import KeyValue
from harness.models.lock import Lock
from harness.models.log import Log
from harness.models.mailbox import Mailbox
from harness.models.model import Model
from harness.models.queue import Queue, Stack
from harness.models.register import Register, WriteOnce
from harness.models.sets import Set
from tests.support.brute import linearizable, operation
from tests.support.histories import MAKERS, corrupted, simulated
from tests.support.soundness import histories, report


def at(process: int, f: str, value: object, result: object, call: float, returned: float | None) -> Operation:
    """One operation on n<process>, by seconds."""
    end = None if returned is None else round(returned * 1e9)
    return operation(process, f, value, result, round(call * 1e9), end, "x", f"n{process}")


def judge(model: Model, history: Sequence[Operation], limits: Limits | None = None) -> CheckResult:
    return Linearizable().check_record(Record(list(history)), model, limits or Limits())


def finding_of(model: Model, *history: Operation) -> Finding:
    result = judge(model, from_intervals(list(history)))
    assert result.verdict == "violation"
    assert result.findings[0].minimal
    return result.findings[0]


W2, W1 = at(1, "write", 2, None, 1, 2), at(2, "write", 1, None, 3, 4)
ADD = at(1, "add", 5, None, 1, 2)

ANOMALIES: dict[str, tuple[Model, list[Operation], str, int, str]] = {
    "repeated values": (
        Register(),
        [at(5, "write", 2, None, 0, 0.5), W2, W1, at(3, "read", None, 2, 5, 6)],
        "stale read",
        3,
        "p3 began to read at 5.000 s and got 2 (n3), but p2's write of 1 (n2) had been acknowledged at 4.000 s, and 2 was "
        "last written before that, by p1 (n1), acknowledged at 2.000 s",
    ),
    "a first value that isn't null": (
        Register(0),
        [W1, at(3, "read", None, 0, 5, 6), at(4, "read", None, 0, 7, 8)],
        "lost write",
        2,
        "1 was never seen by anybody",
    ),
    "lost append": (
        KeyValue(),
        [
            at(1, "append", "a.", None, 1, 2),
            at(2, "append", "b.", None, 3, 4),
            at(3, "get", None, "a.", 5, 6),
        ],
        "lost write",
        3,
        'p3 began to read at 5.000 s and got "a." (n3), which lacks "b.", but p2\'s append of "b." (n2) had been '
        "acknowledged at 4.000 s",
    ),
    "append skipped": (
        KeyValue(),
        [
            at(1, "append", "a.", None, 1, 2),
            at(2, "append", "b.", None, 3, 4),
            at(3, "get", None, "b.", 0, 6),
        ],
        "lost write",
        3,
        'p3 read "b." (n3) by 6.000 s, which lacks "a.", but p1\'s append of "a." (n1) had been acknowledged at 2.000 s, '
        'before p2\'s append of "b." (n2), which is in it, began at 3.000 s',
    ),
    "append with equal values": (
        KeyValue(),
        [
            at(1, "append", "a", None, 1, 2),
            at(2, "append", "a", None, 3, 4),
            at(4, "get", None, "aa", 5, 6),
            at(3, "get", None, "a", 7, 8),
        ],
        "stale read",
        3,
        'but p4 had read "aa" (n4) by 6.000 s',
    ),
    "key deleted": (
        KeyValue(),
        [at(1, "put", "a", None, 1, 2), at(2, "delete", None, None, 3, 4), at(3, "get", None, "a", 5, 6)],
        "stale read",
        3,
        "but p2's delete (n2) had been acknowledged at 4.000 s",
    ),
    "written twice": (
        WriteOnce(),
        [at(1, "write", 1, True, 1, 2), at(2, "write", 2, True, 3, 4)],
        "written twice",
        2,
        "",
    ),
    "set: lost": (
        Set(),
        [ADD, at(3, "contains", 5, False, 5, 6)],
        "lost element",
        2,
        "p3 did not find 5 in the set (n3) (5.000 s to 6.000 s), but p1 added 5 (n1) by 2.000 s, and nobody can have "
        "removed it since",
    ),
    "set: removed": (
        Set(),
        [ADD, at(2, "remove", 5, True, 3, 4), at(3, "contains", 5, True, 5, 6)],
        "resurrected element",
        3,
        "nobody can have added it again since",
    ),
    "set: from nowhere": (
        Set(),
        [at(3, "contains", 5, True, 5, 6)],
        "value from nowhere",
        1,
        "but nobody ever added 5",
    ),
    "queue: equal values, taken too often": (
        Queue(),
        [
            at(1, "enqueue", 5, None, 1, 2),
            at(1, "enqueue", 5, None, 3, 4),
            *(at(process, "dequeue", None, 5, 5 + process, 5.5 + process) for process in (2, 3, 4)),
        ],
        "dequeued twice",
        4,
        "but it was put in only 2 times",
    ),
    "queue: out of order": (
        Queue(),
        [
            at(1, "enqueue", 5, None, 0, 0.5),
            at(1, "enqueue", 5, None, 1, 2),
            at(1, "enqueue", 6, None, 3, 4),
            at(2, "dequeue", None, 6, 5, 6),
            at(2, "dequeue", None, 5, 7, 8),
            at(2, "dequeue", None, 5, 9, 10),
        ],
        "out of order",
        3,
        "p2 dequeued 6 (n2) by 6.000 s, but it was the turn of 5: p1 enqueued 5 (n1) by 2.000 s",
    ),
    "stack: out of order": (
        Stack(),
        [
            at(1, "push", 5, None, 0, 0.5),
            at(1, "push", 5, None, 1, 2),
            at(1, "push", 6, None, 3, 4),
            at(2, "pop", None, 5, 5, 6),
            at(2, "pop", None, 6, 7, 8),
        ],
        "out of order",
        3,
        "p2 popped 5 (n2) by 6.000 s, but it was the turn of 6: p1 pushed 6 (n1) by 4.000 s",
    ),
    "stack: equal values, empty": (
        Stack(),
        [at(1, "push", 5, None, 0, 1), at(1, "push", 5, None, 2, 3), at(2, "pop", None, None, 5, 6)],
        "lost element",
        2,
        "p2 found the stack empty (n2) (5.000 s to 6.000 s)",
    ),
    "stack: equal values, empty and then not": (
        Stack(),
        [
            at(1, "push", 5, None, 0, 1),
            at(1, "push", 5, None, 2, 3),
            at(2, "pop", None, None, 5, 6),
            at(2, "pop", None, 5, 7, 8),
        ],
        "empty although it was not",
        2,
        "p2 found the stack empty (n2) (5.000 s to 6.000 s)",
    ),
    "set: stale": (
        Set(),
        [ADD, at(3, "contains", 5, False, 5, 6), at(3, "contains", 5, True, 7, 8)],
        "stale read",
        2,
        "p3 did not find 5 in the set (n3) (5.000 s to 6.000 s)",
    ),
    "set: from the future": (
        Set(),
        [at(3, "contains", 5, True, 0, 0.5), ADD],
        "value from the future",
        2,
        "but p1 began to add 5 only at 1.000 s",
    ),
    "set: phantom": (
        Set(),
        [
            at(1, "add", 5, None, 0, 9),
            at(1, "remove", 5, True, 0, 9),
            at(2, "contains", 5, True, 1, 2),
            at(2, "contains", 5, False, 3, 4),
            at(3, "contains", 5, True, 5, 6),
        ],
        "phantom element",
        4,
        "",
    ),
    "log: lost, equal values": (
        Log(),
        [at(1, "append", 5, None, 1, 2), at(1, "append", 5, None, 3, 4), at(2, "read", None, [], 5, 6)],
        "lost entry",
        2,
        "",
    ),
    "log: stale, equal values": (
        Log(),
        [
            at(1, "append", 5, None, 1, 2),
            at(1, "append", 5, None, 3, 4),
            at(2, "read", None, [], 5, 6),
            at(2, "read", None, [5, 5], 7, 8),
        ],
        "stale read",
        2,
        "",
    ),
    "log: no such place": (
        Log(),
        [at(1, "append", 5, None, 1, 2), at(1, "append", 5, 7, 3, 4)],
        "no such place",
        1,
        "but only 2 appends had begun by then",
    ),
    "mail: lost": (
        Mailbox(),
        [at(1, "send", "m", None, 1, 2), at(2, "list", None, [], 5, 6), at(2, "mark", "m", False, 7, 8)],
        "lost mail",
        2,
        'p2 did not find "m" (n2) (5.000 s to 6.000 s), but p1\'s send of it had been acknowledged at 2.000 s',
    ),
    "mail: late": (
        Mailbox(),
        [at(1, "send", "m", None, 1, 2), at(2, "list", None, [], 5, 6), at(2, "list", None, [["m", True]], 7, 8)],
        "stale read",
        2,
        "",
    ),
    "mail: gone again": (
        Mailbox(),
        [at(1, "send", "m", None, 1, None), at(2, "mark", "m", True, 2, 3), at(2, "list", None, [], 5, 6)],
        "lost mail",
        3,
        'p2 did not find "m" (n2) (5.000 s to 6.000 s), but p2 marked "m" (n2) by 3.000 s',
    ),
    "mail: gone, as a send tells that isn't needed": (
        Mailbox(),
        [
            at(1, "send", "m", None, 1, 2),
            *(at(4, "send", f"x{number}", None, 2.5 + number / 10, 2.55 + number / 10) for number in range(4)),
            at(2, "list", None, [["m", True], *([f"x{number}", False] for number in range(4))], 4, 5),
            at(3, "list", None, [], 3, 6),
        ],
        "stale read",
        2,
        "had been acknowledged at",
    ),
    "mail: skipped": (
        Mailbox(),
        [at(1, "send", "a", None, 1, 3), at(2, "send", "b", None, 4, 5), at(3, "list", None, [["b", False]], 2, 6)],
        "lost mail",
        2,
        'p3 was shown "b", but not "a" (n3) (2.000 s to 6.000 s), though p1\'s send of "a" (n1) had been acknowledged at '
        '3.000 s, before p2 began to send "b" (n2) at 4.000 s',
    ),
    "mail: from nowhere": (
        Mailbox(),
        [at(2, "list", None, [["m", False]], 5, 6)],
        "value from nowhere",
        1,
        'p2 was shown "m" (n2) by 6.000 s, but nobody ever sent "m"',
    ),
    "mail: from the future": (
        Mailbox(),
        [at(2, "mark", "m", True, 1, 2), at(1, "send", "m", None, 3, 4)],
        "value from the future",
        2,
        'p2 marked "m" (n2) by 2.000 s, but p1 began to send "m" only at 3.000 s (n1)',
    ),
    "mail: in two orders": (
        Mailbox(),
        [
            at(1, "send", "a", None, 1, 9),
            at(2, "send", "b", None, 1, 9),
            at(3, "list", None, [["a", False], ["b", False]], 2, 3),
            at(4, "list", None, [["b", False], ["a", False]], 2, 4),
        ],
        "order reversed",
        2,
        'p3 was shown "a" behind 0 messages (n3) (2.000 s to 3.000 s), and p4 "b" (n4)',
    ),
    "counter: too few adds by far": (
        Counter(),
        [at(1, "add", 2, None, 1, 2), at(2, "read", None, 8, 3, 4)],
        "counter too high",
        2,
        "p2 read 8 (n2) at 4.000 s, but only 1 add of 2 had been called by then, 3 too few",
    ),
    "counter: adds that were told more": (
        Counter(),
        [at(1, "add", 2, 6, 1, 3), at(2, "add", 2, 8, 1, 3), at(3, "add", 2, None, 1, 3), at(4, "read", None, 4, 5, 6)],
        "counter too high",
        2,
        "p1 was told the sum 6 right after its add (n1) at 3.000 s, but only 1 of the 3 adds called by then can have been "
        "among the first 2: the others were told sums beyond 4",
    ),
    "counter: adds that were told other sums": (
        Counter(),
        [
            at(1, "add", 2, 8, 1, 5),
            at(2, "add", 2, 10, 1, 5),
            at(3, "add", 2, None, 1, 5),
            at(4, "read", None, 6, 2, 3),
        ],
        "counter too high",
        3,
        "p4 read 6 (n4) at 3.000 s, but only 2 of the 3 adds called by then can have been among the first 3: the others were "
        "told sums beyond 6",
    ),
    "counter too low": (
        Counter(),
        [at(1, "add", 1, None, 1, 2), at(2, "add", 3, None, 3, 4), at(3, "read", None, 1, 5, 6)],
        "counter too low",
        2,
        "p3 read 1 (n3), asked at 5.000 s and answered at 6.000 s, but the sum was at least 3 by then",
    ),
    "counter too high": (
        Counter(),
        [at(1, "add", 1, None, 1, 2), at(2, "add", 3, None, 1, None), at(3, "read", None, 5, 5, 6)],
        "counter too high",
        1,
        "but the sum was at most 4 by then",
    ),
}
"""By name: the model, the history, and what is said of it: the anomaly, how many operations are shown, and some words."""


@pytest.mark.parametrize("name", ANOMALIES)
def test_an_anomaly_has_its_name(name: str) -> None:
    model, history, anomaly, shown, words = ANOMALIES[name]
    finding = finding_of(model, *history)
    assert finding.anomaly == anomaly, finding.sentence
    assert words in finding.sentence, finding.sentence
    assert len(finding.operations) == shown, finding.operations


@pytest.mark.parametrize(
    ("anomaly", "history"),
    [
        ("two holders", [at(1, "acquire", "a", True, 1, 2), at(2, "acquire", "b", True, 3, 4)]),
        (
            "went back",
            [
                at(1, "acquire", "a", 5, 1, 2),
                at(1, "release", "a", True, 3, 4),
                at(2, "acquire", "b", 4, 5, 6),
            ],
        ),
        ("refused", [at(1, "acquire", "a", False, 1, 2)]),
        ("released", [at(1, "release", "a", True, 1, 2)]),
    ],
)
def test_anomalies_of_a_lock(anomaly: str, history: list[Operation]) -> None:
    finding = finding_of(Lock(), *history)
    assert anomaly in finding.anomaly


def test_locks_without_owners_are_told_as_if_each_released_its_own() -> None:
    holds = [at(1, "acquire", None, None, 0, 1), at(1, "release", None, None, 2, 3)]
    holds += [at(2, "acquire", None, None, 0.5, 4), at(3, "acquire", None, None, 5, 9)]
    finding = finding_of(Lock(), *holds)
    assert finding.anomaly == "two holders"
    assert len(finding.operations) <= 4


class Ticket(Model):
    """A user's own: numbers are given once, and upwards."""

    name = "ticket"
    functions = {"take": "the result is a number greater than all before"}

    def initial(self) -> int:
        return 0

    def step(self, state: object, operation: Operation) -> list[int] | str:
        assert isinstance(state, int)
        if operation.type == "info":
            return [state + 1]
        if operation.result == state + 1:
            return [state + 1]
        return f"the next number is {state + 1}"


def test_a_users_own_model_has_small_findings_with_its_own_reasons() -> None:
    takes = [at(1, "take", None, number, number, number + 0.5) for number in range(1, 21)]
    finding = finding_of(Ticket(), *takes, at(2, "take", None, 20, 30, 31))
    assert [one["result"] for one in finding.operations] == [20, 20]
    assert finding.sentence == (
        "no order explains what these saw: p1 was answered 20 to take (n1) (20.000 s to 20.500 s); p2 was answered 20 to "
        "take (n2) (30.000 s to 31.000 s) (the next number is 21)"
    )


@pytest.mark.parametrize("name", MAKERS)
def test_the_search_for_cores_agrees_with_brute_force(name: str) -> None:
    seed, explained = 60, 0
    chance, model = random.Random(seed), MAKERS[name].model
    wanted = histories(20)
    for number in range(wanted):
        history = corrupted(name, chance, chance.randint(2, 7))
        budget = Budget(Limits())
        proof = [one for one in history if one.type == "ok"]
        where = f"{name}, seed {seed}, history {number}"
        truth = linearizable(history, model)
        explained += truth
        assert proves(proof, history, model, budget) is not truth, where
    report(f"{name}, proofs", wanted, explained)


def optional(operations: Sequence[Operation], certain: Sequence[Operation], model: Model) -> bool:
    """Whether an order explains them, if all others may have been left out: every choice of them is tried."""
    others = [one for one in operations if one not in certain]
    return any(
        linearizable([one for one in operations if one in certain or choice >> others.index(one) & 1], model)
        for choice in range(2 ** len(others))
    )


@pytest.mark.parametrize("name", MAKERS)
def test_cores_are_proofs_and_minimal(name: str) -> None:
    """By another definition of both: trying all choices of the other operations."""
    seed = 61
    chance, model = random.Random(seed), MAKERS[name].model
    checked, wanted = 0, histories(3, at_most=500)
    while checked < wanted:
        history = corrupted(name, chance, 6)
        if decide(history, model, Budget(Limits())).linearizable:
            continue
        checked += 1
        ends = sorted(one.ended for one in history if one.ended is not None)
        prefix = next(until(history, end, model) for end in ends if not linearizable(until(history, end, model), model))
        found = core(prefix, model, Budget(Limits()))
        where = f"{name}, seed {seed}: {found}"
        assert found is not None, where
        assert found.minimal, where
        assert not optional(prefix, found.operations, model), where
        if len(found.operations) < 5:
            for one in found.operations:
                assert optional(prefix, [other for other in found.operations if other is not one], model), where


SLOW = ("counter, amounts", "kv, few values", "queue, few values", "stack, few values", "mailbox")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in MAKERS]
)
def test_findings_are_small(name: str) -> None:
    """On random corrupted histories: at most 4 operations at the median, and 8 at most. `RASHOMON_SOUNDNESS` asks for 200."""
    seed, wanted = 62, histories(4, at_most=200)
    chance, model = random.Random(seed), MAKERS[name].model
    sizes: list[int] = []
    unverified = 0
    while len(sizes) < wanted:
        history = corrupted(name, chance, 100)
        for finding in judge(model, history).findings[:1]:
            sizes.append(len(finding.operations))
            unverified += not finding.minimal
    print(f"soundness: {name}: {wanted} findings, median {statistics.median(sizes)}, largest {max(sizes)}")
    assert statistics.median(sizes) <= 4, f"seed {seed}: {sizes}"
    assert max(sizes) <= 8, f"seed {seed}: {sizes}"
    assert unverified == 0, f"seed {seed}"


def test_what_is_not_verified_is_marked() -> None:
    chance = random.Random(63)
    history = simulated("register, few values", chance, 3000, 8)
    last = history[-1].began + 1000
    history.append(operation(99, "read", None, 77, last, last + 1))
    history[-1].began, history[-1].ended, history[-1].index = last, last + 1, last
    calls = iter(range(10**9))
    limits = Limits(time_seconds=20, cancelled=lambda: next(calls) > 60)
    result = judge(Register(), history, limits)
    if result.verdict == "violation":
        assert result.findings
        assert all(finding.sentence for finding in result.findings)
        assert any(not finding.minimal for finding in result.findings) or len(result.findings[0].operations) == 1


def test_findings_end_soon_after_the_limit() -> None:
    """What they may take more is told in the documentation: a tenth of the limit, and 5 seconds at most."""
    assert (SHARE_MORE, SECONDS_MORE) == (0.1, 5.0)


def test_a_logs_places() -> None:
    finding = finding_of(Log(), at(1, "append", "a", 0, 1, 2), at(2, "append", "b", 0, 3, 4))
    assert len(finding.operations) == 2


@pytest.mark.parametrize("model", [Register(), KeyValue()])
def test_what_was_seen_of_a_refused_cas_is_told(model: Model) -> None:
    """It was carried out, and tried once more: the second time it was refused."""
    write, read = ("write", "read") if isinstance(model, Register) else ("put", "get")
    history = [
        at(1, write, 1, None, 1, 3.5),
        at(2, "cas", [1, 5], False, 3, 4),
        at(3, read, None, 5, 5, 6),
        at(4, "cas", [1, 5], False, 7, 8),
    ]
    told = "p3 read 5 (n3) by 6.000 s, but nobody wrote 5: p2's cas 1 -> 5 (n2) was refused (3.000 s to 4.000 s)"
    finding = finding_of(model, *history)
    assert finding.anomaly == "value from nowhere"
    assert finding.sentence == told


@pytest.mark.parametrize("name", ["queue", "stack"])
def test_nothing_is_said_of_what_came_out_as_if_it_had_not(name: str) -> None:
    """After the first finding its last operation is forgotten; what is told next still knows of it."""
    put, take = ("enqueue", "dequeue") if name == "queue" else ("push", "pop")
    took = "dequeued" if name == "queue" else "popped"
    values, then, lost = ((7, 12, 18), 18, 7) if name == "queue" else ((18, 12, 7), 7, 18)
    puts = [at(1, put, value, None, place, place + 0.5) for place, value in enumerate(values)]
    takes = [at(2, take, None, value, 5 + 2 * place, 6 + 2 * place) for place, value in enumerate((12, then, None))]
    result = judge(MAKERS[name].model, from_intervals([*puts, *takes]))
    assert len(result.findings) > 1
    for finding in result.findings:
        for value in (12, then):
            assert f"nobody {took} {value}" not in finding.sentence
            assert f"nobody took {value}" not in finding.sentence
    told = f"p1 {put}{'d' if name == 'queue' else 'ed'} {lost} (n1) by 0.500 s, and nobody took {lost} out"
    assert any(told in finding.sentence for finding in result.findings)


def test_a_set_read_that_overlaps_with_what_it_lacks_says_what_it_found() -> None:
    history = [
        at(1, "add", 5, None, 1, 3),
        at(2, "add", 6, None, 4, 5),
        at(3, "read", None, [6], 2, 7),
    ]
    finding = finding_of(Set(), *history)
    assert finding.sentence == (
        "p1's add of 5 (n1) was acknowledged at 3.000 s, but p3 did not find it (n3) (2.000 s to 7.000 s), though it found "
        "6, added only after 4.000 s"
    )


def test_two_set_reads_in_the_wrong_order_name_what_the_second_one_lacks() -> None:
    adds = [at(1, "add", 5, None, 1, 9), at(2, "add", 6, None, 1, 9)]
    finding = finding_of(Set(), *adds, at(3, "read", None, [5, 6], 2, 3), at(4, "read", None, [6], 4, 5))
    assert finding.anomaly == "stale read"
    assert finding.sentence == (
        "p3 had read the set (n3) by 3.000 s, and found 5, but p4, who began to read at 4.000 s (n4), did not find it"
    )


def test_two_appends_on_one_place_need_no_reader() -> None:
    history = [at(1, "append", "a", 0, 1, 2), at(2, "append", "b", 0, 3, 4), at(3, "read", None, ["a"], 1, 2)]
    finding = finding_of(Log(), *history)
    assert finding.anomaly == "log position taken twice"
    assert len(finding.operations) == 2


def test_of_two_that_found_nothing_the_right_one_is_told() -> None:
    history = [
        at(3, "push", 1, None, 1, 10),
        at(1, "push", 2, None, 2, 5),
        at(4, "pop", None, 6, 6, 21),
        at(2, "pop", None, None, 7, 9),
        at(1, "pop", None, 2, 11, 16),
        at(2, "push", 6, None, 13, 15),
        at(5, "pop", None, None, 25, 27),
    ]
    told = (
        "p5 found the stack empty (n5) (25.000 s to 27.000 s), but p3 pushed 1 (n3) by 10.000 s, and nobody took 1 out"
    )
    findings = judge(Stack(), from_intervals(history)).findings
    assert told in [finding.sentence for finding in findings]
    for finding in findings:
        assert not (finding.anomaly == "lost element" and "(7.000 s" in finding.sentence)
