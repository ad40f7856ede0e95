"""The world of a simulated run: virtual time, chance, the network, the replicas, and the witness who watches them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from faults.cluster import Mode
from harness.simulation.chance import Chance
from harness.simulation.copies import encode
from harness.simulation.host import CLOSED, Host, HostIo, Tell
from harness.simulation.laws import Broken, Witness
from harness.simulation.loop import MILLISECOND, MOST_EVENTS, SECOND, Loop
from harness.simulation.network import Edits, VirtualNetwork
from harness.simulation.trace import Trace
from harness.spec import RunSpec
from node.flaws import flawed
from node.invariants import Claim
from node.machine import Operation
from node.machines import MACHINES
from node.protocol import Outcome, Protocol, Request

REFUSED = "connection refused"

OnMoment = Callable[[str, str, str, str], None]
"""Is told what happens (see `harness.spec.Moment`), the type of the message or record, to whom, and who the other end is."""


class World:
    """Everything there is in one run, and nothing else. The replicas are not started yet."""

    def __init__(
        self,
        spec: RunSpec,
        *,
        trace: Trace | None = None,
        edits: Edits | None = None,
        stop_at_broken: bool = False,
    ) -> None:
        self.spec = spec
        self.loop = Loop(MOST_EVENTS)
        self.chance = Chance(spec.seed)
        self.trace = trace
        self.begun = False
        self.began_ns = 0
        """When the run began: the zero of every time that a person sees."""
        self.replicas = spec.replica_names
        self.protocol: type[Protocol] = flawed(spec.protocol.name, spec.protocol.flaws)
        self._options = self.protocol.Options.model_validate(spec.protocol.options)
        self._machine = MACHINES[spec.machine]
        self.machine_problem = self._machine().problem
        self.witness = Witness(self._machine.queries, self._machine.lazy)
        self._stop_at_broken = stop_at_broken
        self._laws_broken = 0
        self.on_broken: Callable[[Broken], None] = lambda broken: None
        """Told of every law that is broken, at once."""
        self.on_moment: OnMoment | None = None
        """Told of what replicas do, if anybody wants to know."""
        self._tokens = 0
        self._timeout_ns = round(spec.clients.timeout_seconds * SECOND)
        self._late = Outcome.info(f"no answer within {spec.clients.timeout_seconds:g} s")
        edits = {**(spec.script.messages if spec.script else {}), **(edits or {})}
        self.network = VirtualNetwork(self.loop, self.chance, spec.simulation, self.replicas, edits, trace)
        self.hosts: dict[str, Host] = {}
        for replica in self.replicas:
            self.hosts[replica] = Host(self, replica, tuple(peer for peer in self.replicas if peer != replica))

    @property
    def time_ns(self) -> int:
        """Nanoseconds since the run began; below 0 while the cluster is being set up."""
        return self.loop.now - self.began_ns

    def begin(self) -> None:
        """The run begins now."""
        self.begun = self.network.begun = True
        self.began_ns = self.network.began_ns = self.loop.now
        if self.trace is not None:
            for step in self.trace.steps:
                step["time"] -= self.began_ns

    # ---- for hosts

    def make_protocol(self, io: HostIo) -> Protocol:
        return self.protocol(io, self._machine(), self._options)

    def skew_of(self, replica: str) -> tuple[float, float]:
        """Offset and rate of the replica's clock when no fault is at work: drawn once."""
        settings = self.spec.simulation
        offset = settings.clock_offset_seconds * self.chance.draw("clock offset", replica)
        drift = settings.clock_drift * (2.0 * self.chance.draw("clock drift", replica) - 1.0)
        return offset, 1.0 + drift

    def told(self, replica: str, claims: Iterable[Claim]) -> None:
        """A turn of the replica is durable: let the witness hear what it says of itself."""
        witness = self.witness
        witness.told(self.loop.now - self.began_ns, replica, claims)
        if len(witness.broken) != self._laws_broken:
            self._look_for_broken()

    def acknowledged(self, replica: str, request: Request, result: Any) -> None:
        """An ok leaves the replica."""
        witness = self.witness
        witness.acknowledged(self.loop.now - self.began_ns, replica, request, result)
        if len(witness.broken) != self._laws_broken:
            self._look_for_broken()

    def _look_for_broken(self) -> None:
        for broken in self.witness.broken[self._laws_broken :]:
            self._laws_broken += 1
            self.on_broken(broken)
            if self.trace is not None:
                self.trace.add(
                    self.time_ns, "broken", broken.replicas[-1] if broken.replicas else "",
                    law=broken.law, text=broken.sentence, replicas=list(broken.replicas),
                )  # fmt: skip
            self.loop.stopped = self.loop.stopped or self._stop_at_broken

    # ---- for clients

    def ask(self, replica: str, client: str, number: int, operation: Operation, tell: Tell) -> None:
        """Send a request once. `tell` hears one outcome, after the clients' timeout at the latest.

        As `harness.replica_session` has it: only a connection that was refused proves that nothing happened.
        """
        self._tokens += 1
        host = self.hosts[replica]
        asked = _Asked(host, self._tokens, tell)
        mode = self.network.carry(host.asked_by, client, encode(operation), asked.arrive, client, number)
        if mode is Mode.REFUSE:
            self.loop.after(MILLISECOND // 2, asked.hear, Outcome.fail(REFUSED))
        elif mode is Mode.RESET:
            self.loop.after(MILLISECOND // 2, asked.hear, Outcome.info(CLOSED))
        else:
            self.loop.after(self._timeout_ns, asked.hear, self._late)


class _Asked:
    """A request under way: the first outcome counts, and nobody waits for another."""

    __slots__ = ("_arrived", "_host", "_tell", "token")

    def __init__(self, host: Host, token: int, tell: Tell) -> None:
        self.token = token
        self._arrived = False
        self._host = host
        self._tell: Tell | None = tell

    def arrive(self, client: str, number: int, text: bytes) -> None:
        """A second copy is thrown away by the connection, as TCP does: else a `fail` would prove nothing to a client."""
        if not self._arrived:
            self._arrived = True
            self._host.request(client, number, self.token, self.hear, text)

    def hear(self, outcome: Outcome) -> None:
        tell, self._tell = self._tell, None
        if tell is not None:
            self._host.forget(self.token)
            tell(outcome)
