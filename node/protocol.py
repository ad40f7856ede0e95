"""THE CONTRACT of a replication protocol.

A protocol is a plain object without I/O. Its handlers take a client's request, a peer's message or a timer, change the
object's own fields, and speak only through the `Io` they were given. The same object, unchanged, is hosted by a Flask
replica in a container, by the same replica as a local process, and by a simulator on a virtual clock. From that follow
the rules a protocol must keep:

- handlers never block, never read a wall clock (use `io.now()`), never use global randomness (use `io.random`), and
  never iterate over an unordered set where the order could be seen from outside;
- messages, records, results and statuses are JSON values: what is sent is not what is received, but an equal copy;
- a link is fair-loss: a message may be lost, delayed, repeated or overtaken; retrying is the protocol's business;
- a clock tells the time of one replica alone: it may be skewed against the others.

What the host guarantees in return:

- handlers run one at a time;
- what a handler appended to the journal is durable BEFORE anything that the same handler (or a later one) sent or
  replied leaves the replica. The host may run many handlers, sync once, and then let all of their output go (group
  commit). What is appended and not yet synced is lost by a kill, truly;
- `recover` is called once, before every other handler, with all durable records in order (an empty list for a replica
  that is new or was wiped); timers, open requests and everything else that was only in memory are gone by then;
- a reply for a request whose client is no longer waiting is dropped quietly; a request that is never replied to becomes
  `info` for its client when its time is up.

A worked example, a service of one replica that survives a kill::

    class Alone(Protocol):
        name = "alone"
        promises = "linearizable, and unavailable while its one replica is down"

        def recover(self, records):
            for record in records:
                self.machine.install(record["effect"])

        def on_request(self, request):
            executed = self.machine.execute(request.operation)
            self.io.append({"effect": executed.effect})
            self.machine.install(executed.effect)
            self.io.reply(request, Outcome.ok(executed.result))
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NotRequired, TypedDict

from pydantic import BaseModel, ConfigDict

from node.invariants import Claim
from node.machine import Machine, Operation
from node.words import Phrases, phrase

Message = dict[str, Any]
"""What one replica sends another: a JSON object. By convention its `type` names it."""

Record = dict[str, Any]
"""What a replica writes to its journal: a JSON object. By convention its `type` names it."""


@dataclass(frozen=True)
class Request:
    """One client's wish to have `operation` carried out.

    `(client, sequence)` names the wish: a client that sends the same pair again asks whether the first one was carried
    out, and must get the first one's result instead of a second execution. A client has one wish open at a time and its
    sequence numbers only grow, so a replica needs to remember no more than the last one of each client. `token` names
    this delivery of the wish and tells the host where the reply goes; a protocol only hands it back.
    """

    client: str
    sequence: int
    operation: Operation
    token: int


@dataclass(frozen=True)
class Outcome:
    """What a replica tells a client.

    `ok`: it happened, and `result` is what it returned. `fail`: it certainly did not happen and never will, for the
    reason in `error`; saying so is a promise about every replica. `info`: not known. `leader` is a hint whom to ask.
    """

    type: Literal["ok", "fail", "info"]
    result: Any = None
    error: str | None = None
    leader: str | None = None

    @classmethod
    def ok(cls, result: Any) -> Outcome:
        return cls("ok", result=result)

    @classmethod
    def fail(cls, error: str, leader: str | None = None) -> Outcome:
        return cls("fail", error=error, leader=leader)

    @classmethod
    def info(cls, error: str, leader: str | None = None) -> Outcome:
        return cls("info", error=error, leader=leader)


class Status(TypedDict):
    """What a replica says of itself: for people, for targets such as `leader`, for invariants. Never for safety."""

    role: str
    """One of the protocol's `roles`."""
    leader: str | None
    """Whom this replica believes to be in charge; itself, if its role is the protocol's `chief`."""
    term: str | int | None
    """Its view, term or ballot, as a person would write it."""
    log_index: int
    """How far its log reaches."""
    commit_index: int
    """How much of that it knows to be decided and has applied."""
    digest: str
    """A digest of the applied state of its machine: equal states, equal digests."""
    details: NotRequired[dict[str, Any]]
    """Anything more that helps to understand a run."""


class Io(ABC):
    """All that a protocol can do to the world. The host implements it."""

    id: str
    """This replica's name, such as `n1`."""
    peers: tuple[str, ...]
    """The names of all other replicas, sorted by number."""
    random: random.Random
    """The only source of chance."""

    @property
    def replicas(self) -> tuple[str, ...]:
        """All replicas, this one included, sorted by number (`n2` before `n10`)."""
        return tuple(sorted((*self.peers, self.id), key=replica_number))

    @property
    def majority(self) -> int:
        """The smallest number of replicas of which any two groups of that size share a member."""
        return (len(self.peers) + 1) // 2 + 1

    @abstractmethod
    def now(self) -> float:
        """Seconds on this replica's own clock; never goes back while the replica runs, says nothing across replicas."""

    @abstractmethod
    def send(self, peer: str, message: Message) -> None:
        """Send one message, once, without waiting. It may be lost. Sending to oneself is an error."""

    @abstractmethod
    def append(self, record: Record) -> None:
        """Add a record to the journal. Durable before anything sent or replied from now on leaves the replica."""

    @abstractmethod
    def compact(self, records: Sequence[Record]) -> None:
        """Replace the whole journal by `records`, atomically: after a kill either all of the old or all of these."""

    @abstractmethod
    def reply(self, request: Request, outcome: Outcome) -> None:
        """Answer a request. Only the first reply to a token counts."""

    @abstractmethod
    def set_timer(self, name: str, seconds: float) -> None:
        """Call `on_timer(name)` once, `seconds` from now on this replica's clock; replaces a timer of the same name."""

    @abstractmethod
    def cancel_timer(self, name: str) -> None:
        """Forget the timer; nothing happens if there is none. A cancelled timer is never delivered."""

    @abstractmethod
    def log(self, text: str) -> None:
        """Write a line to the replica's log file, for people."""


class ProtocolOptions(BaseModel):
    """The base of a protocol's options: every field has a default and a description; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Protocol(ABC):
    """One replica's side of a replication protocol."""

    name: ClassVar[str]
    """As in campaigns: `multi-paxos`."""
    promises: ClassVar[str]
    """One sentence: the consistency it promises, and under which faults."""
    consistency: ClassVar[str] = "linearizable"
    """The first of these in a word or two: what its answers are judged by."""
    tolerates: ClassVar[str] = "f of 2f + 1 replicas"
    """How many replicas may fail while it goes on."""
    roles: ClassVar[tuple[str, ...]] = ("replica",)
    """Every role that `status()` can tell."""
    chief: ClassVar[str | None] = None
    """The role that is in charge (`leader`, `primary`), if the protocol has one. Targets of that name find it."""
    progresses_with: ClassVar[Literal["majority", "all"]] = "majority"
    """Who has to be up, connected and timely, after faults that it survives, for it to answer again."""
    Options: ClassVar[type[ProtocolOptions]] = ProtocolOptions
    machines: ClassVar[Mapping[str, frozenset[str]] | None] = None
    """The machines that it can replicate, by name, each with the functions that it offers; None: any, whole."""
    machines_why: ClassVar[str] = ""
    """Where it names its machines: why it can't replicate others; the rest of a sentence."""
    background: ClassVar[frozenset[str]] = frozenset()
    """Types of messages that say nothing new, such as heartbeats: the story of a run leaves them out."""
    phrases: ClassVar[Phrases] = {}
    """Each type of messages and records in words, for stories and diagrams: see `node.words`."""

    def __init__(self, io: Io, machine: Machine, options: ProtocolOptions) -> None:
        self.io = io
        self.machine = machine
        self.options = options

    @abstractmethod
    def recover(self, records: Sequence[Record]) -> None:
        """Rebuild the state from the durable records, and set the first timers. Called once, first."""

    @abstractmethod
    def on_request(self, request: Request) -> None:
        """A client asks. The operation is one that the machine knows; reply now, later or never."""

    @abstractmethod
    def on_message(self, sender: str, message: Message) -> None:
        """A peer says something: perhaps twice, perhaps long ago."""

    @abstractmethod
    def on_timer(self, name: str) -> None:
        """A timer that was set has run out."""

    @abstractmethod
    def status(self) -> Status:
        """Tell role, leader and progress; without side effects, at any time after `recover`."""

    def invariants(self) -> Iterable[Claim]:
        """What has become true of this replica since the last call, to be held against what others say.

        See `node.invariants`, also for when a host may ask: after a turn whose records are durable, before its output
        leaves. Optional; it must be cheap when nothing has changed, and keep nothing that grows if nobody ever asks.
        """
        return ()

    @classmethod
    def refusal(cls, machine: type[Machine], functions: Iterable[str] = ()) -> str | None:
        """Why it can't replicate the machine, of which these functions are used, in one sentence; None if it can."""
        if cls.machines is None:
            return None
        if machine.name not in cls.machines:
            return f"{cls.name} can't replicate {machine.name!r}, only {_listed(cls.machines)}: {cls.machines_why}"
        offered = cls.machines[machine.name]
        missing = [f for f in functions if f not in offered]
        if missing:
            return f"{cls.name} has no {missing[0]!r} of {machine.name!r}, only {_listed(offered)}: {cls.machines_why}"
        return None

    @classmethod
    def words(cls, message: Mapping[str, Any]) -> str:
        """A message or a record in a few words; without a phrase for it, its type and all of its fields."""
        return phrase(cls.phrases, message)


def _listed(names: Iterable[str]) -> str:
    return " and ".join(map(repr, sorted(names)))


def replica_number(replica: str) -> int:
    """The number in a replica's name: 3 for `n3`."""
    return int(replica.lstrip("n"))
