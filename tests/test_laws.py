"""The witness: each kind of claim, what it lets pass, and the sentence that says what can't be."""

from __future__ import annotations

from typing import Any

import pytest

from harness.simulation.laws import Broken, Witness
from node.invariants import (
    Accepted,
    Agreed,
    Answers,
    CarriedOut,
    Claim,
    Decided,
    Exclusive,
    Grows,
    LeavesOut,
    Relied,
    Serves,
    Stored,
    TakesPart,
)
from node.protocol import Request

LAW = "a law"


def tell(witness: Witness, *told: tuple[str, Claim]) -> Witness:
    for time_ns, (replica, claim) in enumerate(told):
        witness.told(time_ns, replica, [claim])
    return witness


def acknowledge(
    witness: Witness, replica: str, client: str, sequence: int, f: str = "write", result: Any = None
) -> None:
    witness.acknowledged(50, replica, Request(client, sequence, {"f": f, "key": "x", "value": 1}, token=0), result)


def sentences(witness: Witness) -> list[str]:
    return [broken.sentence for broken in witness.broken]


def test_what_is_agreed_upon_never_changes() -> None:
    witness = tell(Witness(), ("n1", Agreed(LAW, "slot 7", ["a"])), ("n2", Agreed(LAW, "slot 7", ["a"])))
    assert not witness.broken
    tell(witness, ("n1", Agreed(LAW, "slot 8", ["b"])), ("n3", Agreed(LAW, "slot 7", ["b"])))
    assert witness.broken == [Broken(LAW, "slot 7: n1 has a and n3 has b", 1, ("n1", "n3"))]


def test_a_replica_that_contradicts_itself_is_named_once() -> None:
    witness = tell(Witness(), ("n1", Agreed(LAW, "slot 7", 1)), ("n1", Agreed(LAW, "slot 7", 2)))
    assert witness.broken == [Broken(LAW, "slot 7: n1 had 1 and now has 2", 1, ("n1",))]


def test_the_same_place_of_another_law_is_another_place() -> None:
    assert not tell(Witness(), ("n1", Agreed("one law", 7, 1)), ("n1", Agreed("another", 7, 2))).broken


def test_of_each_law_the_first_breach_is_kept() -> None:
    claims = [("n1", Agreed(law, place, value)) for law in ("one", "two") for place in (7, 8) for value in (1, 2)]
    assert [broken.law for broken in tell(Witness(), *claims).broken] == ["one", "two"]


def test_long_values_lose_their_middle() -> None:
    witness = tell(Witness(), ("n1", Agreed(LAW, "slot 7", "x" * 5_000)), ("n2", Agreed(LAW, "slot 7", "y")))
    assert " ... " in witness.broken[0].sentence and len(witness.broken[0].sentence) < 250


def test_what_grows_never_goes_back_on_one_replica_also_over_a_kill() -> None:
    witness = tell(
        Witness(), ("n1", Grows(LAW, (3, 1))), ("n2", Grows(LAW, (2, 2))), ("n1", Grows(LAW, (3, 2), "ballot"))
    )
    witness.killed("n1")
    assert not witness.broken
    tell(witness, ("n1", Grows(LAW, (3, 1), "ballot")))
    assert sentences(witness) == ["n1 goes back from ballot 3.2 to ballot 3.1"]


def test_a_token_belongs_to_one_replica() -> None:
    witness = tell(Witness(), ("n1", Exclusive(LAW, "ballot 3")), ("n1", Exclusive(LAW, "ballot 3")))
    assert not witness.broken
    tell(witness, ("n2", Exclusive(LAW, "ballot 3")))
    assert sentences(witness) == ["ballot 3: n1 and n2 both use it"]


def test_a_token_belongs_to_one_life_of_a_replica() -> None:
    witness = tell(Witness(), ("n1", Exclusive(LAW, "ballot 3")))
    witness.killed("n1")
    tell(witness, ("n1", Exclusive(LAW, "ballot 3")))
    assert sentences(witness) == ["ballot 3: n1 uses it, and has used it before it was restarted"]


def test_what_enough_replicas_have_accepted_under_one_ballot_is_decided() -> None:
    votes = [("n1", Accepted(LAW, "slot 7", "ballot 1", "a")), ("n2", Accepted(LAW, "slot 7", "ballot 1", "a"))]
    assert not tell(Witness(), *votes, ("n3", Decided(LAW, "slot 7", "a", needed=2))).broken


@pytest.mark.parametrize(
    ("votes", "accepted"),
    [
        ([], "nobody"),
        ([("n1", "ballot 1", "a"), ("n1", "ballot 1", "a")], "n1 under ballot 1"),
        ([("n1", "ballot 1", "a"), ("n2", "ballot 2", "a")], "n1 under ballot 1; n2 under ballot 2"),
        ([("n1", "ballot 1", "a"), ("n2", "ballot 2", "b")], "n1 under ballot 1"),
    ],
    ids=["nobody", "one twice", "under different ballots", "something else"],
)
def test_what_too_few_have_accepted_is_not_decided(votes: list[tuple[str, str, str]], accepted: str) -> None:
    witness = tell(Witness(), *((voter, Accepted(LAW, "slot 7", ballot, value)) for voter, ballot, value in votes))
    tell(witness, ("n3", Decided(LAW, "slot 7", "a", needed=2)))
    assert sentences(witness) == [
        "slot 7: n3 takes a as decided, which takes 2 replicas under the same number; it was accepted by " + accepted
    ]


def test_one_ballot_has_one_value_for_a_place() -> None:
    witness = tell(Witness(), *((name, Accepted(LAW, "slot 7", "ballot 1", name)) for name in ("n1", "n2")))
    assert sentences(witness) == ["slot 7, ballot 1: n1 has n1 and n2 has n2"]


def test_two_values_are_never_both_decided() -> None:
    witness = Witness()
    for ballot, value in (("ballot 1", "a"), ("ballot 2", "b")):
        tell(witness, *((name, Accepted(LAW, "slot 7", ballot, value)) for name in ("n1", "n2")))
    tell(witness, ("n1", Decided(LAW, "slot 7", "a", 2)), ("n2", Decided(LAW, "slot 7", "b", 2)))
    assert sentences(witness) == ["slot 7: n1 has a and n2 has b"]


def test_what_is_relied_on_is_stored_by_each() -> None:
    witness = tell(Witness(), ("n2", Stored(LAW, "reign", 5)), ("n3", Stored(LAW, "reign", 4)))
    tell(witness, ("n1", Relied(LAW, "reign", 4, ("n2", "n3"))), ("n1", Relied(LAW, "another", -1, ("n2", "n3"))))
    assert not witness.broken
    tell(witness, ("n1", Relied(LAW, "reign", 5, ("n2", "n3"))))
    assert sentences(witness) == ["n1 acknowledges up to 5 of reign, and n3 has it up to 4"]


def test_a_request_is_carried_out_in_one_place_with_one_result() -> None:
    claims = [("n1", CarriedOut(LAW, "slot 7", "c", 1, True)), ("n2", CarriedOut(LAW, "slot 7", "c", 1, True))]
    assert not tell(Witness(), *claims, ("n1", CarriedOut(LAW, "slot 8", "c", 2, True))).broken
    witness = tell(Witness(), *claims, ("n1", CarriedOut(LAW, "slot 9", "c", 1, True)))
    assert sentences(witness) == ["request 1 of c: carried out by n1 in slot 7, and by n1 in slot 9"]
    witness = tell(Witness(), *claims, ("n3", CarriedOut(LAW, "slot 7", "c", 1, False)))
    assert sentences(witness) == ["request 1 of c returned true on n1 and false on n3"]


def test_what_is_acknowledged_was_carried_out_with_that_result() -> None:
    witness = tell(Witness(queries=["read"]), ("n1", Answers(LAW)), ("n2", CarriedOut(LAW, "slot 7", "c", 1, True)))
    acknowledge(witness, "n1", "c", 1, result=True)
    acknowledge(witness, "n1", "c", 2, f="read", result=5)
    acknowledge(witness, "n2", "c", 2)  # it has not said that it keeps this law
    assert not witness.broken
    acknowledge(witness, "n1", "c", 2)
    assert sentences(witness) == ["n1 tells c that its request 2 is done, and nobody has carried it out"]


def test_another_result_than_that_of_the_execution_is_told() -> None:
    witness = tell(Witness(), ("n1", Answers(LAW)), ("n2", CarriedOut("once", "slot 7", "c", 1, True)))
    acknowledge(witness, "n1", "c", 1, result=False)
    assert witness.broken == [
        Broken(LAW, "n1 tells c that its request 1 returned false; on n2 it returned true", 50, ("n2", "n1"))
    ]


def test_who_begins_to_serve_knows_what_was_acknowledged_when_it_stood() -> None:
    witness = Witness(queries=["read"])
    acknowledge(witness, "n1", "c", 4)
    acknowledge(witness, "n1", "d", 9, f="read")
    tell(witness, ("n2", Exclusive(LAW, "ballot 3")))
    acknowledge(witness, "n3", "c", 5)  # by somebody who was faster, with a higher ballot
    tell(witness, ("n2", Serves(LAW, "ballot 3", {"c": 4})))
    assert not witness.broken
    tell(witness, ("n2", Serves(LAW, "ballot 3", {"c": 3})))
    assert sentences(witness) == [
        "n2 begins to serve with ballot 3 and has lost request 4 of c, which n1 had acknowledged: "
        "the last one that it knows is 3"
    ]


def test_a_client_that_nobody_remembers_was_lost_too() -> None:
    witness = Witness()
    acknowledge(witness, "n1", "c", 4)
    tell(witness, ("n2", Exclusive(LAW, "ballot 3")), ("n2", Serves(LAW, "ballot 3", {})))
    assert sentences(witness)[0].endswith("it knows none of this client")


@pytest.mark.parametrize("first", ["the belief", "the other's word"])
def test_a_wrong_belief_ends_the_laws_that_assume_there_is_none(first: str) -> None:
    told: list[tuple[str, Claim]] = [("n1", TakesPart(True)), ("n1", LeavesOut(("n2",))), ("n2", TakesPart(True))]
    witness = tell(Witness(), *(told if first == "the belief" else reversed(told)))
    assert witness.detector_wrong == "n1 believes at 0.000 s that n2 is dead; it isn't"
    acknowledge(witness, "n1", "c", 4)
    tell(witness, ("n2", Exclusive(LAW, "reign")), ("n2", Serves(LAW, "reign", {}, assumes_detector=True)))
    assert not witness.broken
    tell(witness, ("n2", Serves(LAW, "reign", {})))
    assert witness.broken, "another law doesn't assume it"


def test_to_leave_out_who_is_dead_or_outside_is_right() -> None:
    witness = tell(Witness(), ("n1", TakesPart(True)), ("n2", TakesPart(True)), ("n3", TakesPart(True)))
    witness.killed("n2")
    tell(witness, ("n3", TakesPart(False)), ("n1", LeavesOut(("n2", "n3"))))
    assert witness.detector_wrong is None
    tell(witness, ("n1", LeavesOut(())), ("n2", TakesPart(True)), ("n3", TakesPart(True)))
    assert witness.detector_wrong is None, "it was taken in before it said so"
    acknowledge(witness, "n1", "c", 4)
    tell(witness, ("n2", Exclusive(LAW, "reign")), ("n2", Serves(LAW, "reign", {}, assumes_detector=True)))
    assert witness.broken


def test_what_a_dead_replica_believed_is_of_no_account() -> None:
    witness = tell(Witness(), ("n1", TakesPart(True)), ("n1", LeavesOut(("n2",))))
    witness.killed("n1")
    tell(witness, ("n2", TakesPart(True)), ("n1", TakesPart(True)))
    assert witness.detector_wrong is None


def test_after_a_lost_disk_nothing_is_a_law() -> None:
    witness = tell(Witness(), ("n1", Grows(LAW, 3)))
    witness.wiped(2_500_000_000, "n1")
    tell(witness, ("n1", Grows(LAW, 1)))
    assert not witness.broken and witness.void == "n1 lost its disk at 2.500 s"
