"""The runtime: hosts one protocol, and keeps what `node.protocol` promises it.

One thread runs the handlers. Each turn it takes what has gathered in the mailbox, runs the handlers one after another,
syncs the journal once if anything was appended, and only then lets out what they sent and replied (group commit).
A handler that raises, or a journal that can't be synced, ends the process before anything more gets out: a replica that
is down is a fault the protocol is built for, a replica that goes on half broken is not.
"""

from __future__ import annotations

import json
import logging
import os
import random
import threading
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple, TypedDict
from typing import Protocol as Interface

from node.clock import SkewableClock, Timers
from node.journal import Journal, JournalFailed
from node.links import LinkCounters
from node.machine import Machine, Operation
from node.protocol import Io, Message, Outcome, Protocol, ProtocolOptions, Record, Request, Status, replica_number

EXIT_HANDLER_RAISED = 5
EXIT_JOURNAL_FAILED = 6

MAILBOX_LIMIT = 20_000
TURN_LIMIT = 256
"""How many events are handled before the journal is synced and their output leaves."""
OPEN_REQUESTS_LIMIT = 224
"""How many clients may wait at the same time: fewer than the server's threads, so that peers always get one."""
LONGEST_WAIT_SECONDS = 30.0
STOP_SECONDS = 5.0
IDLE_SECONDS = 60.0
"""How long a turn waits at most when nothing happens."""

log = logging.getLogger(__name__)

Crash = Callable[[int, str], None]
"""Ends the process at once, with an exit code and a sentence for the log."""


def crash(code: int, sentence: str) -> None:
    """End the process at once: nothing that is still in memory gets out or is written."""
    log.critical("%s", sentence)
    logging.shutdown()
    os._exit(code)


class Busy(Exception):
    """The replica takes nothing more at present; the message is one sentence. What was refused is certain not to happen."""


class Outbound(Interface):
    """The sending end of a link: see `node.links.Sender`."""

    def start(self) -> None: ...
    def send(self, message: bytes) -> None: ...
    def counters(self) -> LinkCounters: ...
    def close(self) -> None: ...


class HostStatus(TypedDict):
    """What the runtime says of itself, beside the protocol's own status."""

    mailbox: int
    handled: int
    open_requests: int
    journal_bytes: int
    journal_records: int
    syncs: int
    links: dict[str, LinkCounters]


class Letter(NamedTuple):
    """A message in the mailbox."""

    sender: str
    message: Message


Event = Request | Letter


class Mailbox:
    """What waits to be handled, bounded. Any thread puts in, one takes out."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._changed = threading.Condition()
        self._events: deque[Event] = deque()
        self._woken = False

    def __len__(self) -> int:
        return len(self._events)

    def offer(self, events: Sequence[Event]) -> bool:
        """Put all of them in, or none if there is no room for all."""
        with self._changed:
            if len(self._events) + len(events) > self._limit:
                return False
            self._events.extend(events)
            self._changed.notify()
            return True

    def wake(self) -> None:
        """Make the taker look around, though there may be nothing for it."""
        with self._changed:
            self._woken = True
            self._changed.notify()

    def take(self, limit: int, timeout_seconds: float) -> list[Event]:
        """Up to `limit` events, oldest first, as soon as there is one; none after the timeout or when woken."""
        with self._changed:
            self._changed.wait_for(lambda: self._events or self._woken, timeout_seconds)
            self._woken = False
            return [self._events.popleft() for _ in range(min(limit, len(self._events)))]


class _Client:
    """A client who waits for the answer to one request."""

    def __init__(self) -> None:
        self.answered = threading.Event()
        self.answer: bytes | None = None


class _RuntimeIo(Io):
    """What the protocol speaks through. Everything is encoded at once: the protocol may change its objects afterwards."""

    def __init__(self, runtime: Runtime, id: str, peers: tuple[str, ...], seeded: random.Random) -> None:
        self.id = id
        self.peers = peers
        self.random = seeded
        self._runtime = runtime

    def now(self) -> float:
        return self._runtime.clock.now()

    def send(self, peer: str, message: Message) -> None:
        if peer not in self.peers:
            raise ValueError(f"{self.id} has no peer {peer!r} to send to")
        self._runtime.outgoing.append((peer, encode(message)))

    def append(self, record: Record) -> None:
        self._runtime.journal.append(record)

    def compact(self, records: Sequence[Record]) -> None:
        self._runtime.journal.compact(records)

    def reply(self, request: Request, outcome: Outcome) -> None:
        self._runtime.answers.append((request.token, encode_outcome(outcome)))

    def set_timer(self, name: str, seconds: float) -> None:
        self._runtime.timers.set(name, seconds)

    def cancel_timer(self, name: str) -> None:
        self._runtime.timers.cancel(name)

    def log(self, text: str) -> None:
        log.info("%s", text)


class Runtime:
    """Hosts one protocol from `start` to `stop`.

    `journal` is open, and `records` what it held; `links` has a sender for each peer. Runtime closes all of them.
    `crash` must not return in production; a test's may, and the runtime then handles nothing more.
    """

    def __init__(
        self,
        id: str,
        protocol: type[Protocol],
        options: ProtocolOptions,
        machine: Machine,
        *,
        journal: Journal,
        links: Mapping[str, Outbound],
        clock: SkewableClock,
        seeded: random.Random,
        crash: Crash = crash,
        mailbox_limit: int = MAILBOX_LIMIT,
        open_requests_limit: int = OPEN_REQUESTS_LIMIT,
    ) -> None:
        self.journal = journal
        self.clock = clock
        self.timers = Timers(clock)
        self.machine = machine
        self.outgoing: list[tuple[str, bytes]] = []
        """What the handlers of this turn sent: peer and message."""
        self.answers: list[tuple[int, bytes]] = []
        """What they replied: token and outcome."""
        self._links = links
        self._crash = crash
        self._mailbox = Mailbox(mailbox_limit)
        self._open_requests_limit = open_requests_limit
        self._clients: dict[int, _Client] = {}
        self._clients_lock = threading.Lock()
        self._tokens = count(1)
        self._handled = 0
        self._handling = threading.Lock()
        """Held while handlers run: nobody else may look at the protocol then."""
        self._stopping = False
        peers = tuple(sorted(links, key=replica_number))
        self._protocol = protocol(_RuntimeIo(self, id, peers, seeded), machine, options)
        self._thread = threading.Thread(target=self._work, name="handlers", daemon=True)

    def start(self, records: Sequence[Record]) -> None:
        """Let the protocol recover from these records, then handle what comes."""
        for link in self._links.values():
            link.start()
        if self._guarded(lambda: self._recover(records)):
            self._thread.start()

    def stop(self) -> None:
        """Handle nothing more, tell the clients who still wait that the outcome is unknown, close everything."""
        self._stopping = True
        self._mailbox.wake()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)
            if self._thread.is_alive():
                self._crash(
                    EXIT_HANDLER_RAISED, f"a handler has been running for {STOP_SECONDS} s and can't be stopped"
                )
        with self._clients_lock:
            waiting = list(self._clients)
        unknown = encode_outcome(Outcome.info("the replica stopped before it had an answer"))
        for token in waiting:
            self._answer(token, unknown)
        for link in self._links.values():
            link.close()
        self.journal.close()

    def perform(self, client: str, sequence: int, operation: Operation, timeout_seconds: float) -> bytes:
        """Have the protocol carry out an operation that the machine knows; returns the outcome, encoded.

        Waits for `timeout_seconds`, at most 30, and then says `info`. Raises `Busy`.
        """
        timeout_seconds = min(timeout_seconds, LONGEST_WAIT_SECONDS)
        waiting = _Client()
        with self._clients_lock:
            if self._stopping:
                raise Busy("the replica is stopping")
            if len(self._clients) >= self._open_requests_limit:
                raise Busy(f"{self._open_requests_limit} requests are open already")
            token = next(self._tokens)
            self._clients[token] = waiting
        try:
            if not self._mailbox.offer([Request(client, sequence, operation, token)]):
                raise Busy("the mailbox is full")
            waiting.answered.wait(timeout_seconds)
        finally:
            with self._clients_lock:
                self._clients.pop(token, None)
        if waiting.answer is not None:
            return waiting.answer
        return encode_outcome(Outcome.info(f"no answer within {timeout_seconds:g} s"))

    def deliver(self, sender: str, messages: Sequence[Message]) -> None:
        """Take a peer's messages. Raises `Busy`; all of them are lost then."""
        if not self._mailbox.offer([Letter(sender, message) for message in messages]):
            raise Busy("the mailbox is full")

    def wake(self) -> None:
        """Look at the timers again: the clock was set."""
        self._mailbox.wake()

    def protocol_status(self) -> Status:
        """The protocol's own status. Raises `Busy` if handlers leave no moment for it within two seconds."""
        if not self._handling.acquire(timeout=2):
            raise Busy("a handler has been running for 2 s")
        try:
            return self._protocol.status()
        finally:
            self._handling.release()

    def host_status(self) -> HostStatus:
        return HostStatus(
            mailbox=len(self._mailbox),
            handled=self._handled,
            open_requests=len(self._clients),
            journal_bytes=self.journal.size_bytes,
            journal_records=self.journal.records,
            syncs=self.journal.syncs,
            links={peer: link.counters() for peer, link in self._links.items()},
        )

    def _work(self) -> None:
        while not self._stopping and self._guarded(self._turn):
            pass

    def _guarded(self, step: Callable[[], None]) -> bool:
        """Run a step; whatever it raises is the end of the process (of the runtime, where `crash` returns)."""
        try:
            step()
        except JournalFailed as failure:
            self._crash(EXIT_JOURNAL_FAILED, str(failure))
            return False
        except Exception as error:
            log.error("%s", traceback.format_exc())
            self._crash(EXIT_HANDLER_RAISED, f"a handler of the protocol raised {type(error).__name__}: {error}")
            return False
        return True

    def _recover(self, records: Sequence[Record]) -> None:
        with self._handling:
            self._protocol.recover(records)
        self._settle()

    def _turn(self) -> None:
        due_seconds = self.timers.true_seconds_until_due()
        events = self._mailbox.take(TURN_LIMIT, IDLE_SECONDS if due_seconds is None else min(due_seconds, IDLE_SECONDS))
        if self._stopping:
            return
        with self._handling:
            self._handle_timers()
            for event in events:
                self._handle(event)
        self._settle()

    def _handle_timers(self) -> None:
        # Bounded: a handler may set a timer that is due at once.
        for _ in range(TURN_LIMIT):
            name = self.timers.pop_due()
            if name is None:
                return
            self._handled += 1
            self._protocol.on_timer(name)

    def _handle(self, event: Event) -> None:
        self._handled += 1
        if isinstance(event, Request):
            self._protocol.on_request(event)
        else:
            self._protocol.on_message(event.sender, event.message)

    def _settle(self) -> None:
        """Make durable what was appended; after that, and only then, let out what was sent and replied."""
        if self.journal.dirty:
            self.journal.sync()
        outgoing, self.outgoing = self.outgoing, []
        answers, self.answers = self.answers, []
        for peer, message in outgoing:
            self._links[peer].send(message)
        for token, outcome in answers:
            self._answer(token, outcome)

    def _answer(self, token: int, outcome: bytes) -> None:
        with self._clients_lock:
            waiting = self._clients.pop(token, None)
        if waiting is not None:
            waiting.answer = outcome
            waiting.answered.set()


def encode(value: Any) -> bytes:
    """The value as JSON. Raises `TypeError` or `ValueError` for what isn't a JSON value."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")


def encode_outcome(outcome: Outcome) -> bytes:
    """An outcome as `/op` answers it."""
    if outcome.type == "ok":
        return encode({"type": "ok", "result": outcome.result})
    return encode({"type": outcome.type, "error": outcome.error, "leader": outcome.leader})


def incarnation_random(seed: int, id: str, incarnation: int) -> random.Random:
    """The chance of one life of one replica: the same for the same three, and different for any other."""
    return random.Random(f"{seed}/{id}/{incarnation}")
