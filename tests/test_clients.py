"""Clients against a made-up service: outcomes, repetition, routes, retirement. Wrong outcomes make wrong verdicts."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.audit import audit
from harness.clients import Clients, converse
from harness.conversation import Route, Tried, carry_out
from harness.generator import successor
from harness.history import Event, History, read_history
from harness.replica_session import ReplicaSession
from harness.spec import ClientsSpec
from harness.workloads.register import Register, RegisterOptions
from node.machine import Operation
from node.protocol import Outcome
from tests.support.fake_service import FakeService

WRITE: Operation = {"f": "write", "key": "x", "value": 1}
LIMIT_SECONDS = 10.0


@pytest.fixture
def service() -> Iterator[FakeService]:
    with FakeService(3) as service:
        yield service


@pytest.fixture
def session(service: FakeService) -> Iterator[ReplicaSession]:
    session = ReplicaSession(service.addresses, "run", 0.3)
    yield session
    session.close()


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    history = History(tmp_path / "history.jsonl")
    yield history
    history.close()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that are not about the waits between attempts."""
    monkeypatch.setattr("harness.conversation._BACKOFF_SECONDS", (0.001, 0.005))


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + LIMIT_SECONDS
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.005)


def make_clients(service: FakeService, history: History, **spec: Any) -> Clients:
    fields = {"processes": 6, "timeout_seconds": 0.3, "rate_per_second": 0.0, **spec}
    workload = Register(RegisterOptions(operations_per_key=20), fields["processes"], 1)
    return Clients(workload, ClientsSpec(**fields), service.addresses, "run", 1, history)


def events_of(history: History) -> list[Event]:
    events = list(read_history(history.path))
    assert audit(events) == []
    return events


# One attempt: what came of it


@pytest.mark.parametrize(
    ("mode", "outcome", "executed"),
    [
        ("ok", "ok", True),
        ("fail", "fail", False),
        ("fail 503", "fail", False),
        ("info", "info", True),
        ("hang", "info", True),
        ("hang before", "info", False),
        ("close", "info", True),
        ("close before", "info", False),
        ("garbage", "info", True),
        ("nan", "info", True),
        ("ok 500", "info", True),
        ("redirect", "info", False),
        ("trickle", "info", True),
    ],
)
def test_only_a_definite_answer_is_definite(
    service: FakeService, session: ReplicaSession, mode: str, outcome: str, executed: bool
) -> None:
    service.modes["n1"] = mode
    answer = session.ask("n1", "p0", 0, WRITE)
    assert answer.type == outcome
    assert ("x" in service.values) == executed
    assert len(service.received) == 1, "sent once, whatever came of it"
    assert (answer.error is None) == (outcome == "ok")


def test_a_refused_connection_is_a_definite_failure(service: FakeService, session: ReplicaSession) -> None:
    service.refuse("n1")
    answer = session.ask("n1", "p0", 0, WRITE)
    assert answer == Outcome.fail("connection refused")


def test_a_connection_that_was_kept_and_is_gone_is_made_anew(service: FakeService, session: ReplicaSession) -> None:
    assert session.ask("n1", "p0", 0, WRITE).type == "ok"
    service.refuse("n1")
    assert session.ask("n1", "p0", 1, WRITE).type == "fail"
    service.accept("n1")
    assert session.ask("n1", "p0", 2, WRITE).type == "ok"
    assert service.requests_of("p0") == [("n1", 0), ("n1", 2)]


def test_connections_are_kept(service: FakeService, session: ReplicaSession, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    really_connect = socket.socket.connect
    monkeypatch.setattr(socket.socket, "connect", lambda self, to: (made.append(to), really_connect(self, to))[1])
    for sequence in range(5):
        assert session.ask("n1", "p0", sequence, WRITE).type == "ok"
        assert session.ask("n2", "p0", sequence, WRITE).type == "ok"
    assert len(made) == 2


def test_a_request_carries_what_a_replica_must_know(service: FakeService, session: ReplicaSession) -> None:
    session.ask("n2", "p7", 4, WRITE)
    ((replica, body),) = service.received
    assert replica == "n2"
    assert body == {"run": "run", "client": "p7", "sequence": 4, "operation": WRITE, "timeout_seconds": 0.3}


def test_the_environment_has_no_say(service: FakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    session = ReplicaSession(service.addresses, "run", 0.3)
    assert session.ask("n1", "p0", 0, WRITE).type == "ok"
    session.close()


def test_every_answer_has_the_whole_time(service: FakeService, session: ReplicaSession) -> None:
    """What the exchange before took of its time is not taken from the next one on the same connection."""
    service.modes["n1"] = "slow"
    service.delay_seconds = 0.2
    assert [session.ask("n1", "p0", sequence, WRITE).type for sequence in range(3)] == ["ok"] * 3


# One operation: several attempts


def perform(
    service: FakeService,
    moves: bool = True,
    stopped: threading.Event | None = None,
    operation: Operation = WRITE,
    client: str = "p5",
) -> Tried:
    """One operation, of up to three attempts, by a client that begins at n1."""
    session = ReplicaSession(service.addresses, "run", 0.3)
    route = Route(service.replicas, 0, moves, random.Random(1))
    try:
        return converse(carry_out(route, 3, client, 8, operation), session, stopped or threading.Event())
    finally:
        session.close()


def test_a_hint_is_followed_with_the_same_id(service: FakeService) -> None:
    service.leader = "n3"
    outcome, replica, attempts = perform(service)
    assert (outcome.type, replica, attempts) == ("ok", "n3", 2)
    assert service.requests_of("p5") == [("n1", 8), ("n3", 8)]


def test_a_refusal_sends_to_the_next_replica(service: FakeService) -> None:
    service.refuse("n1")
    outcome, replica, attempts = perform(service)
    assert (outcome.type, replica, attempts) == ("ok", "n2", 2)


def test_a_hint_to_nobody_is_no_hint(service: FakeService) -> None:
    route = Route(service.replicas, 0, True, random.Random(1))
    route.learn(Outcome.fail("no", leader="n9"))
    assert route.replica == "n2"
    route.learn(Outcome.fail("no", leader="n2"))
    assert route.replica == "n3"


@pytest.mark.usefixtures("hasty")
def test_what_failed_everywhere_failed(service: FakeService) -> None:
    service.modes.update(dict.fromkeys(service.replicas, "fail"))
    outcome, _, attempts = perform(service)
    assert (outcome.type, attempts) == ("fail", 3)
    service.refuse("n1")
    assert perform(service)[0].type == "fail"


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("mode", ["hang", "hang before", "close", "close before", "info", "garbage"])
def test_a_later_failure_does_not_make_the_unknown_known(service: FakeService, mode: str) -> None:
    service.modes.update(n1=mode, n2="fail", n3="fail")
    outcome, _, attempts = perform(service)
    assert (outcome.type, attempts) == ("info", 3)
    service.refuse("n2")
    assert perform(service)[0].type == "info"


def test_a_later_success_makes_the_unknown_known_and_nothing_is_done_twice(service: FakeService) -> None:
    service.modes["n1"] = "close"
    outcome, replica, attempts = perform(service)
    assert (outcome.type, replica, attempts) == ("ok", "n2", 2)
    cas: Operation = {"f": "cas", "key": "x", "value": [1, 2]}
    assert perform(service, operation=cas, client="p6").outcome == Outcome.ok(True)
    service.idempotent = False
    cas = {"f": "cas", "key": "x", "value": [2, 3]}
    shown = perform(service, operation=cas, client="p7").outcome
    assert shown == Outcome.ok(False), "a service that isn't idempotent shows"


@pytest.mark.usefixtures("hasty")
def test_a_pinned_client_repeats_only_what_may_be_lost(service: FakeService) -> None:
    service.leader = "n3"
    assert perform(service, moves=False)[0].type == "fail"
    assert [replica for replica, _ in service.received] == ["n1"]
    service.leader = None
    service.modes["n1"] = "close before"
    outcome, _, attempts = perform(service, moves=False)
    assert (outcome.type, attempts) == ("info", 3)
    assert {replica for replica, _ in service.received} == {"n1"}


def test_who_is_stopped_begins_no_further_attempt(service: FakeService) -> None:
    stopped = threading.Event()
    stopped.set()
    service.modes["n1"] = "close"
    assert perform(service, stopped=stopped)[::2] == (Outcome.info("connection closed before the answer"), 1)


def test_waits_grow_and_are_bounded_and_end_with_success() -> None:
    route = Route(("n1", "n2"), 0, True, random.Random(4))
    assert route.pause_seconds() == 0
    route.learn(Outcome.fail("no", leader="n2"))
    assert route.pause_seconds() == 0, "a first hint is no trouble"
    pauses = []
    for _ in range(30):
        route.learn(Outcome.fail("no", leader="n1" if route.replica == "n2" else "n2"))
        pauses.append(route.pause_seconds())
    assert 0.025 <= pauses[0] <= 0.1
    assert all(0.125 <= pause <= 0.25 for pause in pauses[3:])
    route.learn(Outcome.ok(None))
    assert route.pause_seconds() == 0


# All clients


def test_clients_work_through_the_plan_and_record_it(service: FakeService, history: History) -> None:
    clients = make_clients(service, history)
    clients.start()
    wait_until(lambda: clients.tally.counts()["ok"] >= 300)
    assert clients.stop() == []
    assert clients.error is None
    events = events_of(history)
    workload = Register(RegisterOptions(operations_per_key=20), 6, 1)
    invoked: dict[int, int] = {}
    for event in events:
        if event["type"] == "invoke":
            number = invoked[event["process"]] = invoked.get(event["process"], -1) + 1
            operation: Operation = {"f": event["f"], "key": event["key"], "value": event["value"]}
            assert workload.essence(operation) == workload.essence(workload.plan(event["process"], number))
        else:
            assert event["type"] == "ok"
            assert ("result" in event) == (event["f"] != "write")
    assert set(invoked) == set(range(6))
    counts = clients.tally.counts()
    assert sum(counts.values()) == len(events) / 2
    assert clients.tally.first_ok is not None
    assert any(event.get("result") is True for event in events), "some cas finds what its process saw"


def test_every_value_read_was_written(service: FakeService, history: History) -> None:
    clients = make_clients(service, history)
    clients.start()
    wait_until(lambda: clients.tally.counts()["ok"] >= 200)
    clients.stop()
    written, read = {None}, set()
    for event in events_of(history):
        if event["f"] == "read":
            read.add(event.get("result"))
        elif event["type"] == "invoke":
            written.add(event["value"][1] if event["f"] == "cas" else event["value"])
    assert len(read) > 10
    assert read <= written


@pytest.mark.usefixtures("hasty")
def test_an_unknown_outcome_retires_the_process(service: FakeService, history: History) -> None:
    service.modes.update(dict.fromkeys(service.replicas, "close"))
    clients = make_clients(service, history, processes=2, attempts=1)
    clients.start()
    wait_until(lambda: clients.tally.counts()["info"] >= 6)
    clients.stop()
    seen: dict[int, list[int]] = {0: [], 1: []}
    for event in events_of(history):
        if event["type"] == "invoke":
            seen[event["process"] % 2].append(event["process"])
        else:
            assert event["error"] == "connection closed before the answer"
    for worker, processes in seen.items():
        assert processes == list(range(worker, 2 * len(processes), successor(0, 2)))


@pytest.mark.usefixtures("hasty")
def test_a_definite_failure_does_not(service: FakeService, history: History) -> None:
    service.modes.update(dict.fromkeys(service.replicas, "fail"))
    clients = make_clients(service, history, processes=2, attempts=2)
    clients.start()
    wait_until(lambda: clients.tally.counts()["fail"] >= 6)
    clients.stop()
    events = events_of(history)
    assert {event["process"] for event in events} == {0, 1}
    assert all(event["attempts"] == 2 for event in events[:-4] if event["type"] == "fail")


@pytest.mark.usefixtures("hasty")
def test_pinned_clients_stay(service: FakeService, history: History) -> None:
    service.leader = "n1"
    clients = make_clients(service, history, mode="pinned")
    clients.start()
    wait_until(lambda: clients.tally.counts()["fail"] >= 10)
    clients.stop()
    for event in events_of(history):
        assert event["replica"] == f"n{event['process'] % 3 + 1}"
        if event["type"] != "invoke":
            assert event["type"] == ("ok" if event["replica"] == "n1" else "fail")


def test_a_cluster_that_is_down_is_not_hammered(service: FakeService, history: History) -> None:
    for replica in service.replicas:
        service.refuse(replica)
    clients = make_clients(service, history, processes=1, attempts=1)
    began = time.monotonic()
    clients.start()
    wait_until(lambda: clients.tally.counts()["fail"] >= 5)
    clients.stop()
    # Four waits of at least half of 50, 100, 200 and 200 ms: not a limit of speed, but of haste.
    assert time.monotonic() - began >= 0.025 + 0.05 + 0.1 + 0.1


def test_stopping_waits_for_what_is_open_and_records_it(service: FakeService, history: History) -> None:
    service.modes.update(dict.fromkeys(service.replicas, "hang"))
    clients = make_clients(service, history, processes=3)
    clients.start()
    wait_until(lambda: len(service.received) >= 3)
    assert clients.stop() == []
    events = events_of(history)
    assert sum(event["type"] == "invoke" for event in events) == sum(event["type"] == "info" for event in events)


def test_nothing_is_sent_that_is_not_on_record(service: FakeService, history: History) -> None:
    clients = make_clients(service, history)
    clients.start()
    wait_until(lambda: clients.tally.counts()["ok"] >= 20)
    history.close()
    clients.stop()
    assert clients.error is None
    invoked = {(f"p{e['process']}", str(e["value"])) for e in read_history(history.path) if e["type"] == "invoke"}
    sent = {(body["client"], str(body["operation"]["value"])) for _, body in service.received}
    assert sent <= invoked


def test_a_crash_of_a_client_is_told(service: FakeService, history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    def plan(self: Register, process: int, number: int) -> Operation:
        raise ZeroDivisionError

    monkeypatch.setattr(Register, "plan", plan)
    clients = make_clients(service, history)
    clients.start()
    wait_until(lambda: clients.error is not None)
    assert isinstance(clients.error, ZeroDivisionError)
    clients.stop()


# Final reads


def test_final_reads_are_done_by_fresh_processes_through_several_replicas(
    service: FakeService, history: History
) -> None:
    clients = make_clients(service, history)
    clients.start()
    wait_until(lambda: clients.tally.counts()["ok"] >= 200)
    clients.stop()
    before = len(history)
    assert clients.ask_finally(5.0, threading.Event()) == 0
    events = events_of(history)
    earlier, final = events[:before], events[before:]
    assert min(event["process"] for event in final) >= 6
    keys = {event["key"] for event in earlier}
    assert len(keys) > 2
    for key in keys:
        reads = [event for event in final if event["key"] == key and event["type"] == "ok"]
        assert {event["replica"] for event in reads} == {"n1", "n2", "n3"}
        assert {event["result"] for event in reads} == {service.values.get(key)}


def test_final_reads_insist_and_give_up_in_time(service: FakeService, history: History) -> None:
    service.leader = "n2"
    clients = make_clients(service, history, processes=2, mode="pinned")
    clients.start()
    wait_until(lambda: clients.tally.counts()["ok"] >= 10)
    clients.stop()
    assert clients.ask_finally(5.0, threading.Event()) == 0, "they follow hints, also where the clients were pinned"
    service.modes.update(dict.fromkeys(service.replicas, "close"))
    assert clients.ask_finally(0.5, threading.Event()) > 0
    interrupted = threading.Event()
    interrupted.set()
    count = len(history)
    assert clients.ask_finally(5.0, interrupted) > 0
    assert len(history) == count
    events_of(history)
