"""The table of the clients' last requests."""

from __future__ import annotations

import json

from node.protocol import Outcome
from node.protocols.client_table import ClientTable


def test_the_last_request_is_answered_again_and_an_earlier_one_is_forgotten() -> None:
    table = ClientTable()
    assert table.outcome("c", 1) is None
    table.note("c", 1, "a")
    table.note("c", 3, "b")
    assert table.outcome("c", 3) == Outcome.ok("b")
    forgotten = table.outcome("c", 1)
    assert forgotten is not None
    assert forgotten.type == "info"
    assert table.outcome("c", 4) is None
    assert table.outcome("d", 1) is None


def test_a_result_may_be_null() -> None:
    table = ClientTable()
    table.note("c", 0, None)
    assert table.covers("c", 0)
    assert table.outcome("c", 0) == Outcome.ok(None)


def test_it_travels_as_json() -> None:
    table = ClientTable()
    table.note("c", 7, [1, None])
    assert ClientTable(json.loads(json.dumps(table))).outcome("c", 7) == Outcome.ok([1, None])
