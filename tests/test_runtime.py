"""The runtime: one handler at a time, nothing out before it is durable, bounds, timers, crashes."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from node.journal import Journal, JournalFailed
from node.protocol import Outcome, Request
from node.runtime import (
    EXIT_HANDLER_RAISED,
    EXIT_JOURNAL_FAILED,
    Busy,
    Letter,
    Mailbox,
    incarnation_random,
)
from tests.support.replica_protocols import Keeper, Plain, Stage, read, write
from tests.support.waiting import wait_for


def in_thread(function: Any, *arguments: Any) -> Future[Any]:
    """Run it beside the test; its result or exception is in the future."""
    pool = ThreadPoolExecutor(1)
    future = pool.submit(function, *arguments)
    pool.shutdown(wait=False)
    return future


def perform(stage: Stage, key: str = "x", value: Any = 1, timeout_seconds: float = 20) -> Any:
    return json.loads(stage.runtime.perform("c1", 1, write(key, value), timeout_seconds))


def answer(stage: Stage, outcome: Outcome) -> None:
    """Let every request be answered so."""

    def on_each(event: Any) -> None:
        if isinstance(event, Request):
            stage.protocol.io.reply(event, outcome)

    stage.protocol.on_each = on_each


# What handlers are given, and what becomes of what they do


def test_a_request_is_handled_and_its_reply_reaches_the_client(tmp_path: Path) -> None:
    with Stage(tmp_path) as stage:
        answer(stage, Outcome.ok({"seen": True}))
        assert perform(stage) == {"type": "ok", "result": {"seen": True}}
        request = stage.protocol.seen[0]
        assert (request.client, request.sequence, request.operation) == ("c1", 1, write("x", 1))


@pytest.mark.parametrize("outcome", [Outcome.fail("not me", "n2"), Outcome.info("who knows")])
def test_a_reply_carries_error_and_hint(tmp_path: Path, outcome: Outcome) -> None:
    with Stage(tmp_path) as stage:
        answer(stage, outcome)
        assert perform(stage) == {"type": outcome.type, "error": outcome.error, "leader": outcome.leader}


def test_messages_are_handled_in_order_with_their_sender(tmp_path: Path) -> None:
    with Stage(tmp_path) as stage:
        stage.runtime.deliver("n2", [{"n": 1}, {"n": 2}])
        stage.runtime.deliver("n3", [{"n": 3}])
        wait_for(lambda: len(stage.protocol.seen) == 3)
        assert stage.protocol.seen == [("n2", {"n": 1}), ("n2", {"n": 2}), ("n3", {"n": 3})]


def test_the_protocol_knows_itself_and_its_peers_by_number(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    assert (stage.protocol.io.id, stage.protocol.io.peers) == ("n1", ("n2", "n3"))
    stage.runtime.stop()


def test_what_is_sent_is_a_copy(tmp_path: Path) -> None:
    with Stage(tmp_path) as stage:
        message = {"list": [1]}

        def on_each(event: Any) -> None:
            stage.protocol.io.send("n2", message)
            message["list"].append(2)

        stage.protocol.on_each = on_each
        stage.runtime.deliver("n3", [{}])
        wait_for(lambda: stage.links["n2"].sent)
        assert stage.links["n2"].sent == [b'{"list":[1]}']


def test_handlers_run_one_at_a_time(tmp_path: Path) -> None:
    inside = 0
    together: list[int] = []
    with Stage(tmp_path) as stage:

        def on_each(event: Any) -> None:
            nonlocal inside
            inside += 1
            together.append(inside)
            time.sleep(0.0005)
            if isinstance(event, Request):
                stage.protocol.io.reply(event, Outcome.ok(None))
            stage.protocol.io.set_timer("t", 0)
            inside -= 1

        stage.protocol.on_each = on_each
        with ThreadPoolExecutor(8) as pool:
            for _ in range(10):
                pool.submit(stage.runtime.deliver, "n2", [{}] * 5)
                pool.submit(perform, stage)
        wait_for(lambda: len(stage.protocol.seen) > 60)
        stage.protocol.on_each = lambda event: None
        assert set(together) == {1}


def test_a_status_is_never_taken_in_the_middle_of_a_handler(tmp_path: Path) -> None:
    with Stage(tmp_path) as stage:
        entered, leave = threading.Event(), threading.Event()

        def on_each(event: Any) -> None:
            entered.set()
            assert leave.wait(20)

        stage.protocol.on_each = on_each
        stage.runtime.deliver("n2", [{}])
        assert entered.wait(20)
        status = in_thread(stage.runtime.protocol_status)
        assert not status.done()
        leave.set()
        assert status.result(20)["role"] == "replica"


# Nothing leaves before it is durable


def test_neither_replies_nor_messages_leave_before_the_sync(tmp_path: Path) -> None:
    with Stage(tmp_path) as stage:

        def on_each(event: Any) -> None:
            stage.protocol.io.send("n2", {"before": "append"})
            stage.protocol.io.append({"n": 1})
            stage.protocol.io.reply(event, Outcome.ok("done"))

        stage.protocol.on_each = on_each
        stage.journal.entered.clear()
        stage.journal.gate.clear()
        client = in_thread(perform, stage)
        assert stage.journal.entered.wait(20)
        assert not client.done() and stage.links["n2"].sent == []
        assert stored(stage) == []
        stage.journal.gate.set()
        assert client.result(20) == {"type": "ok", "result": "done"}
        assert stored(stage) == [{"n": 1}]
        assert stage.links["n2"].sent == [b'{"before":"append"}']


def test_output_of_a_later_handler_waits_for_what_an_earlier_one_appended(tmp_path: Path) -> None:
    with Stage(tmp_path) as stage:
        stage.journal.gate.clear()
        stage.journal.entered.clear()

        def on_each(event: Any) -> None:
            if event[1]["append"]:
                stage.protocol.io.append({})
            else:
                stage.protocol.io.send("n2", {})

        stage.protocol.on_each = on_each
        stage.runtime.deliver("n3", [{"append": True}, {"append": False}])
        assert stage.journal.entered.wait(20)
        assert stage.links["n2"].sent == []
        stage.journal.gate.set()
        wait_for(lambda: stage.links["n2"].sent)


def test_many_handlers_share_one_sync(tmp_path: Path) -> None:
    with Stage(tmp_path) as stage:
        stage.protocol.on_each = lambda event: stage.protocol.io.append({})
        stage.runtime.deliver("n2", [{}] * 200)
        wait_for(lambda: stage.journal.records == 200 and not stage.journal.dirty)
        assert stage.journal.syncs == 1


def test_handlers_that_append_nothing_need_no_sync(tmp_path: Path) -> None:
    with Stage(tmp_path) as stage:
        answer(stage, Outcome.ok(None))
        perform(stage)
        assert stage.journal.syncs == 0


def test_a_sync_that_fails_ends_the_replica_and_nothing_gets_out(tmp_path: Path) -> None:
    with Stage(tmp_path) as stage:
        stage.journal.failure = JournalFailed("the disk is full")

        def on_each(event: Any) -> None:
            stage.protocol.io.append({})
            stage.protocol.io.send("n2", {})
            stage.protocol.io.reply(event, Outcome.ok(None))

        stage.protocol.on_each = on_each
        client = in_thread(perform, stage)
        wait_for(lambda: stage.crashes)
        assert stage.crashes == [(EXIT_JOURNAL_FAILED, "the disk is full")]
        assert stage.links["n2"].sent == []
        stage.runtime.stop()
        assert client.result(20)["type"] == "info"


@pytest.mark.parametrize("late", [False, True])
def test_a_handler_that_raises_ends_the_replica_and_nothing_of_its_turn_gets_out(tmp_path: Path, late: bool) -> None:
    with Stage(tmp_path) as stage:

        def on_each(event: Any) -> None:
            stage.protocol.io.send("n2", {})
            stage.protocol.io.append({})
            if not late or event[1]["n"] == 2:
                raise ValueError("broken")

        stage.protocol.on_each = on_each
        stage.runtime.deliver("n2", [{"n": 1}, {"n": 2}, {"n": 3}])
        wait_for(lambda: stage.crashes)
        assert stage.crashes == [(EXIT_HANDLER_RAISED, "a handler of the protocol raised ValueError: broken")]
        assert stage.links["n2"].sent == []
        assert stored(stage) == []
        assert len(stage.protocol.seen) == (2 if late else 1)


@pytest.mark.parametrize("message", [{"x": {1}}, {"x": float("inf")}])
def test_sending_what_is_not_json_ends_the_replica(tmp_path: Path, message: dict[str, Any]) -> None:
    with Stage(tmp_path) as stage:
        stage.protocol.on_each = lambda event: stage.protocol.io.send("n2", message)
        stage.runtime.deliver("n2", [{}])
        wait_for(lambda: stage.crashes)


@pytest.mark.parametrize("peer", ["n1", "n4"])
def test_sending_to_oneself_or_to_a_stranger_is_an_error(tmp_path: Path, peer: str) -> None:
    with Stage(tmp_path) as stage:
        stage.protocol.on_each = lambda event: stage.protocol.io.send(peer, {})
        stage.runtime.deliver("n2", [{}])
        wait_for(lambda: stage.crashes)
        assert "no peer" in stage.crashes[0][1]


def test_recovery_that_raises_ends_the_replica(tmp_path: Path) -> None:
    class Hopeless(Plain):
        def recover(self, records: Any) -> None:
            raise LookupError("nothing makes sense")

    stage = Stage(tmp_path, Hopeless)
    stage.runtime.start([])
    assert stage.crashes == [(EXIT_HANDLER_RAISED, "a handler of the protocol raised LookupError: nothing makes sense")]
    stage.runtime.stop()


def test_compaction_replaces_the_journal_before_anything_leaves(tmp_path: Path) -> None:
    with Stage(tmp_path) as stage:

        def on_each(event: Any) -> None:
            stage.protocol.io.append({"old": True})
            stage.protocol.io.compact([{"snapshot": 1}])
            stage.protocol.io.reply(event, Outcome.ok(None))

        stage.protocol.on_each = on_each
        perform(stage)
        assert stored(stage) == [{"snapshot": 1}]


# Replies that nobody waits for, and clients who wait for nothing


def test_a_request_that_is_never_answered_becomes_info(tmp_path: Path) -> None:
    with Stage(tmp_path, Plain) as stage:
        assert perform(stage, timeout_seconds=0.05) == {
            "type": "info",
            "error": "no answer within 0.05 s",
            "leader": None,
        }
        assert stage.runtime.host_status()["open_requests"] == 0


def test_a_reply_that_comes_too_late_or_twice_is_dropped_quietly(tmp_path: Path) -> None:
    with Stage(tmp_path) as stage:
        assert perform(stage, timeout_seconds=0.05)["type"] == "info"
        late = stage.protocol.seen[0]

        def on_each(event: Any) -> None:
            stage.protocol.io.reply(late, Outcome.ok("late"))
            stage.protocol.io.reply(event, Outcome.ok("first"))
            stage.protocol.io.reply(event, Outcome.ok("second"))

        stage.protocol.on_each = on_each
        assert perform(stage) == {"type": "ok", "result": "first"}
        assert perform(stage) == {"type": "ok", "result": "first"}
        assert stage.crashes == []


def test_a_runtime_that_stops_tells_its_clients_that_it_does_not_know(tmp_path: Path) -> None:
    with Stage(tmp_path) as stage:
        client = in_thread(perform, stage)
        wait_for(lambda: stage.protocol.seen)
        stage.runtime.stop()
        assert client.result(20)["type"] == "info"
        with pytest.raises(Busy, match="stopping"):
            perform(stage)
        assert all(link.closed for link in stage.links.values())


# Bounds


def test_a_mailbox_takes_all_or_nothing() -> None:
    mailbox = Mailbox(3)
    letters = [Letter("n2", {"n": n}) for n in range(4)]
    assert not mailbox.offer(letters)
    assert mailbox.offer(letters[:2])
    assert not mailbox.offer(letters[2:])
    assert mailbox.offer(letters[2:3])
    assert mailbox.take(2, 1) == letters[:2]
    assert mailbox.take(9, 1) == letters[2:3]
    assert mailbox.take(9, 0) == []


def test_a_full_mailbox_refuses_messages_and_requests(tmp_path: Path) -> None:
    with Stage(tmp_path, mailbox_limit=2) as stage:
        leave = threading.Event()
        stage.protocol.on_each = lambda event: leave.wait(20)
        stage.runtime.deliver("n2", [{"n": 0}])
        wait_for(lambda: stage.protocol.seen)
        stage.runtime.deliver("n2", [{"n": 1}, {"n": 2}])
        with pytest.raises(Busy, match="mailbox"):
            stage.runtime.deliver("n2", [{"n": 3}])
        with pytest.raises(Busy, match="mailbox"):
            perform(stage)
        assert stage.runtime.host_status()["open_requests"] == 0
        leave.set()
        wait_for(lambda: len(stage.protocol.seen) == 3)
        assert [event[1]["n"] for event in stage.protocol.seen] == [0, 1, 2]


def test_the_number_of_open_requests_is_bounded(tmp_path: Path) -> None:
    with Stage(tmp_path, open_requests_limit=2) as stage:
        clients = [in_thread(perform, stage), in_thread(perform, stage)]
        wait_for(lambda: len(stage.protocol.seen) == 2)
        with pytest.raises(Busy, match="2 requests"):
            perform(stage)
        assert len(stage.protocol.seen) == 2, "what is refused must never reach the protocol"
        stage.protocol.on_each = lambda event: [
            stage.protocol.io.reply(request, Outcome.ok(None)) for request in stage.protocol.seen[:2]
        ]
        stage.runtime.deliver("n2", [{}])
        assert [client.result(20)["type"] for client in clients] == ["ok", "ok"]


# Timers on a skewed clock


def test_timers_go_by_the_skewed_clock(tmp_path: Path) -> None:
    with Stage(tmp_path) as stage:
        stage.protocol.on_each = lambda event: isinstance(event, tuple) and stage.protocol.io.set_timer("hour", 3600)
        stage.runtime.deliver("n2", [{}])
        wait_for(lambda: stage.protocol.seen)
        stage.clock.set(3601, 1)
        stage.runtime.wake()
        wait_for(lambda: "hour" in stage.protocol.seen)
        assert stage.protocol.seen.count("hour") == 1


def test_a_cancelled_timer_is_never_delivered(tmp_path: Path) -> None:
    with Stage(tmp_path) as stage:

        def on_each(event: Any) -> None:
            if event == "first":
                stage.protocol.io.cancel_timer("second")
                stage.protocol.io.set_timer("third", 0)
            elif isinstance(event, tuple):
                stage.protocol.io.set_timer("first", 0)
                stage.protocol.io.set_timer("second", 0)

        stage.protocol.on_each = on_each
        stage.runtime.deliver("n2", [{}])
        wait_for(lambda: "third" in stage.protocol.seen)
        assert stage.protocol.seen[1:] == ["first", "third"]


def test_a_timer_that_is_always_due_does_not_keep_messages_waiting(tmp_path: Path) -> None:
    with Stage(tmp_path) as stage:
        stage.protocol.on_each = lambda event: stage.protocol.io.set_timer("again", 0)
        stage.runtime.deliver("n2", [{"n": 1}])
        wait_for(lambda: "again" in stage.protocol.seen)
        stage.runtime.deliver("n2", [{"n": 2}])
        wait_for(lambda: ("n2", {"n": 2}) in stage.protocol.seen)
        stage.protocol.on_each = lambda event: None


# A service with a memory


def test_a_protocol_recovers_from_the_records_of_its_journal(tmp_path: Path) -> None:
    with Stage(tmp_path, Keeper) as stage:
        perform(stage, "x", 41)
        perform(stage, "x", 42)
    journal, records = Journal.open(tmp_path / "journal")
    journal.close()
    (tmp_path / "again").mkdir()
    again = Stage(tmp_path / "again", Keeper)
    again.runtime.start(records)
    assert json.loads(again.runtime.perform("c1", 1, read("x"), 20)) == {"type": "ok", "result": 42}
    again.runtime.stop()


def test_chance_is_the_same_for_the_same_life_and_different_for_any_other() -> None:
    lives = [(1, "n1", 1), (1, "n1", 2), (1, "n2", 1), (2, "n1", 1)]
    draws = [incarnation_random(*life).random() for life in lives]
    assert len(set(draws)) == len(lives)
    assert [incarnation_random(*life).random() for life in lives] == draws


def stored(stage: Stage) -> list[dict[str, Any]]:
    """What is in the journal's file at this moment."""
    journal, records = Journal.open(stage.journal.path)
    journal.close()
    return records
