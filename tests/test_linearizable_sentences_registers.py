"""What findings say of registers, of keys with appends, and of locks: true, once, and of operations that are shown."""

from __future__ import annotations

import re

import pytest

from harness.checkers.result import Finding
from harness.checking import check

Row = tuple[str, object, object, float, float | None]
"""f, value, result, call, return: the processes are `row 0`, `row 1` and so on."""


def findings(model: str, *rows: Row) -> list[Finding]:
    history = [
        {"process": f"row {number}", "f": f, "value": value, "result": result, "call": call, "return": returned}
        for number, (f, value, result, call, returned) in enumerate(rows)
    ]
    found = check(history, model).findings
    assert found
    for finding in found:
        named = set(re.findall(r"row \d+", finding.sentence))
        assert named <= {one["process"] for one in finding.operations}, finding
    return found


HISTORIES: dict[str, tuple[str, list[Row], str, str]] = {
    "an append behind what was put later": (
        "kv",
        [("append", "b", None, 1, 5), ("put", "a", None, 8, 10), ("get", None, "ab", 11, 12)],
        "order reversed",
        'row 2 read "ab" by 12.000 s, "b" behind "a", but row 0\'s append of "b" had been acknowledged at 5.000 s, and '
        'row 1\'s put of "a" began only at 8.000 s',
    ),
    "an append behind what was put later, known by what was appended to it": (
        "kv",
        [
            ("append", "b", None, 1, None),
            ("append", "c", None, 2, 5),
            ("put", "a", None, 8, 10),
            ("get", None, "abc", 11, 12),
        ],
        "order reversed",
        'row 3 read "abc" by 12.000 s, "b" behind "a", but row 1 appended "c" behind "b" by 5.000 s, and row 2\'s put of "a" '
        "began only at 8.000 s",
    ),
    "an append read too early behind another one": (
        "kv",
        [("append", "a", None, 0, 5), ("get", None, "ba", 6, 7), ("append", "b", None, 8, 9)],
        "value from the future",
        'row 1 read "ba" by 7.000 s, but row 2\'s append of "b" began only at 8.000 s',
    ),
    "a read of what was written later": (
        "register",
        [("read", None, 1, 0, 1), ("write", 1, None, 2, 3)],
        "value from the future",
        "row 0 read 1 by 1.000 s, but row 1's write of 1 began only at 2.000 s",
    ),
    "a read of what was refused": (
        "register",
        [("cas", [3, 1], False, 0, 4), ("read", None, 1, 2, 5)],
        "value from nowhere",
        "row 1 read 1 by 5.000 s, but nobody wrote 1: row 0's cas 3 -> 1 was refused (0.000 s to 4.000 s)",
    ),
    "two in a circle": (
        "register",
        [("cas", [1, 2], True, 0, 10), ("cas", [2, 1], True, 0, 10)],
        "cas in a circle",
        "row 0 replaced 1 -> 2 by cas by 10.000 s, and row 1 replaced 2 -> 1 by cas by 10.000 s: each needs the other to have "
        "come first",
    ),
    "three in a circle, two without an answer": (
        "register",
        [("cas", [1, 2], None, 0, None), ("cas", [2, 3], None, 0, None), ("cas", [3, 1], True, 0, 10)],
        "cas in a circle",
        "row 0 replaced 1 -> 2 by cas, and row 1 replaced 2 -> 3 by cas, and row 2 replaced 3 -> 1 by cas by 10.000 s: each "
        "needs another of them to have come first",
    ),
    "a circle that only a read shows": (
        "register",
        [("cas", [1, 2], None, 0, None), ("cas", [2, 1], None, 0, None), ("read", None, 2, 5, 6)],
        "cas in a circle",
        "row 0 replaced 1 -> 2 by cas, and row 1 replaced 2 -> 1 by cas (for row 2 read 2 by 6.000 s): each needs the other",
    ),
    "a token that came back late": (
        "lock",
        [("acquire", "a", 5, 0, 10), ("release", "a", True, 2, 3), ("acquire", "b", 4, 4, 5)],
        "fencing token went back",
        "row 2 was given the lock with the token 4 by 5.000 s, but row 0 had been given the greater one 5 before: row 1 "
        "released it by 3.000 s, before row 2 asked at 4.000 s",
    ),
    "tokens of two that may have held it": (
        "lock",
        [
            ("acquire", "a", 5, 0, 10),
            ("acquire", "a", 6, 0, 9),
            ("release", "a", True, 2, 3),
            ("release", "a", True, 2, 3),
            ("acquire", "b", 4, 4, 5),
        ],
        "no order",
        "the fencing token 4 does not exceed 6, which was given before",
    ),
    "refused beside an acquire without an answer": (
        "lock",
        [("acquire", "a", None, 0, None), ("acquire", "b", False, 2, 3), ("acquire", "b", True, 4, 5)],
        "acquire refused wrongly",
        "row 1 was refused the lock, from 2.000 s to 3.000 s, but nobody held it then: not row 0 either, who asked for it at "
        "0.000 s, for nobody released it before row 2 was given it by 5.000 s",
    ),
    "refused beside an acquire without an answer, and a release": (
        "lock",
        [
            ("acquire", "a", None, 0, None),
            ("acquire", "b", False, 2, 3),
            ("acquire", "b", True, 4, 5),
            ("release", "a", None, 6, None),
        ],
        "acquire refused wrongly",
        'but nobody can have held it then, whatever became of row 0\'s acquire of "a" (from 0.000 s, outcome unknown): row 2 '
        "was given the lock by 5.000 s",
    ),
    "refused although there was nobody": (
        "lock",
        [("acquire", "a", False, 2, 3), ("acquire", "b", None, 5, None)],
        "acquire refused wrongly",
        "row 0 was refused the lock, from 2.000 s to 3.000 s, but nobody held it then",
    ),
}
"""By name: the model, the history, the anomaly and what is said of it."""


@pytest.mark.parametrize("name", HISTORIES)
def test_a_finding_says_why_and_shows_whom_it_names(name: str) -> None:
    model, rows, anomaly, words = HISTORIES[name]
    finding = findings(model, *rows)[0]
    assert finding.anomaly == anomaly, finding.sentence
    assert words in finding.sentence, finding.sentence


def test_what_refutes_a_refused_lock_is_told_with_who_released_it() -> None:
    rows: list[Row] = [
        ("acquire", "a", True, 0, 1),
        ("release", "a", True, 2, 3),
        ("acquire", "b", None, 2, None),
        ("acquire", "c", False, 4, 5),
        ("acquire", "c", True, 6, 7),
        ("release", "b", None, 8, None),
    ]
    (finding, *_) = findings("lock", *rows)
    assert finding.anomaly == "acquire refused wrongly"


def test_the_same_sentence_is_not_told_twice() -> None:
    rows: list[Row] = [("append", "a", None, 0, 5), ("get", None, "ba", 6, 7), ("append", "b", None, 8, 9)]
    sentences = [finding.sentence for finding in findings("kv", *rows)]
    assert len(sentences) == len(set(sentences))


def test_tokens_of_several_locks_in_a_row_show_all_that_they_name() -> None:
    rows: list[Row] = [
        ("acquire", "a", 7, 0, 20),
        ("release", "a", True, 2, 3),
        ("acquire", "b", 8, 4, 5),
        ("release", "b", True, 6, 7),
        ("acquire", "c", 6, 8, 9),
    ]
    assert {finding.anomaly for finding in findings("lock", *rows)} <= {"fencing token went back"}


def test_what_is_known_by_a_read_only_is_not_told_as_if_it_were_known_before() -> None:
    rows: list[Row] = [("append", "b", None, 1, 5), ("put", "a", None, 8, 10), ("get", None, "ab", 11, 12)]
    assert [finding.prefix_end for finding in findings("kv", *rows)] == [12 * 10**9]


@pytest.mark.parametrize("f", ["put", "append"])
def test_a_failed_write_of_a_key_is_named_and_shown_where_it_is_seen(f: str) -> None:
    failed = {"process": "row 0", "f": f, "value": "b", "call": 2, "return": 7, "type": "fail"}
    result = check([failed, {"process": "row 1", "f": "get", "result": "b", "call": 5, "return": 10}], "kv")
    (finding,) = result.findings
    assert finding.anomaly == "failed write seen"
    assert finding.sentence.startswith(
        f'row 1 read "b" by 10.000 s, but row 0\'s {f} of "b" had been answered with a failure'
    )
    assert [one["process"] for one in finding.operations] == ["row 0", "row 1"]
