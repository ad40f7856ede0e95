"""Primary-backup: one replica decides, the others copy what it did.

The idea
    Clients talk to the primary. It executes a request, sends the EFFECT to every backup in its set, waits until each has
    said that it is safe on its disk, and then answers. Backups are passive: they install what they are sent, in order.
    Of n replicas all but one may crash, and the last one still has everything that was ever acknowledged.

"Did it happen?" and "happened twice"
    When the primary dies, its client can't know whether the request was carried out, and must ask the next primary
    again. So that asking again is harmless, every replica remembers the last request of each client and what it
    returned; this table travels with the effects. A request that is already in it gets the remembered result.

Who is primary: views
    A view is a number, a primary and the set of replicas whose OK is needed. Whenever the primary or the set changes a
    new view begins, with a number higher than any its maker has seen; where two numbers are equal the higher-numbered
    primary counts as higher. All views of one primary from its take-over on are one reign, in which effects are numbered
    without a gap. Views and effects are in the journal before anything is said about them.

    A replica is a member of a view (`primary`, `backup`) or outside (`joining`). It is outside after a restart, when it
    learns that it was left out, and when it was primary and meets a higher view. Outside it answers nobody and can't
    become primary: it has to be given the state by a primary first. So the old primary that comes back, although it has
    the lowest number, never displaces the present one.

    Every replica sends every other a heartbeat. Who is not heard for `suspect_seconds` is believed dead; a backup that
    is heard but doesn't acknowledge for as long is left out too. When the primary is believed dead, or says itself that
    it was restarted, the lowest-numbered member believed alive becomes primary. Its own state is then the truth: it
    starts a new view with all that it believes alive, and sends them the whole state.

    If nobody is a member of anything (at the first start, or after all have crashed), a replica may not trust its own
    disk: others may have gone on without it. It waits until it hears from every replica in the set of the highest view
    that anyone remembers; the one with the longest log of that view then becomes primary.

Messages (each carries the sender's `view`)
    heartbeat  active, applied, hears   I am alive; how far I am; whom I hear
    effects    first, effects           install these, the first of which has this number
    ok         applied                  everything up to this number is on my disk
    state      applied, machine, clients  here is everything; be a member of my view

Reads
    The primary answers a read from its own state, but not before everything which that state contains is acknowledged:
    otherwise it would show a write that can still be lost.

What it survives, and where it fails
    With `acknowledge: all` it is linearizable as long as the failure detector is right: crashes, restarts, lost and late
    messages. But it depends on that detector. A partition, or a pause longer than `suspect_seconds`, makes a live
    primary look dead; then there are two, each leaves the other's side out of its set, and both acknowledge. When they
    meet again the higher view stays, and what the other side acknowledged since they parted is overwritten.

    With `acknowledge: none` the primary answers at once and ships effects every `ship_seconds` (asynchronous
    replication). Whatever it had not shipped when it died is lost, although its clients were told that it happened.

Sources: the classic lectures on replication (remote-write primary-backup, asynchronous replication); Budhiraja,
Marzullo, Schneider and Toueg, "The primary-backup approach", 1993; Skeen, "Determining the last process to fail", 1985,
for the wait after a total crash.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from pydantic import Field

from node.machine import Machine
from node.protocol import Io, Message, Outcome, Protocol, Record, Request, Status, replica_number
from node.protocols.detector import Detector, DetectorOptions

EFFECTS_PER_MESSAGE = 200
EFFECTS_KEPT = 5_000
"""How many effects a primary keeps for a backup that lags; one that lags more is sent the whole state."""


class PrimaryBackupOptions(DetectorOptions):
    acknowledge: Literal["all", "none"] = Field(
        default="all", description="answer a client when all backups have its effect, or at once (asynchronous)"
    )
    ship_seconds: float = Field(default=0.1, gt=0, description="with acknowledge none: how often effects are shipped")
    compact_every: int = Field(default=2_000, ge=1, description="records after which the journal becomes one snapshot")


class View(NamedTuple):
    """Who is in charge, and whose OK is needed. `since` is the number of the view in which this reign began."""

    number: int
    primary: str
    since: int
    members: tuple[str, ...]

    @property
    def rank(self) -> tuple[int, int]:
        return self.number, replica_number(self.primary) if self.primary else 0

    def same_reign(self, other: View) -> bool:
        return (self.primary, self.since) == (other.primary, other.since)

    @classmethod
    def from_json(cls, value: list[Any]) -> View:
        number, primary, since, members = value
        return cls(number, primary, since, tuple(members))


@dataclass
class Sign:
    """What a peer told with its last sign of life."""

    view: View
    active: bool
    applied: int
    hears_me: bool


@dataclass
class Progress:
    """What the primary knows of one backup."""

    acked: int | None
    """The last effect that is on its disk; None until it has said that it has the state."""
    sent: int
    state_sent_at: float
    moved_at: float
    """When it last acknowledged something new, or owed nothing."""


class Pending(NamedTuple):
    """An answer that waits until everything up to the effect `after` is acknowledged."""

    after: int
    request: Request
    outcome: Outcome


class PrimaryBackup(Protocol):
    name = "primary-backup"
    promises = (
        "linearizable under crashes (acknowledge: all) while its failure detector is right; a partition or a long pause "
        "makes two primaries, and with acknowledge: none a crash of the primary loses acknowledged writes"
    )
    roles = ("primary", "backup", "joining")
    chief = "primary"
    Options = PrimaryBackupOptions

    options: PrimaryBackupOptions

    def __init__(self, io: Io, machine: Machine, options: PrimaryBackupOptions) -> None:
        super().__init__(io, machine, options)
        # The state: in the journal, and the same on every member of a view but for the effects on their way.
        self.view = View(0, "", 0, io.replicas)
        self.applied = 0
        self.clients: dict[str, list[Any]] = {}
        """The last request of each client that was not a query: `[sequence, result]`."""
        self.records = 0
        # In memory only.
        self.active = False
        self.signs: dict[str, Sign] = {}
        self.highest = 0
        self.detector = Detector(io, options)
        # The primary's.
        self.progress: dict[str, Progress] = {}
        self.effects: dict[int, list[Any]] = {}
        self.pending: deque[Pending] = deque()

    # ---- life

    def recover(self, records: Sequence[Record]) -> None:
        for record in records:
            if record["type"] == "state":
                self._restore(record)
            elif record["type"] == "view":
                self.view = View.from_json(record["view"])
            else:
                self._install(record["entry"])
        self.records = len(records)
        self.highest = self.view.number
        self._heartbeat(self.io.peers)
        self._revive()
        self.io.set_timer("tick", self.options.heartbeat_seconds)
        if self.options.acknowledge == "none":
            self.io.set_timer("ship", self.options.ship_seconds)

    def on_timer(self, name: str) -> None:
        if name == "ship":
            self.io.set_timer("ship", self.options.ship_seconds)
            self._ship()
            return
        self.io.set_timer("tick", self.options.heartbeat_seconds)
        absence = self.detector.tick()
        for progress in self.progress.values():
            progress.moved_at += absence
        if self.role == "primary":
            self._watch_backups()
        elif self.role == "backup":
            self._watch_primary()
        else:
            self._revive()
        self._heartbeat(self.io.peers)
        if self.records > self.options.compact_every:
            self._compact()

    @property
    def role(self) -> str:
        if not self.active:
            return "joining"
        return "primary" if self.view.primary == self.io.id else "backup"

    def status(self) -> Status:
        return {
            "role": self.role,
            "leader": self._leader(),
            "term": f"{self.view.number} ({self.view.primary or 'nobody'})",
            "log_index": self.applied,
            "commit_index": self._acknowledged() if self.role == "primary" else self.applied,
            "digest": self.machine.digest(),
            "details": {
                "view": self.view.number,
                "set": list(self.view.members),
                "alive": self.detector.alive(),
                "waiting": len(self.pending),
                "clients": len(self.clients),
            },
        }

    def _leader(self) -> str | None:
        """Whom to send a client to: the primary of the highest view that anyone who is alive is a member of."""
        if self.role == "primary":
            return self.io.id
        views = [self.signs[peer].view for peer in self.detector.alive() if self.signs[peer].active]
        if self.active:
            views.append(self.view)
        elsewhere = [view for view in views if view.primary != self.io.id]
        return max(elsewhere, key=lambda view: view.rank).primary if elsewhere else None

    # ---- clients

    def on_request(self, request: Request) -> None:
        if self.role != "primary":
            self.io.reply(request, Outcome.fail("not the primary", leader=self._leader()))
            return
        outcome = self._execute(request)
        if self.options.acknowledge == "none":
            self.io.reply(request, outcome)
        else:
            self.pending.append(Pending(self.applied, request, outcome))
            self._ship()
            self._answer()

    def _execute(self, request: Request) -> Outcome:
        """Carry the request out, unless it is a repetition; its effect then waits to be shipped."""
        if request.operation["f"] in self.machine.queries:
            return Outcome.ok(self.machine.execute(request.operation).result)
        last = self.clients.get(request.client)
        if last is not None and request.sequence == last[0]:
            return Outcome.ok(last[1])
        if last is not None and request.sequence < last[0]:
            return Outcome.info("an earlier request than the last one of this client: its result is forgotten")
        executed = self.machine.execute(request.operation)
        entry = [request.client, request.sequence, executed.result, executed.effect]
        # A result without an effect is replicated too: were it forgotten, the request could be repeated and do something.
        self._append({"type": "effect", "entry": entry})
        self._install(entry)
        self.effects[self.applied] = entry
        self.effects.pop(self.applied - EFFECTS_KEPT, None)
        return Outcome.ok(executed.result)

    def _acknowledged(self) -> int:
        """The last effect that every member of the set has on its disk."""
        acked = [-1 if progress.acked is None else progress.acked for progress in self.progress.values()]
        return min(acked, default=self.applied)

    def _answer(self) -> None:
        acknowledged = self._acknowledged()
        while self.pending and self.pending[0].after <= acknowledged:
            pending = self.pending.popleft()
            self.io.reply(pending.request, pending.outcome)

    # ---- effects

    def _install(self, entry: list[Any]) -> None:
        client, sequence, result, effect = entry
        self.machine.install(effect)
        self.clients[client] = [sequence, result]
        self.applied += 1

    def _ship(self) -> None:
        """Send each backup what it wasn't sent yet."""
        for peer, progress in self.progress.items():
            while progress.sent < self.applied:
                self._send_effects(peer, progress)

    def _send_effects(self, peer: str, progress: Progress) -> None:
        first = progress.sent + 1
        if first not in self.effects:
            self._send_state(peer, progress)
            return
        last = min(self.applied, progress.sent + EFFECTS_PER_MESSAGE)
        effects = [self.effects[number] for number in range(first, last + 1)]
        self._send(peer, {"type": "effects", "first": first, "effects": effects})
        progress.sent = last

    def _send_state(self, peer: str, progress: Progress) -> None:
        self._send(peer, self._state())
        progress.sent = self.applied
        progress.state_sent_at = self.io.now()

    def _on_effects(self, sender: str, view: View, message: Message) -> None:
        if self.role != "backup" or not view.same_reign(self.view):
            return
        for number, entry in enumerate(message["effects"], message["first"]):
            if number == self.applied + 1:
                self._append({"type": "effect", "entry": entry})
                self._install(entry)
        self._send(sender, {"type": "ok", "applied": self.applied})

    def _on_ok(self, sender: str, view: View, message: Message) -> None:
        progress = self.progress.get(sender)
        if progress is None or not view.same_reign(self.view):
            return
        if progress.acked is None or message["applied"] > progress.acked:
            progress.acked = message["applied"]
            progress.moved_at = self.io.now()
            self._answer()

    # ---- the state as a whole

    def _state(self) -> dict[str, Any]:
        machine, clients = self.machine.snapshot(), dict(self.clients)
        return {"type": "state", "view": self.view, "applied": self.applied, "machine": machine, "clients": clients}

    def _restore(self, state: dict[str, Any]) -> None:
        self.view = View.from_json(state["view"])
        self.applied = state["applied"]
        self.machine.restore(state["machine"])
        self.clients = dict(state["clients"])

    def _on_state(self, sender: str, view: View, message: Message) -> None:
        if view.rank < self.view.rank:
            return
        if view.same_reign(self.view) and message["applied"] <= self.applied:
            # Late or repeated: what is here already goes on where this state left off.
            self._adopt(view)
        else:
            self._step_down(f"the state of {sender} replaces what is here")
            self._restore(message)
            self._compact()
        if not self.active:
            self.io.log(f"joined view {view.number} of {sender} at effect {self.applied}")
            self.active = True
            self._heartbeat(self.io.peers)  # from now on it counts when a successor is needed
        self._send(sender, {"type": "ok", "applied": self.applied})

    def _append(self, record: Record) -> None:
        self.io.append(record)
        self.records += 1

    def _compact(self) -> None:
        self.io.compact([self._state()])
        self.records = 1

    # ---- views

    def _adopt(self, view: View) -> None:
        """Take over another view of the same reign: only the set has changed."""
        if view != self.view:
            self.view = view
            self._append({"type": "view", "view": view})

    def _rule(self, members: Iterable[str], since: int | None = None) -> None:
        """Begin a new view with this replica as primary; a new reign unless `since` says which one goes on."""
        self.highest += 1
        chosen = tuple(replica for replica in self.io.replicas if replica == self.io.id or replica in set(members))
        self._adopt(View(self.highest, self.io.id, self.highest if since is None else since, chosen))
        self.io.log(f"primary of view {self.view.number} with the set {', '.join(chosen)}")

    def _take_over(self, reason: str) -> None:
        self.io.log(f"takes over at effect {self.applied}: {reason}")
        self.active = True
        self.effects.clear()
        # Whoever is alive is in the set from the start: somebody left out might take over, too.
        self._rule(self.detector.alive())
        now = self.io.now()
        self.progress = {
            peer: Progress(None, self.applied, now, now) for peer in self.view.members if peer != self.io.id
        }
        for peer, progress in self.progress.items():
            self._send_state(peer, progress)

    def _take_in(self, peer: str) -> None:
        """Give a replica outside the state. From now on its OK is needed: as soon as it has the state, it may rule."""
        now = self.io.now()
        if peer not in self.progress:
            self._rule((*self.view.members, peer), since=self.view.since)
            self.progress[peer] = Progress(None, self.applied, now, now)
        elif now - self.progress[peer].state_sent_at < self.options.heartbeat_seconds:
            return
        self.progress[peer].acked = None
        self._send_state(peer, self.progress[peer])

    def _step_down(self, reason: str) -> None:
        """Be outside. What was not acknowledged may yet be kept or lost: nobody here can tell."""
        if self.active:
            self.io.log(f"is outside of view {self.view.number}: {reason}")
        self.active = False
        for pending in self.pending:
            self.io.reply(pending.request, Outcome.info("the primary was replaced before all backups had it"))
        self.pending.clear()
        self.progress.clear()
        self.effects.clear()

    # ---- who is alive

    def _send(self, peer: str, message: Message) -> None:
        self.io.send(peer, {**message, "view": self.view})

    def _heartbeat(self, peers: Iterable[str]) -> None:
        message = {"type": "heartbeat", "active": self.active, "applied": self.applied, "hears": self.detector.alive()}
        for peer in peers:
            self._send(peer, message)

    def _watch_backups(self) -> None:
        """Leave out who is silent, and send again what was not acknowledged."""
        now, kept = self.io.now(), []
        for peer, progress in self.progress.items():
            if progress.acked == self.applied:
                progress.moved_at = now
            if self.detector.is_alive(peer) and now - progress.moved_at <= self.options.suspect_seconds:
                kept.append(peer)
        if len(kept) < len(self.progress):
            self.progress = {peer: self.progress[peer] for peer in kept}
            self._rule(kept, since=self.view.since)
            self._answer()
        for peer, progress in self.progress.items():
            if now - progress.moved_at < self.options.heartbeat_seconds:
                continue
            if progress.acked is None:
                self._send_state(peer, progress)
            elif progress.acked < progress.sent:
                progress.sent = progress.acked
                self._send_effects(peer, progress)
        acknowledged = self._acknowledged()
        for number in [number for number in self.effects if number <= acknowledged]:
            del self.effects[number]

    def _watch_primary(self) -> None:
        """Take over if the primary is gone and nobody with a lower number is there to do it."""
        primary = self.view.primary
        if self.detector.is_alive(primary) and self.signs[primary].active:
            return
        members = [peer for peer in self.detector.alive() if self.signs[peer].active and peer != primary]
        if all(replica_number(peer) > replica_number(self.io.id) for peer in members):
            self._take_over(f"{primary} is gone")

    def _revive(self) -> None:
        """Outside, with nobody inside: become primary if no replica that may know more is missing."""
        alive = self.detector.alive()
        if any(self.signs[peer].active for peer in alive):
            return
        known = {peer: (self.signs[peer].view, self.signs[peer].applied) for peer in alive}
        known[self.io.id] = (self.view, self.applied)
        newest = max((view for view, _ in known.values()), key=lambda view: view.rank)
        if not set(newest.members) <= known.keys():
            return
        best = max(known, key=lambda replica: (known[replica][0].rank, known[replica][1], -replica_number(replica)))
        if best == self.io.id:
            self._take_over("no replica is a member of a view, and no other knows more")

    # ---- messages

    def on_message(self, sender: str, message: Message) -> None:
        view = View.from_json(message["view"])
        self.highest = max(self.highest, view.number)
        self._note_sign(sender, view, message)
        if message["type"] != "heartbeat" and view.rank < self.view.rank and not view.same_reign(self.view):
            self._heartbeat([sender])  # it lives in the past: let it know
        self._compare_views(view, message.get("active", True))
        match message["type"]:
            case "heartbeat":
                self._on_heartbeat(sender, message)
            case "effects":
                self._on_effects(sender, view, message)
            case "ok":
                self._on_ok(sender, view, message)
            case "state":
                self._on_state(sender, view, message)

    def _note_sign(self, sender: str, view: View, message: Message) -> None:
        self.detector.hear(sender)
        before = self.signs.get(sender)
        hears_me = self.io.id in message["hears"] if "hears" in message else before is not None and before.hears_me
        active = message.get("active", True)
        applied = message.get("applied", before.applied if before else 0)
        self.signs[sender] = Sign(view, active, applied, hears_me)

    def _compare_views(self, view: View, active: bool) -> None:
        """Learn from the view of somebody who is a member of it."""
        if not (active and self.active and view.rank > self.view.rank):
            return
        if self.role == "primary":
            self._step_down(f"view {view.number} of {view.primary} is higher")
        elif self.io.id not in view.members:
            self._step_down(f"view {view.number} of {view.primary} leaves this replica out")
        elif view.same_reign(self.view):
            self._adopt(view)

    def _on_heartbeat(self, sender: str, message: Message) -> None:
        if self.role == "primary":
            if not message["active"] and self.signs[sender].hears_me:
                self._take_in(sender)
        elif self.role == "joining":
            self._revive()
