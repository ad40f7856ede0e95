"""Whatever history Hypothesis can think of: the verdict is that of brute force, with a witness or a proof to show for it.

The operations are drawn from small alphabets, with any results that the model's clients may be given, at any times. What
fails is shrunk to the smallest history that fails.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.checkers.checker import Limits
from harness.checkers.linearizable import Linearizable
from harness.checkers.linearizable.budget import Budget
from harness.checkers.linearizable.decide import decide
from harness.checkers.linearizable.witness import replay, witness
from harness.checkers.operations import Operation, Record, from_intervals
from harness.models import MODELS
from tests.support.brute import linearizable, operation
from tests.support.soundness import histories

ALPHABETS: dict[str, list[tuple[str, list[Any], list[Any]]]] = {
    "register": [
        ("read", [None], [None, 1, 2]),
        ("write", [1, 2, 3], [None]),
        ("cas", [[None, 1], [1, 2], [2, 3], [2, 2]], [True, False]),
    ],
    "kv": [
        ("get", [None], [None, "a", "ab", "b", "ba", "aab"]),
        ("put", ["a", "b"], [None]),
        ("append", ["a", "b", "c"], [None]),
        ("delete", [None], [None, True, False]),
    ],
    "write-once": [("read", [None], [None, 1, 2]), ("write", [1, 2], [True, False, None])],
    "counter": [("read", [None], [0, 1, 2, 3, 4]), ("add", [1, 2, 0, -1], [None, 1, 2, 3])],
    "set": [
        ("read", [None], [[], [1], [2], [1, 2], [2, 1]]),
        ("add", [1, 2], [None, True, False]),
        ("remove", [1], [None, True, False]),
        ("contains", [1, 2], [True, False]),
    ],
    "queue": [("enqueue", [1, 2, 3], [None]), ("dequeue", [None], [None, 1, 2, 3])],
    "stack": [("push", [1, 2, 3], [None]), ("pop", [None], [None, 1, 2, 3])],
    "lock": [("acquire", ["a", "b", None], [True, False, 1, 2]), ("release", ["a", "b", None], [True, False])],
    "log": [("append", [1, 2, 3], [None, 0, 1]), ("read", [None], [[], [1], [1, 2], [2, 1], [1, 2, 3]])],
    "auction": [
        ("register", ["ann", "bob"], [True, False]),
        ("open", [["ann", "lot"]], [True, "not registered", "there is one already"]),
        (
            "bid",
            [["bob", "lot", 1], ["ann", "lot", 2]],
            [True, "too low", "no such auction", "closed", "not registered"],
        ),
        ("close", [["ann", "lot"]], [["bob", 1], [None, 0], ["ann", 2], "not registered", "no such auction"]),
        ("look", ["lot"], [None, ["open", "bob", 1], ["closed", "bob", 1], ["open", None, 0]]),
    ],
    "mailbox": [
        ("send", ["m", "n"], [None]),
        ("mark", ["m"], [True, False]),
        ("list", [None], [[], [["m", False]], [["m", True], ["n", False]], [["n", False], ["m", False]]]),
    ],
}


def test_every_model_has_an_alphabet() -> None:
    assert set(ALPHABETS) == set(MODELS)


@st.composite
def operations_of(draw: st.DrawFn, name: str) -> list[Operation]:
    made = []
    for number in range(draw(st.integers(1, 6))):
        f, values, results = draw(st.sampled_from(ALPHABETS[name]))
        call, crashed = draw(st.integers(0, 12)), draw(st.booleans()) and draw(st.booleans())
        returned = None if crashed else call + draw(st.integers(0, 6))
        result = None if crashed else draw(st.sampled_from(results))
        made.append(operation(number, f, draw(st.sampled_from(values)), result, call, returned))
    return from_intervals(made)


@pytest.mark.parametrize("name", ALPHABETS)
def test_the_verdict_is_right_and_can_be_shown(name: str) -> None:
    model = MODELS[name]()

    @settings(max_examples=histories(30, at_most=2000), deadline=None, database=None)
    @given(operations_of(name))
    def compare(history: list[Operation]) -> None:
        assert [model.problem(one) for one in history] == [None] * len(history)
        budget = Budget(Limits())
        truth = linearizable(history, model)
        assert decide(history, model, budget).linearizable is truth
        order = witness(history, model, budget)
        if truth:
            assert order is not None
            assert replay(order, history, model) is None
        else:
            assert order is None
            (finding, *_) = Linearizable().check_record(Record(history), model, Limits()).findings
            assert finding.sentence
            assert finding.minimal

    compare()
