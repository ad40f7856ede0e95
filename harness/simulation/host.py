"""The host of one simulated replica: keeps what `node.protocol` promises a protocol, as `node.runtime` does.

A turn handles whatever has gathered, timers first; then the journal is synced, if anything was appended, which takes
virtual time; and only then does the output of the turn leave (group commit). What comes in meanwhile waits for the next
turn. Handling itself takes no virtual time. A kill before the sync is over loses the records and the output; as with a
real disk, the first few records, or all, may have been written all the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from faults.cluster import CLIENT, Link, ReplicaState
from harness.simulation.clock import VirtualClock
from harness.simulation.copies import copy, decode, encode
from harness.simulation.disk import SyncFailed, VirtualDisk
from harness.simulation.loop import MILLISECOND, SECOND
from node.protocol import Io, Message, Outcome, Protocol, Record, Request
from node.runtime import MAILBOX_LIMIT, TURN_LIMIT, incarnation_random

if TYPE_CHECKING:
    from harness.simulation.world import World

CLOSED = "connection closed before the answer"

_NEVER = float("inf")

Tell = Callable[[Outcome], None]


class Call(NamedTuple):
    """A request that a client waits for, and whom to tell."""

    client: str
    tell: Tell


class HostIo(Io):
    """What the protocol speaks through, in one life of the replica. Everything is encoded at once."""

    def __init__(self, host: Host) -> None:
        self.id = host.id
        self.peers = host.peers
        self.random = incarnation_random(host.world.spec.seed, host.id, host.incarnation)
        self._host = host
        self.now = host.clock.now  # type: ignore[method-assign]  # asked for so often that a call less is felt

    def now(self) -> float:
        return self._host.clock.now()

    def send(self, peer: str, message: Message) -> None:
        if peer not in self.peers:
            raise ValueError(f"{self.id} has no peer {peer!r} to send to")
        self._host.outgoing.append((peer, str(message.get("type", "message")), encode(message)))

    def append(self, record: Record) -> None:
        self._host.disk.append(record)
        if self._host.world.on_moment is not None:
            self._host.world.on_moment("append", str(record.get("type", "record")), self.id, self.id)
        if self._host.trace is not None:
            self._host.step("append", record=record)

    def compact(self, records: Sequence[Record]) -> None:
        self._host.disk.compact(records)
        if self._host.trace is not None:
            self._host.step("compact", records=list(records))

    def reply(self, request: Request, outcome: Outcome) -> None:
        self._host.answers.append((request, encode_outcome(outcome)))

    def set_timer(self, name: str, seconds: float) -> None:
        self._host.set_timer(name, seconds)

    def cancel_timer(self, name: str) -> None:
        self._host.timers.pop(name, None)

    def log(self, text: str) -> None:
        self._host.say(text)


class Host:
    """One replica: its protocol while it is up, its disk, its clock, and what waits to be handled."""

    def __init__(self, world: World, replica: str, peers: tuple[str, ...]) -> None:
        self.world = world
        self.id = replica
        self.peers = peers
        self.trace = world.trace
        self.disk = VirtualDisk()
        self.clock = VirtualClock(world.loop)
        self.protocol: Protocol | None = None
        self.incarnation = 0
        self.paused = False
        self.handled = 0
        self.lines: list[str] = []
        """What the replica's log holds."""
        self.epitaph: str | None = None
        """Why it died on its own, if it did."""
        self.mourned: set[int] = set()
        """The lives whose end, by their own hand, somebody was told of."""
        self.outgoing: list[tuple[str, str, bytes]] = []
        """What the handlers of this turn sent: peer, type, message."""
        self.answers: list[tuple[Request, bytes]] = []
        """What they replied, as JSON text."""
        self.timers: dict[str, tuple[float, int]] = {}
        """Of each armed timer: when it is due by the replica's clock, and a number that tells it from earlier ones."""
        self._numbers = 0
        self._next_due = _NEVER
        """No timer is due before this, by the replica's clock."""
        self._mailbox: deque[tuple[str | None, Any]] = deque()
        """Messages with their senders, and requests."""
        self._calls: dict[int, Call] = {}
        self._syncing = False
        self._synced_while_paused = False
        self._sync_times = world.chance.stream("sync", replica)
        self._ways = {peer: world.network.requests[Link(replica, peer)] for peer in peers}
        self.asked_by = world.network.requests[Link(CLIENT, replica)]
        """The way of clients' requests to here."""
        self._answers_to = world.network.responses[Link(CLIENT, replica)]

    # ---- what happens to it

    @property
    def state(self) -> ReplicaState:
        if self.protocol is None:
            return "down"
        return "paused" if self.paused else "up"

    def start(self) -> None:
        """Begin a life with what is on the disk."""
        self.incarnation += 1
        self.epitaph = None
        self._next_due = _NEVER
        self.clock.restart(*self._unskewed())
        self.step("start", incarnation=self.incarnation)
        self.say(f"starts (life {self.incarnation})")
        records = self.disk.records()
        try:
            self.protocol = self.world.make_protocol(HostIo(self))
            self.protocol.recover(records)
        except Exception as error:
            self._die(f"a handler of the protocol raised {type(error).__name__}: {error}")
            return
        self._settle()

    def kill(self, why: str | None = None) -> None:
        """End at once; `why` is given if nobody killed it. What was being synced may or may not be on the disk."""
        if self.protocol is None:
            return
        if self._syncing:
            self._tear()
        self.step("die" if why else "kill", incarnation=self.incarnation, **({"why": why} if why else {}))
        self.disk.tear(0.0)
        self.protocol = None
        self.paused = self._syncing = self._synced_while_paused = False
        for gathered in (self.outgoing, self.answers, self.timers, self._mailbox):
            gathered.clear()
        calls, self._calls = self._calls, {}
        for call in calls.values():
            self.world.loop.after(MILLISECOND, call.tell, Outcome.info(CLOSED))
        self.world.witness.killed(self.id)

    def _tear(self) -> None:
        """A kill in the middle of a sync: nothing, a part, or all of it is on the disk; then some output may have left."""
        draw = self.world.chance.draw
        place = draw("torn write", self.id, self.incarnation)
        if place < 1 / 3:
            return
        if place < 2 / 3:
            self.disk.tear(draw("torn write at", self.id, self.incarnation))
            return
        self.disk.tear(1.0)
        assert self.protocol is not None
        self.world.told(self.id, self.protocol.invariants())
        count = int(draw("torn output", self.id, self.incarnation) * (len(self.outgoing) + 1))
        self._let_out(self.outgoing[:count], [])

    def _die(self, why: str) -> None:
        """End by its own hand."""
        self.say(why)
        if self.protocol is None:  # it did not even begin
            self.timers.clear()
        self.kill(why)
        self.epitaph = why

    def pause(self) -> None:
        if self.protocol is not None and not self.paused:
            self.paused = True
            self.step("pause")

    def resume(self) -> None:
        if not self.paused:
            return
        self.paused = False
        self.step("resume")
        if self._synced_while_paused:
            self._synced_while_paused = False
            self._synced()
        elif not self._syncing:
            self._turn()

    def wipe(self) -> None:
        self.kill()
        self.disk.wipe()
        self.world.witness.wiped(self.world.time_ns, self.id)
        self.step("wipe")

    @property
    def unskewed_seconds(self) -> float:
        """What the clock would show now if no fault had ever touched it."""
        return self.world.loop.now / SECOND + self._unskewed()[0]

    def _unskewed(self) -> tuple[float, float]:
        """The offset that the clock would have by now if no fault had ever touched it, and its rate."""
        offset, drift = self.world.skew_of(self.id)
        return offset + self.world.loop.now / SECOND * (drift - 1.0), drift

    def set_clock(self, offset_seconds: float, rate: float) -> None:
        """Skew the clock, and look at the timers again."""
        offset, drift = self._unskewed()
        self.clock.set(offset + offset_seconds, drift * rate)
        self.step("clock", offset_seconds=offset_seconds, rate=rate)
        for name, (moment, number) in self.timers.items():
            self._arm(name, moment, number)

    # ---- what comes in

    def receive(self, sender: str, text: bytes) -> None:
        """A message of a peer has arrived."""
        if self.protocol is None or len(self._mailbox) >= MAILBOX_LIMIT:
            return
        self._mailbox.append((sender, text))
        if not (self._syncing or self.paused):
            self._turn()

    def request(self, client: str, sequence: int, token: int, tell: Tell, text: bytes) -> None:
        """A client's request has arrived; `tell` hears what the client will hear of it."""
        if self.protocol is None:
            self.world.loop.after(MILLISECOND // 2, tell, Outcome.info(CLOSED))
            return
        request = Request(client, sequence, decode(text), token)
        if self.trace is not None:
            self.step("request", client=client, sequence=sequence, operation=request.operation)
        self._calls[token] = Call(client, tell)
        if problem := self.world.machine_problem(request.operation):
            self._let_out([], [(request, encode_outcome(Outcome.fail(problem)))])
        elif len(self._mailbox) >= MAILBOX_LIMIT:
            self._let_out([], [(request, encode_outcome(Outcome.fail("the mailbox is full")))])
        else:
            self._mailbox.append((None, request))
            if not (self._syncing or self.paused):
                self._turn()

    def forget(self, token: int) -> None:
        """The client has stopped waiting."""
        self._calls.pop(token, None)

    # ---- timers

    def set_timer(self, name: str, seconds: float) -> None:
        self._numbers += 1
        moment = self.clock.now() + max(0.0, seconds)
        self.timers[name] = (moment, self._numbers)
        if moment < self._next_due:
            self._next_due = moment
        self._arm(name, moment, self._numbers)

    def _arm(self, name: str, moment: float, number: int) -> None:
        self.world.loop.after(self.clock.true_ns_until(moment), self._ring, name, number, self.incarnation)

    def _ring(self, name: str, number: int, incarnation: int) -> None:
        timer = self.timers.get(name)
        if timer is None or timer[1] != number or incarnation != self.incarnation:
            return
        if self.clock.now() < timer[0]:  # the clock was set meanwhile
            self._arm(name, *timer)
        elif not (self._syncing or self.paused):
            self._turn()

    # ---- turns

    def _turn(self) -> None:
        """Handle what has gathered; whatever a handler raises is the end of the replica."""
        protocol, mailbox = self.protocol, self._mailbox
        if protocol is None:
            return
        try:
            if self._next_due <= self.clock.now():
                self._handle_timers(protocol)
            count = min(TURN_LIMIT, len(mailbox))
            self.handled += count
            for _ in range(count):
                sender, content = mailbox.popleft()
                if sender is None:
                    protocol.on_request(content)
                else:
                    message = decode(content)
                    if self.world.on_moment is not None:
                        self.world.on_moment("deliver", str(message.get("type", "message")), self.id, sender)
                    protocol.on_message(sender, message)
        except Exception as error:
            self._die(f"a handler of the protocol raised {type(error).__name__}: {error}")
            return
        self._settle()

    def _handle_timers(self, protocol: Protocol) -> None:
        """Those that are due, the longest overdue first; bounded, since a handler may set one that is due at once."""
        now = self.clock.now()
        for _ in range(TURN_LIMIT):
            if self._next_due > now:
                return
            if not self.timers:
                self._next_due = _NEVER
                return
            (moment, _), name = min((timer, name) for name, timer in self.timers.items())
            self._next_due = moment
            if moment > now:
                return
            del self.timers[name]
            self.handled += 1
            if self.trace is not None:
                self.step("timer", name=name)
            protocol.on_timer(name)

    def _settle(self) -> None:
        """Make durable what was appended; after that, and only then, let out what was sent and replied."""
        if not self.disk.dirty:
            self._finish()
            return
        self._syncing = True
        sync_ms = self.world.spec.simulation.sync_ms * self._sync_times.uniform(0.5, 1.5) + self.disk.state.slow_ms
        self.world.loop.after(round(sync_ms * MILLISECOND), self._on_synced, self.incarnation)

    def _on_synced(self, incarnation: int) -> None:
        if incarnation != self.incarnation or self.protocol is None:
            return
        if self.paused:
            self._synced_while_paused = True
        else:
            self._synced()

    def _synced(self) -> None:
        try:
            self.disk.sync()
        except SyncFailed as failure:
            self._syncing = False
            self.disk.tear(self.world.chance.draw("failed sync", self.id, self.incarnation))
            self._die(str(failure))
            return
        if self.trace is not None:
            self.step("sync")
        self._syncing = False
        self._finish()

    def _finish(self) -> None:
        """What was done is durable: tell the witness, let the output leave, and go on with what came meanwhile."""
        assert self.protocol is not None
        if claims := self.protocol.invariants():
            self.world.told(self.id, claims)
        if self.outgoing or self.answers:
            outgoing, self.outgoing = self.outgoing, []
            answers, self.answers = self.answers, []
            self._let_out(outgoing, answers)
        if self._mailbox or self._next_due <= self.clock.now():
            # As an event of its own: a protocol whose timers are due at once for ever would never come back from here.
            self.world.loop.after(0, self._turn_if_free, self.incarnation)

    def _turn_if_free(self, incarnation: int) -> None:
        if incarnation == self.incarnation and not (self._syncing or self.paused):
            self._turn()

    def _let_out(self, outgoing: Sequence[tuple[str, str, bytes]], answers: Sequence[tuple[Request, bytes]]) -> None:
        world = self.world
        carry, hosts = world.network.carry, world.hosts
        for peer, kind, text in outgoing:
            carry(self._ways[peer], kind, text, hosts[peer].receive, self.id)
            if world.on_moment is not None:
                world.on_moment("send", kind, self.id, peer)
        for request, text in answers:
            outcome = decode(text)
            if outcome["type"] == "ok":
                world.acknowledged(self.id, request, outcome["result"])
            if self.trace is not None:
                self.step("reply", client=request.client, sequence=request.sequence, outcome=outcome)
            call = self._calls.pop(request.token, None)
            if call is not None:
                carry(self._answers_to, call.client, text, _tell, call.tell)

    # ---- for people

    def say(self, text: str) -> None:
        """A line for the replica's log."""
        self.lines.append(f"{self.world.time_ns / SECOND:.6f} {text}")
        self.step("log", text=text)

    def step(self, what: str, **more: Any) -> None:
        if self.trace is not None:
            self.trace.add(self.world.time_ns, what, self.id, **copy(more))


def encode_outcome(outcome: Outcome) -> bytes:
    """An outcome as a replica answers it."""
    if outcome.type == "ok":
        return encode({"type": "ok", "result": outcome.result})
    return encode({"type": outcome.type, "error": outcome.error, "leader": outcome.leader})


def _tell(tell: Tell, text: bytes) -> None:
    answer = decode(text)
    tell(Outcome(answer["type"], answer.get("result"), answer.get("error"), answer.get("leader")))
