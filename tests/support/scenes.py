"""What scenarios on the fake network are told in: wait for an answer, cut a replica off, strike at a message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from node.protocol import Message, Outcome
from tests.support.fake_clients import Clients
from tests.support.fake_network import Answer, FakeNetwork


def answered(net: FakeNetwork, answer: Answer, limit: float = 5.0, lawful: bool = True) -> Outcome:
    """Wait for it; no law may be broken by then, unless that is what the scene is about."""
    assert net.run_until(lambda: answer.outcome is not None, limit), net.log()
    assert answer.outcome is not None
    assert not (lawful and net.witness.broken)
    return answer.outcome


def even(net: FakeNetwork) -> None:
    """Wait until every replica that is up has applied as much, and check that they are equal."""
    up = [name for name in net.replicas if net.hosts[name].up]
    assert net.run_until(lambda: len({net[name].applied for name in up}) == 1, 5.0), net.log()
    assert len({net[name].status()["digest"] for name in up}) == 1
    assert not net.witness.broken


def goes_on(net: FakeNetwork, clients: Clients) -> None:
    """Wait until some more operations succeed."""
    before = clients.count("ok")
    assert net.run_until(lambda: clients.count("ok") > before + 5, 4.0), net.log()


def held(net: FakeNetwork, replica: str, key: str = "x") -> Any:
    """What a replica's own machine holds, whatever the protocol would say."""
    return net[replica].machine.execute({"f": "read", "key": key, "value": None}).result


def read(net: FakeNetwork, replica: str, key: str = "x") -> Any:
    """What a new client reads through a replica."""
    outcome = net.call(replica, f"reader of {replica} at {net.now}", 1, "read", key)
    assert outcome.type == "ok" and not net.witness.broken
    return outcome.result


def isolate(net: FakeNetwork, *replicas: str) -> None:
    net.partition(replicas, set(net.replicas) - set(replicas))


def on_message(net: FakeNetwork, kind: str, react: Callable[[str, str, Message], object]) -> None:
    """React to the first message of a type (its sender, whom it is for, the message), when it leaves."""
    reacted = False

    def spy(source: str, target: str, message: Message) -> None:
        nonlocal reacted
        if message["type"] == kind and not reacted:
            reacted = True
            react(source, target, message)

    net.spies.append(spy)


def messages(net: FakeNetwork, kind: str, source: str | None = None) -> list[Message]:
    """The messages of a type that leave from now on."""
    seen: list[Message] = []

    def spy(sender: str, target: str, message: Message) -> None:
        if message["type"] == kind and source in (None, sender):
            seen.append(message)

    net.spies.append(spy)
    return seen
