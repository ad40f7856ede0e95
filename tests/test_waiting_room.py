"""Who waits is told what is certain, once, and everybody who asked for the same is told the same."""

from __future__ import annotations

import pytest

from node.protocol import Outcome, Request
from node.protocols.client_table import ClientTable
from node.protocols.waiting_room import WaitingRoom


class Desk:
    """As much of an `Io` as a waiting room needs."""

    def __init__(self) -> None:
        self.time = 0.0
        self.replies: dict[int, Outcome] = {}

    def now(self) -> float:
        return self.time

    def reply(self, request: Request, outcome: Outcome) -> None:
        assert request.token not in self.replies, "told twice"
        self.replies[request.token] = outcome


class Place:
    def __init__(self) -> None:
        self.desk = Desk()
        self.clients = ClientTable()
        self.room = WaitingRoom(self.desk, self.clients, lambda: "n2")  # type: ignore[arg-type]
        self._tokens = 0

    def admit(self, client: str, sequence: int, slot: int | None = None) -> int:
        """The token of the request."""
        self._tokens += 1
        self.room.admit(Request(client, sequence, {"f": "read", "key": "x", "value": None}, self._tokens))
        if slot is not None:
            self.room.put(slot, [(client, sequence)])
        return self._tokens

    def carry_out(self, client: str, sequence: int, result: object) -> None:
        self.clients.note(client, sequence, result)
        self.room.carried_out((client, sequence))


@pytest.fixture
def place() -> Place:
    return Place()


def test_all_deliveries_hear_of_the_one_execution(place: Place) -> None:
    first, again, other = place.admit("a", 1, 7), place.admit("a", 1), place.admit("b", 1, 8)
    assert len(place.room) == 2 and ("a", 1) in place.room
    place.carry_out("a", 1, 5)
    place.room.decided(7, "another stands there")
    assert place.desk.replies == {first: Outcome.ok(5), again: Outcome.ok(5)}
    assert other not in place.desk.replies and list(place.room) == [("b", 1)]


def test_whoever_stood_where_another_was_decided_is_told_so(place: Place) -> None:
    beaten, later = place.admit("a", 1, 7), place.admit("b", 1, 8)
    place.room.decided(7, "another stands there")
    assert place.desk.replies == {beaten: Outcome.fail("another stands there", leader="n2")}
    place.room.decided(7, "another stands there")
    place.carry_out("b", 1, None)
    assert place.desk.replies[later] == Outcome.ok(None)


def test_a_request_that_was_put_elsewhere_since_waits_for_that(place: Place) -> None:
    token = place.admit("a", 1, 7)
    place.room.put(9, [("a", 1)])
    place.room.decided(7, "another stands there")
    assert place.desk.replies == {}
    place.room.decided_up_to(9, "another stands there")
    assert place.desk.replies[token].type == "fail"


def test_a_snapshot_settles_all_that_it_covers(place: Place) -> None:
    done, lost, open_ = place.admit("a", 1, 3), place.admit("b", 1, 4), place.admit("c", 1, 5)
    place.clients.restore({"a": [1, "x"]})
    place.room.decided_up_to(4, "another stands there")
    assert place.desk.replies[done] == Outcome.ok("x")
    assert place.desk.replies[lost].type == "fail"
    assert open_ not in place.desk.replies


def test_only_what_was_put_somewhere_is_given_up_and_nobody_says_that_it_failed(place: Place) -> None:
    put, queued = place.admit("a", 1, 3), place.admit("b", 1)
    place.desk.time = 4.0
    young = place.admit("c", 1, 4)
    place.desk.time = 10.5
    place.room.give_up(10.0, "not yet decided")
    assert place.desk.replies == {put: Outcome.info("not yet decided", leader="n2")}
    place.room.turn_away(("b", 1), "not the leader")
    assert place.desk.replies[queued] == Outcome.fail("not the leader", leader="n2")
    place.room.turn_away(("nobody", 1), "not the leader")
    place.carry_out("a", 1, 1)  # nobody waits for it any more
    assert young not in place.desk.replies and len(place.room) == 1
