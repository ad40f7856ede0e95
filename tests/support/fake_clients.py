"""Clients for the fake network: they ask, ask again elsewhere, and tell what they saw."""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from typing import Any, Literal

from node.protocol import Outcome
from tests.support.fake_network import FakeNetwork
from tests.support.tiny_checker import Told


class Clients:
    """Clients at work until they are stopped; `told` is what they say of their operations.

    The rules are those of the harness: an operation is sent up to `attempts` times with the same id; it counts as
    failed only if every attempt certainly failed; a client whose operation is unknown is retired for a new one. With
    `homes` each client stays with one replica, else it goes where it is sent, or to the next. `echoes` is the share of
    requests of which a second copy reaches some replica up to a second later.
    """

    def __init__(
        self,
        net: FakeNetwork,
        count: int,
        keys: Sequence[str] = ("x",),
        pause_seconds: float = 0.05,
        patience_seconds: float = 0.8,
        attempts: int = 3,
        homes: Sequence[str] | None = None,
        echoes: float = 0.0,
    ) -> None:
        self.net = net
        self.keys = keys
        self.pause_seconds = pause_seconds
        self.patience_seconds = patience_seconds
        self.attempts = attempts
        self.echoes = echoes
        self.pinned = homes is not None
        self.random = random.Random(f"clients/{net.seed}")
        self.told: list[Told] = []
        self.at_work = True
        self.open = 0
        self._values = 0
        for number in range(count):
            self.hire(f"c{number}", homes[number % len(homes)] if homes else self.random.choice(net.replicas))

    def hire(self, name: str, home: str) -> None:
        worker = _Client(self, name, home)
        self.net.after(self.random.uniform(0.0, self.pause_seconds), worker.begin)

    def stop(self) -> None:
        """Begin nothing new; operations under way go on."""
        self.at_work = False

    def count(self, type: Literal["ok", "fail", "info"]) -> int:
        return sum(operation.type == type for operation in self.told)

    def new_value(self) -> int:
        self._values += 1
        return self._values


class _Client:
    def __init__(self, clients: Clients, name: str, home: str) -> None:
        self.clients = clients
        self.net = clients.net
        self.name = name
        self.target = home
        self.sequence = 0
        self.held: dict[str, Any] = {}
        self.attempt = 0
        """Counts all attempts of all operations; only the reply to the present one is listened to."""

    def begin(self) -> None:
        if not self.clients.at_work:
            return
        chance = self.clients.random
        f, key = chance.choice(["read", "read", "write", "write", "cas"]), chance.choice(self.clients.keys)
        value: Any = None
        if f != "read":
            value = self.clients.new_value()
        if f == "cas":
            value = [self.held.get(key), value]
        self.sequence += 1
        self.operation = Told(self.name, f, key, value, self.net.unique())
        self.clients.told.append(self.operation)
        self.clients.open += 1
        self.attempts_left = self.clients.attempts
        self.in_doubt = False
        self._try()

    def _try(self) -> None:
        self.attempt += 1
        self.attempts_left -= 1
        attempt, told = self.attempt, self.operation

        def hear(outcome: Outcome) -> None:
            if self.attempt == attempt:
                self.attempt += 1
                self._hear(outcome)

        sequence = self.sequence
        self.net.ask(self.target, self.name, sequence, told.f, told.key, told.value, on_outcome=hear)
        chance = self.clients.random
        if chance.random() < self.clients.echoes:
            self.in_doubt = True  # nobody waits for what comes of the copy
            elsewhere = chance.choice(self.net.replicas)
            echo = functools.partial(self.net.ask, elsewhere, self.name, sequence, told.f, told.key, told.value)
            self.net.after(chance.uniform(0.0, 1.0), echo)
        self.net.after(self.clients.patience_seconds, lambda: hear(Outcome.info("no answer in time")))

    def _hear(self, outcome: Outcome) -> None:
        if outcome.type == "ok":
            self._conclude("ok", outcome.result)
            return
        self.in_doubt = self.in_doubt or outcome.type == "info"
        if not self.clients.pinned:
            self._move_on(outcome.leader)
        if self.attempts_left:
            self.net.after(0.05, self._try)
        else:
            self._conclude("info" if self.in_doubt else "fail", None)

    def _move_on(self, hint: str | None) -> None:
        replicas = self.net.replicas
        onwards = replicas[(replicas.index(self.target) + 1) % len(replicas)]
        self.target = onwards if hint is None or hint == self.target else hint

    def _conclude(self, type: Literal["ok", "fail", "info"], result: Any) -> None:
        told = self.operation
        told.type, told.result = type, result
        self.clients.open -= 1
        if type == "info":
            self.clients.hire(f"{self.name}+", self.target)
            return
        told.end = self.net.unique()
        if type == "ok":
            self._remember(told)
        self.net.after(self.clients.random.uniform(0.5, 1.5) * self.clients.pause_seconds, self.begin)

    def _remember(self, told: Told) -> None:
        if told.f == "read":
            self.held[told.key] = told.result
        elif told.f == "write":
            self.held[told.key] = told.value
        elif told.result:
            self.held[told.key] = told.value[1]
