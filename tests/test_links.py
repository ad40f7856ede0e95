"""Senders against peers that answer, refuse, swallow, tear and vanish; and pings."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from node import links as module
from node.links import Sender, check_address, ping
from tests.support.replica_peer import Peer
from tests.support.replica_protocols import FakeTime
from tests.support.waiting import wait_for


@contextmanager
def sender_to(address: str, **settings: Any) -> Iterator[Sender]:
    sender = Sender("r1", "n1", "n2", address, **settings)
    sender.start()
    try:
        yield sender
    finally:
        sender.close()


def number(value: int) -> bytes:
    return b'{"n":%d}' % value


def unused_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def settled(sender: Sender, count: int) -> bool:
    counters = sender.counters()
    return counters["delivered"] + counters["dropped"] == counters["sent"] == count


def test_messages_arrive_in_order_over_one_connection() -> None:
    with Peer() as peer, sender_to(peer.address) as sender:
        for value in range(1000):
            sender.send(number(value))
        wait_for(lambda: len(peer.messages) == 1000)
        assert [message["n"] for message in peer.messages] == list(range(1000))
        assert peer.connections == 1
        assert len(peer.batches) < 1000, "messages that wait leave together"
        assert {key: peer.bodies[0][key] for key in ("run", "from", "to")} == {"run": "r1", "from": "n1", "to": "n2"}
        wait_for(lambda: settled(sender, 1000))
        assert sender.counters() == {"sent": 1000, "delivered": 1000, "dropped": 0, "queued": 0}


def test_batches_are_bounded_in_number_and_size() -> None:
    with Peer("swallow") as peer, sender_to(peer.address, timeout_seconds=0.3, max_age_seconds=30) as sender:
        sender.send(number(-1))
        wait_for(lambda: sender.counters()["queued"] == 0)  # it is on its way, and the rest gathers behind it
        for value in range(1200):
            sender.send(number(value))
        for _ in range(3):
            sender.send(b'{"n":"%s"}' % (b"x" * 700_000))
        peer.behaviour = "take"
        wait_for(lambda: settled(sender, 1204))
        assert max(map(len, peer.batches)) <= module.BATCH_LIMIT
        assert [len(batch) for batch in peer.batches][-1] < 3


def test_a_full_queue_lets_go_of_the_oldest() -> None:
    with Peer("swallow") as peer, sender_to(peer.address, timeout_seconds=0.5, queue_limit=10) as sender:
        sender.send(number(-1))
        wait_for(lambda: sender.counters()["queued"] == 0)
        for value in range(25):
            sender.send(number(value))
        assert sender.counters()["queued"] == 10
        assert sender.counters()["dropped"] >= 15
        peer.behaviour = "take"
        sender.send(number(25))
        wait_for(lambda: peer.messages and peer.messages[-1]["n"] == 25)
        # On a slow machine one more batch may have gone into the black hole meanwhile.
        arrived = [message["n"] for message in peer.messages]
        assert len(arrived) <= 10 and arrived == list(range(26 - len(arrived), 26))


def test_sending_never_waits_for_a_black_hole() -> None:
    with Peer("swallow") as peer, sender_to(peer.address, timeout_seconds=0.4) as sender:
        sender.send(number(0))
        wait_for(lambda: sender.counters()["queued"] == 0)
        done = threading.Event()

        def send_many() -> None:
            for value in range(20_000):
                sender.send(number(value))
            done.set()

        thread = threading.Thread(target=send_many)
        thread.start()
        assert done.wait(20)
        thread.join()


def test_a_black_hole_is_given_up_and_healing_is_noticed_on_a_new_connection() -> None:
    """Nobody tells the sender that the hole is healed, and the old connection stays dead for ever."""
    with Peer("swallow") as peer, sender_to(peer.address, timeout_seconds=0.2) as sender:
        sender.send(number(1))
        wait_for(lambda: sender.counters()["dropped"] == 1)
        peer.behaviour = "take"
        sender.send(number(2))
        wait_for(lambda: peer.messages == [{"n": 2}])
        assert peer.connections == 2


def test_old_messages_are_dropped_instead_of_flooding_a_healed_link(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeTime()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock))
    with Peer("swallow") as peer, sender_to(peer.address, timeout_seconds=0.3, backoff_seconds=0.01) as sender:
        sender.send(number(0))
        wait_for(lambda: peer.requests == 1)
        for value in range(1, 500):
            sender.send(number(value))
        clock.seconds += module.MAX_AGE_SECONDS + 0.1
        peer.behaviour = "take"
        sender.send(number(500))
        wait_for(lambda: settled(sender, 501))
        assert peer.messages == [{"n": 500}]


def test_a_closed_connection_is_replaced_without_losing_anything() -> None:
    with Peer("take and close") as peer, sender_to(peer.address) as sender:
        for value in range(20):
            sender.send(number(value))
            wait_for(lambda: settled(sender, value + 1))  # noqa: B023
            wait_for(lambda: not peer._open)
        assert [message["n"] for message in peer.messages] == list(range(20))
        assert peer.connections == 20


def test_a_torn_request_is_lost_and_not_sent_again() -> None:
    with Peer() as peer, sender_to(peer.address) as sender:
        sender.send(number(1))
        wait_for(lambda: settled(sender, 1))
        peer.behaviour = "tear"
        sender.send(number(2))
        wait_for(lambda: settled(sender, 2))
        peer.behaviour = "take"
        sender.send(number(3))
        wait_for(lambda: settled(sender, 3))
        assert [message["n"] for message in peer.messages] == [1, 3]
        assert sender.counters()["dropped"] == 1


def test_what_the_peer_refuses_is_dropped_and_the_connection_kept() -> None:
    with Peer("refuse") as peer, sender_to(peer.address, backoff_seconds=0.01) as sender:
        for value in range(3):
            sender.send(number(value))
            wait_for(lambda: settled(sender, value + 1))  # noqa: B023
        assert sender.counters()["dropped"] == 3
        assert peer.connections == 1


def test_an_answer_may_come_in_pieces() -> None:
    with Peer("trickle") as peer, sender_to(peer.address) as sender:
        for value in range(3):
            sender.send(number(value))
            wait_for(lambda: settled(sender, value + 1))  # noqa: B023
        assert sender.counters()["delivered"] == 3
        assert peer.connections == 1


def test_a_peer_that_speaks_no_http_is_given_up() -> None:
    with Peer("babble") as peer, sender_to(peer.address, backoff_seconds=0.01, timeout_seconds=20) as sender:
        sender.send(number(1))
        wait_for(lambda: sender.counters()["dropped"] == 1)
        peer.behaviour = "take"
        sender.send(number(2))
        wait_for(lambda: sender.counters()["delivered"] == 1)
        assert peer.connections == 2


def test_an_unreachable_peer_is_not_tried_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[int] = []
    really_post = module._Connection.post

    def counted(self: Any, body: bytes) -> Any:
        attempts.append(1)
        return really_post(self, body)

    monkeypatch.setattr(module._Connection, "post", counted)
    with sender_to(unused_address(), backoff_seconds=5) as sender:
        sender.send(number(0))
        wait_for(lambda: sender.counters()["dropped"] == 1)
        for value in range(100):
            sender.send(number(value))
        assert sender.counters()["queued"] == 100
    assert len(attempts) == 1
    assert sender.counters() == {"sent": 101, "delivered": 0, "dropped": 101, "queued": 0}


def test_closing_does_not_wait_for_the_backoff_and_ends_the_thread() -> None:
    with sender_to(unused_address(), backoff_seconds=300) as sender:
        sender.send(number(0))
        wait_for(lambda: sender.counters()["dropped"] == 1)
    assert not sender._thread.is_alive()
    sender.send(number(1))
    assert sender.counters() == {"sent": 2, "delivered": 0, "dropped": 2, "queued": 0}


def test_closing_a_sender_does_not_wait_for_a_black_hole() -> None:
    with Peer("swallow") as peer, sender_to(peer.address, timeout_seconds=300) as sender:
        sender.send(number(0))
        wait_for(lambda: peer.requests == 1)
        closing = threading.Thread(target=sender.close)
        closing.start()
        closing.join(20)
        assert not closing.is_alive() and not sender._thread.is_alive()


def test_a_ping_tells_the_ways_of_failing_apart() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        outcome = ping(f"http://127.0.0.1:{silent.getsockname()[1]}", 0.2)
        assert outcome["outcome"] == "timeout" and outcome["seconds"] >= 0.2
    assert ping(unused_address(), 5)["outcome"] == "refused"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", "ok"),
        (b"", "closed"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "closed"),
        (b"nonsense\r\n\r\n", "closed"),
    ],
)
def test_a_ping_is_ok_only_if_the_replica_answers(answer: bytes, expected: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        assert ping(f"http://127.0.0.1:{listener.getsockname()[1]}", 10)["outcome"] == expected
        thread.join(10)


@pytest.mark.parametrize("address", ["", "127.0.0.1:80", "http://:80", "http://n2", "https://n2:80", "http://n2:x"])
def test_what_is_no_address_of_a_replica_is_told_in_one_sentence(address: str) -> None:
    with pytest.raises(ValueError, match="not the address of a replica"):
        check_address(address)
