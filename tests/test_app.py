"""The replica's HTTP surface, without a server: what `docs/http.md` promises."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from node.app import NESTING_LIMIT, TOKEN_HEADER, control_app, public_app
from node.journal import JournalCorrupt
from node.replica import ProvisionCorrupt, Replica
from node.runtime import Busy
from tests.support.waiting import wait_for

TOKEN = {TOKEN_HEADER: "secret"}
KEEPER = "tests.support.replica_protocols:Keeper"
ALONE: dict[str, Any] = {"run": "r1", "protocol": KEEPER, "machine": "kv", "seed": 1, "replicas": ["n1"]}
THREE = ALONE | {
    "protocol": "tests.support.replica_protocols:Gossip",
    "replicas": ["n1", "n2", "n3"],
    "peers": {"n2": "http://127.0.0.1:9", "n3": "http://127.0.0.1:9"},
}


class House:
    """A replica with its two apps."""

    def __init__(self, folder: Path) -> None:
        self.crashes: list[tuple[int, str]] = []
        self.shutdowns: list[bool] = []
        self.folder = folder
        self.replica = Replica("n1", folder, crash=lambda code, sentence: self.crashes.append((code, sentence)))
        self.public: FlaskClient = public_app(self.replica).test_client()
        self.control: FlaskClient = control_app(
            self.replica, "secret", lambda: self.shutdowns.append(True)
        ).test_client()

    def provision(self, **changes: Any) -> Any:
        return self.control.post("/control/provision", json=ALONE | changes, headers=TOKEN)

    def op(self, f: str = "write", key: str = "x", value: Any = 1, **changes: Any) -> Any:
        operation = {"f": f, "key": key, "value": value}
        body = {"run": "r1", "client": "c1", "sequence": 1, "operation": operation, "timeout_seconds": 20}
        return self.public.post("/op", json=body | changes)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.replica.stop()


@pytest.fixture
def running(house: House) -> House:
    assert house.provision().status_code == 204
    return house


# Operations


def test_operations_are_carried_out(running: House) -> None:
    assert running.op("write", value=[1, {"a": None}]).get_json() == {"type": "ok", "result": None}
    answer = running.op("read", value=None)
    assert (answer.status_code, answer.get_json()) == (200, {"type": "ok", "result": [1, {"a": None}]})


def definite(answer: Any) -> tuple[int, str]:
    """The status of an answer that says that certainly nothing happened."""
    assert answer.get_json()["type"] == "fail"
    error = answer.get_json()["error"]
    assert error and "\n" not in error
    return answer.status_code, error


def test_a_replica_that_is_not_provisioned_fails_definitely(house: House) -> None:
    assert definite(house.op()) == (503, "n1 is not provisioned")


def test_an_operation_of_another_run_never_reaches_the_protocol(running: House) -> None:
    assert definite(running.op(run="r0"))[0] == 409
    assert running.op("read", value=None).get_json() == {"type": "ok", "result": None}


@pytest.mark.parametrize("f", ["increment", ""])
def test_an_operation_that_the_machine_does_not_know_is_refused(running: House, f: str) -> None:
    assert definite(running.op(f))[0] == 400


@pytest.mark.parametrize(
    "changes",
    [
        {"run": None},
        {"client": 7},
        {"sequence": "1"},
        {"sequence": True},
        {"operation": "write"},
        {"operation": {"f": "read", "key": "x"}},
        {"operation": {"f": "read", "key": 7, "value": None}},
        {"operation": {"f": "read", "key": "x", "value": None, "more": 1}},
        {"timeout_seconds": 0},
        {"timeout_seconds": True},
        {"timeout_seconds": "soon"},
    ],
)
def test_a_malformed_operation_is_refused(running: House, changes: dict[str, Any]) -> None:
    assert definite(running.op(**changes))[0] == 400
    assert running.crashes == []


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"\xff", b'{"timeout_seconds":NaN}', b'{"x":1e999}', b"[" * 100_000],
)
def test_a_body_that_is_no_json_object_is_refused(running: House, body: bytes) -> None:
    assert definite(running.public.post("/op", data=body))[0] == 400
    assert running.public.post("/messages", data=body).status_code == 400


def test_a_value_nested_too_deep_is_refused_before_it_can_do_harm(running: House) -> None:
    value: Any = 1
    for _ in range(NESTING_LIMIT):
        value = [value]
    assert running.op("write", value=value).status_code == 200
    assert running.op("read", value=None).get_json()["result"] == value
    assert definite(running.op("write", value={"deeper": value}))[0] == 400
    assert running.crashes == []


@pytest.mark.parametrize("value", ["\ud800", "größer ✓", "\0", 10**400, -0.0, ""])
def test_any_json_value_comes_back_as_it_was(running: House, value: Any) -> None:
    assert running.op("write", value=value).status_code == 200
    assert running.op("read", value=None).get_json()["result"] == value


def test_too_busy_is_definite(running: House, monkeypatch: pytest.MonkeyPatch) -> None:
    assert running.replica.life

    def busy(*_: object) -> bytes:
        raise Busy("224 requests are open already")

    monkeypatch.setattr(running.replica.life.runtime, "perform", busy)
    assert definite(running.op()) == (503, "n1 is too busy: 224 requests are open already")


def test_an_answer_that_does_not_come_is_info(house: House) -> None:
    house.provision(protocol="tests.support.replica_protocols:Plain")
    answer = house.op(timeout_seconds=0.05)
    assert (answer.status_code, answer.get_json()["type"]) == (200, "info")


# Messages


def messages(house: House, **changes: Any) -> Any:
    body = {"run": "r1", "from": "n2", "to": "n1", "messages": [{"key": "x", "value": 5}]}
    return house.public.post("/messages", json=body | changes)


def test_messages_reach_the_protocol(house: House) -> None:
    assert house.provision(**THREE).status_code == 204
    answer = messages(house)
    assert (answer.status_code, answer.data) == (200, b"")
    wait_for(lambda: house.op("read", value=None).get_json()["result"] == 5)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"run": "r0"}, 409),
        ({"to": "n3"}, 409),
        ({"from": "n1"}, 409),
        ({"from": "n9"}, 409),
        ({"messages": {}}, 400),
        ({"messages": [1]}, 400),
        ({"from": None}, 400),
    ],
)
def test_messages_that_are_not_for_this_replica_in_this_run_are_refused(
    house: House, changes: dict[str, Any], status: int
) -> None:
    house.provision(**THREE)
    assert messages(house, **changes).status_code == status
    assert house.op("read", value=None).get_json()["result"] is None


def test_messages_to_a_replica_without_a_provision_or_room_are_lost(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert messages(house).status_code == 503
    house.provision(**THREE)
    assert house.replica.life

    def busy(*_: object) -> None:
        raise Busy("the mailbox is full")

    monkeypatch.setattr(house.replica.life.runtime, "deliver", busy)
    assert messages(house).status_code == 503


# Status and ping


def test_status_before_provisioning_is_all_null(house: House) -> None:
    for client in (house.public, house.control):
        status = client.get("/status").get_json()
        assert status["id"] == "n1"
        assert {name: value for name, value in status.items() if value is not None}.keys() == {"id", "host"}


def test_status_tells_of_protocol_and_host(house: House) -> None:
    house.provision(**THREE)
    house.op()
    status = house.public.get("/status").get_json()
    assert set(status) == {
        *("id", "run", "protocol", "machine", "role", "leader", "term", "log_index", "commit_index", "digest"),
        *("details", "host"),
    }
    assert (status["run"], status["machine"], status["role"]) == ("r1", "kv", "replica")
    host = status["host"]
    assert set(host) == {
        *("mailbox", "handled", "open_requests", "journal_bytes", "journal_records", "syncs"),
        *("uptime_seconds", "clock", "clock_seconds", "links"),
    }
    assert (host["journal_records"], host["syncs"], host["handled"], host["open_requests"]) == (1, 1, 1, 0)
    assert set(host["links"]) == {"n2", "n3"}
    assert set(host["links"]["n2"]) == {"sent", "delivered", "dropped", "queued"}
    assert status == house.control.get("/status").get_json() | {
        "host": status["host"],
        "details": status["details"],
    }


def test_ping_answers_on_both_ports(house: House) -> None:
    assert [client.get("/ping").status_code for client in (house.public, house.control)] == [204, 204]


# Control


@pytest.mark.parametrize("headers", [{}, {TOKEN_HEADER: ""}, {TOKEN_HEADER: "secreT"}, {TOKEN_HEADER: "größer"}])
@pytest.mark.parametrize("path", ["provision", "clock", "ping", "shutdown", "nothing"])
def test_without_the_token_everything_under_control_is_refused(house: House, headers: Any, path: str) -> None:
    answer = house.control.post(f"/control/{path}", json=ALONE, headers=headers)
    assert answer.status_code == 403
    assert house.shutdowns == [] and house.replica.life is None


def test_the_public_port_has_no_control(house: House) -> None:
    assert house.public.post("/control/shutdown", headers=TOKEN).status_code == 404


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"protocol": "multi-paxso"}, "did you mean 'multi-paxos'"),
        ({"protocol": "tests.support.replica_protocols:Nothing"}, "cannot import"),
        ({"protocol": "node.machines.kv:KeyValue"}, "not a protocol"),
        ({"machine": "kw"}, "did you mean 'kv'"),
        ({"options": {"speed": 9}}, "speed"),
        ({"replicas": ["n2"]}, "n1 is not among"),
        ({"replicas": ["n1", "n2"]}, "peers of n1 must be n2, and are none"),
        ({"replicas": ["n1", "two"]}, "replicas.1"),
        ({"replicas": ["n1", "n2"], "peers": {"n2": "nowhere"}}, "'nowhere' is not the address"),
        ({"seed": "x"}, "seed"),
        ({"run": ""}, "run"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_provision_that_makes_no_sense_changes_nothing(
    running: House, changes: dict[str, Any], expected: str
) -> None:
    running.op(value=7)
    answer = running.provision(**changes)
    assert answer.status_code == 400
    error = answer.get_json()["error"]
    assert expected in error and "\n" not in error
    assert running.op("read", value=None).get_json()["result"] == 7


def test_provisioning_wipes_what_was_there(running: House) -> None:
    running.op(value=7)
    running.control.post("/control/clock", json={"offset_seconds": 9, "rate": 2}, headers=TOKEN)
    assert running.provision(run="r2").status_code == 204
    assert definite(running.op())[0] == 409
    assert running.op("read", value=None, run="r2").get_json()["result"] is None
    host = running.public.get("/status").get_json()["host"]
    assert host["journal_records"] == 0 and host["clock"] == {"offset_seconds": 0, "rate": 1}


def test_a_restarted_replica_comes_back_with_what_it_had(running: House) -> None:
    running.op(value=7)
    chances = [running.public.get("/status").get_json()["details"]["chance"]]
    for _ in range(2):
        running.replica.stop()
        running = House(running.folder)
        running.replica.come_back()
        assert running.op("read", value=None).get_json()["result"] == 7
        chances.append(running.public.get("/status").get_json()["details"]["chance"])
    running.replica.stop()
    assert len(set(chances)) == 3, "every incarnation draws its own chances"


def test_a_replica_that_was_never_provisioned_comes_back_with_nothing(house: House) -> None:
    house.replica.come_back()
    assert house.replica.life is None


def test_a_kill_in_the_middle_of_wiping_leaves_a_replica_without_a_provision(
    running: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.op(value=7)
    monkeypatch.setattr("node.replica.Journal.create", lambda path: (_ for _ in ()).throw(OSError("killed here")))
    assert running.provision(run="r2").status_code == 500
    monkeypatch.undo()
    again = House(running.folder)
    again.replica.come_back()
    assert again.replica.life is None


def test_a_lost_journal_and_an_unreadable_provision_are_refused(running: House) -> None:
    running.op(value=7)
    running.replica.stop()
    (running.folder / "journal").unlink()
    with pytest.raises(JournalCorrupt):
        House(running.folder).replica.come_back()
    (running.folder / "provision.json").write_text("{")
    with pytest.raises(ProvisionCorrupt, match="provision"):
        House(running.folder).replica.come_back()


def test_a_torn_end_is_told_in_the_log(running: House, caplog: pytest.LogCaptureFixture) -> None:
    running.op(value=7)
    running.replica.stop()
    with (running.folder / "journal").open("ab") as journal:
        journal.write(b"torn")
    again = House(running.folder)
    with caplog.at_level(logging.WARNING):
        again.replica.come_back()
    assert "last 4 bytes" in caplog.text
    assert again.op("read", value=None).get_json()["result"] == 7
    again.replica.stop()


def test_the_clock_can_be_skewed(running: House) -> None:
    answer = running.control.post("/control/clock", json={"offset_seconds": 1.5, "rate": 0.5}, headers=TOKEN)
    assert answer.status_code == 204
    assert running.public.get("/status").get_json()["host"]["clock"] == {"offset_seconds": 1.5, "rate": 0.5}


@pytest.mark.parametrize("body", [{"rate": 0}, {"rate": -1}, {"offset_seconds": "x"}, {"speed": 1}])
def test_an_impossible_clock_is_refused(running: House, body: dict[str, Any]) -> None:
    answer = running.control.post("/control/clock", json=body, headers=TOKEN)
    assert answer.status_code == 400 and answer.get_json()["error"]
    assert running.public.get("/status").get_json()["host"]["clock"] == {"offset_seconds": 0, "rate": 1}


def test_a_peer_is_pinged_over_the_replicas_own_link(house: House) -> None:
    house.provision(**THREE)
    answer = house.control.post("/control/ping", json={"peer": "n2", "timeout_seconds": 1}, headers=TOKEN)
    assert answer.status_code == 200
    assert answer.get_json()["outcome"] == "refused" and set(answer.get_json()) == {"outcome", "seconds", "detail"}


@pytest.mark.parametrize("body", [{"peer": "n7", "timeout_seconds": 1}, {"peer": "n2"}, {"timeout_seconds": 1}])
def test_a_ping_of_nobody_is_refused(house: House, body: dict[str, Any]) -> None:
    house.provision(**THREE)
    answer = house.control.post("/control/ping", json=body, headers=TOKEN)
    assert answer.status_code == 400 and "error" in answer.get_json()


def test_shutdown_is_answered_and_passed_on(house: House) -> None:
    assert house.control.post("/control/shutdown", headers=TOKEN).status_code == 204
    assert house.shutdowns == [True]


@pytest.mark.parametrize(("method", "path", "status"), [("get", "/nothing", 404), ("get", "/op", 405)])
def test_what_is_not_there_is_told_in_json(house: House, method: str, path: str, status: int) -> None:
    answer = getattr(house.public, method)(path)
    assert answer.status_code == status and "error" in json.loads(answer.data)


def test_a_handler_that_raises_ends_the_replica(running: House) -> None:
    answer = running.op(key="broken", timeout_seconds=0.5)
    assert answer.get_json()["type"] == "info"
    assert running.crashes and running.crashes[0][0] == 5
