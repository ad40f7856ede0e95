"""Primary-backup: one replica decides, the others copy what it did.

The idea
    Clients talk to the primary. It executes a request, sends an update to every backup in its set, waits until each has
    said that it is safe on its disk, and then answers. Backups are passive: they take over what they are sent, in order.
    Of n replicas all but one may crash, and the last one still has everything that was ever acknowledged: f + 1 replicas
    survive f failures.

    An update says what the operation changed (`ship: state`), or it is the operation, which every backup carries out
    once more (`ship: operations`): shorter if it changes much, dearer if it computes much, and right only because
    machines are deterministic.

"Did it happen?" and "happened twice"
    When the primary dies, its client can't know how far it came: nobody else has the update (did it happen? no: it is
    gone), the backups have it and the answer was never sent (it happened, and may not happen twice), or the answer was
    sent and lost. In all three the client asks the next primary again, with the same id. So that asking again is
    harmless, every replica remembers the last request of each client and what it returned; this table travels with the
    updates. A request that is already in it gets the remembered result.

Who is primary: the membership manager and the failure detector
    A view is a number, a primary and the set of replicas whose OK is needed. Whenever the primary or the set changes a
    new view begins, with a number higher than any its maker has seen; where two numbers are equal the higher-numbered
    primary counts as higher. All views of one primary from its take-over on are one reign, in which updates are numbered
    without a gap. Views and updates are in the journal before anything is said about them.

    A replica is a member of a view (`primary`, `backup`) or outside (`joining`). It is outside after a restart, when it
    learns that it was left out, and when it was primary and meets a higher view. Outside it answers nobody and can't
    become primary: it has to be given the state by a primary first. So the old primary that comes back, although it has
    the lowest number, never displaces the present one.

    Every replica sends every other a heartbeat. Who is not heard for `suspect_seconds` is believed dead; a backup that
    is heard but doesn't acknowledge for as long is left out too. When the primary is believed dead, or says itself that
    it was restarted, the lowest-numbered member believed alive becomes primary. Its own state is then the truth: it
    starts a new view with all that it believes alive, and sends them the whole state. Until the dead one is suspected
    everybody waits: a backup's death holds up every write, a primary's everything, for `suspect_seconds` and a little.

    If nobody is a member of anything (at the first start, or after all have crashed), a replica may not trust its own
    disk: others may have gone on without it. It waits until it hears from every replica in the set of the highest view
    that anyone remembers; the one with the longest log of that view then becomes primary.

    A message may be late, from before its receiver's last crash. That a state or a heartbeat of long ago doesn't make a
    replica primary which has missed something since, each life of a replica has a number, drawn at its start: a replica
    outside takes only a state for its present life, and relies only on those who say that they hear it in this life.

Messages (each carries the sender's `view`)
    heartbeat  active, applied, life, hears   I am alive; how far I am; in which life; whom I hear, in which of theirs
    update     first, entries           take these over, the first of which has this number
    ok         applied                  everything up to this number is on my disk
    state      applied, machine, clients, for   here is everything; be a member of my view, if that is still your life

Reads
    The primary answers a read from its own state, but not before everything which that state contains is acknowledged:
    otherwise it would show a write that can still be lost. With `reads: any` backups are hot standbys, which answer reads
    as well, from what they have. That relieves the primary, and is not linearizable: an update reaches one backup before
    another, and who asks the first and then the second sees the new value and then the old one.

Two levels of consistency in one service
    Of some functions the machine says that their effects may be lost although they were acknowledged (`Machine.lazy`: a
    mark that a mail was read). The primary answers those at once, and their updates travel with the next one of the
    other kind, or after `ship_seconds`. All others wait as ever: for every update of a function that is not lazy.

What it survives, and where it fails
    With `acknowledge: all` it is linearizable as long as the failure detector is right: crashes, restarts, lost and late
    messages. But it depends on that detector. A partition, or a pause longer than `suspect_seconds`, makes a live
    primary look dead; then there are two, each leaves the other's side out of its set, and both acknowledge. When they
    meet again the higher view stays, and what the other side acknowledged since they parted is overwritten.

    With `acknowledge: none` the primary answers at once and ships updates every `ship_seconds` (asynchronous
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

from node.invariants import Claim
from node.machine import Machine
from node.protocol import Io, Message, Outcome, Record, Request, Status, replica_number
from node.protocols.client_table import ClientTable
from node.protocols.counted import CountsRecords
from node.protocols.detector import Detector, DetectorOptions
from node.protocols.primary_backup_claims import INSTALLED_KEPT, Installed, PrimaryBackupClaims

ENTRIES_PER_MESSAGE = 200
ENTRIES_KEPT = 5_000
"""How many updates a primary keeps for a backup that lags; one that lags more is sent the whole state."""


class PrimaryBackupOptions(DetectorOptions):
    acknowledge: Literal["all", "none"] = Field(
        default="all", description="answer a client when all backups have its update, or at once (asynchronous)"
    )
    ship: Literal["state", "operations"] = Field(
        default="state", description="what backups are sent: what an operation changed, or the operation itself"
    )
    reads: Literal["primary", "any"] = Field(
        default="primary",
        description="who answers reads: the primary alone, or every member from its copy (hot standby)",
    )
    ship_seconds: float = Field(
        default=0.1, gt=0, description="how often updates are shipped that were acknowledged before that"
    )
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

    @property
    def reign(self) -> tuple[str, int]:
        return self.primary, self.since

    def same_reign(self, other: View) -> bool:
        return self.reign == other.reign

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
    life: int
    hears_me: bool
    """Whether it said so after this replica was started."""


@dataclass
class Progress:
    """What the primary knows of one backup."""

    acked: int | None
    """The last update that is on its disk; None until it has said that it has the state."""
    sent: int
    state_sent_at: float
    moved_at: float
    """When it last acknowledged something new, or owed nothing."""


class Pending(NamedTuple):
    """An answer that waits until everything up to the update `after` is acknowledged."""

    after: int
    request: Request
    outcome: Outcome


class PrimaryBackup(CountsRecords):
    name = "primary-backup"
    promises = (
        "linearizable under crashes (acknowledge: all) while its failure detector is right; a partition or a long pause "
        "makes two primaries, with acknowledge: none a crash of the primary loses acknowledged writes, and with "
        "reads: any reads go back in time"
    )
    tolerates = "f of f + 1 replicas"
    roles = ("primary", "backup", "joining")
    chief = "primary"
    progresses_with = "all"  # after a crash of all the last one to rule is waited for, whoever that was
    Options = PrimaryBackupOptions
    background = frozenset({"heartbeat"})
    phrases = {
        "update": "update {first} and on: {entries:effects}",
        "ok": "ok: on disk up to update {applied}",
        "state": "the state after update {applied}, in view {view:view}",
        "entry": "update: {entry:effect}",
        "view": "is in view {view:view}",
    }

    options: PrimaryBackupOptions

    def __init__(self, io: Io, machine: Machine, options: PrimaryBackupOptions) -> None:
        super().__init__(io, machine, options)
        # The state: in the journal, and the same on every member of a view but for the updates on their way.
        self.view = View(0, "", 0, io.replicas)
        self.applied = 0
        self.clients = ClientTable()
        """The last request of each client that was not a query: `[sequence, result]`."""
        # In memory only.
        self.active = False
        self.life = io.random.getrandbits(32)
        """Tells this life of the replica from its earlier ones."""
        self.signs: dict[str, Sign] = {}
        self.highest = 0
        self.detector = Detector(io, options)
        # The primary's.
        self.progress: dict[str, Progress] = {}
        self.entries: dict[int, list[Any]] = {}
        """The updates that some backup may still lack, by number."""
        self.binding = 0
        """The last update that must not be lost once something that came after it is acknowledged."""
        self.pending: deque[Pending] = deque()
        # For a witness.
        self.claims = PrimaryBackupClaims(self)
        self.installed: deque[Installed] = deque(maxlen=INSTALLED_KEPT)
        """What was installed since a witness last asked, as far as it is kept."""

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
        if self.options.acknowledge == "none" or self.machine.lazy:
            self.io.set_timer("ship", self.options.ship_seconds)

    def on_timer(self, name: str) -> None:
        if name == "ship":
            self.io.set_timer("ship", self.options.ship_seconds)
            self._ship(self.applied)
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

    def invariants(self) -> Iterable[Claim]:
        return self.claims.new()

    # ---- clients

    def on_request(self, request: Request) -> None:
        query = request.operation["f"] in self.machine.queries
        if query and self.role == "backup" and self.options.reads == "any":
            self.io.reply(request, self._execute(request))
        elif self.role != "primary":
            self.io.reply(request, Outcome.fail("not the primary", leader=self._leader()))
        elif self.options.acknowledge == "none":
            self.io.reply(request, self._execute(request))
        else:
            outcome = self._execute(request)
            self.pending.append(Pending(self.binding, request, outcome))
            self._ship(self.binding)
            self._answer()

    def _execute(self, request: Request) -> Outcome:
        """Carry the request out, unless it is a repetition; its update then waits to be shipped."""
        operation = request.operation
        if operation["f"] in self.machine.queries:
            return Outcome.ok(self.machine.execute(operation).result)
        remembered = self._remembered(request)
        if remembered is not None:
            return remembered
        if self.options.ship == "operations":
            entry = [request.client, request.sequence, dict(operation)]
        else:
            # A result without an effect is replicated too: were it forgotten, the request could be repeated and do
            # something.
            entry = [request.client, request.sequence, *self.machine.execute(operation)]
        self._append({"type": "entry", "entry": entry})
        result = self._install(entry)
        self.entries[self.applied] = entry
        self.entries.pop(self.applied - ENTRIES_KEPT, None)
        if operation["f"] not in self.machine.lazy:
            self.binding = self.applied
        return Outcome.ok(result)

    def _remembered(self, request: Request) -> Outcome | None:
        return self.clients.outcome(request.client, request.sequence)

    def _acknowledged(self) -> int:
        """The last update that every member of the set has on its disk."""
        acked = [-1 if progress.acked is None else progress.acked for progress in self.progress.values()]
        return min(acked, default=self.applied)

    def _answer(self) -> None:
        acknowledged = self._acknowledged()
        while self.pending and self.pending[0].after <= acknowledged:
            pending = self.pending.popleft()
            self.io.reply(pending.request, pending.outcome)

    # ---- updates

    def _install(self, entry: list[Any]) -> Any:
        """Take over an update that is in the journal; returns the result of the operation that it came from."""
        self.applied += 1
        self.installed.append(Installed(self.view.reign, self.applied, entry))
        return self._carry_out(entry)

    def _carry_out(self, entry: list[Any]) -> Any:
        """Change the machine and the table of clients by an update; returns the result of its operation."""
        if self.options.ship == "operations":
            client, sequence, operation = entry
            result = self.machine.apply(operation)
        else:
            client, sequence, result, effect = entry
            self.machine.install(effect)
        self.clients.note(client, sequence, result)
        return result

    def _ship(self, number: int) -> None:
        """Send each backup what it wasn't sent yet, at least up to the update of this number."""
        for peer, progress in self.progress.items():
            self._send_up_to(number, peer, progress)

    def _send_up_to(self, number: int, peer: str, progress: Progress) -> None:
        while progress.sent < number:
            self._send_update(peer, progress)

    def _send_update(self, peer: str, progress: Progress) -> None:
        first = progress.sent + 1
        if first not in self.entries:
            self._send_state(peer, progress)
            return
        last = min(self.applied, progress.sent + ENTRIES_PER_MESSAGE)
        entries = [self.entries[number] for number in range(first, last + 1)]
        self._send(peer, {"type": "update", "first": first, "entries": entries})
        progress.sent = last

    def _send_state(self, peer: str, progress: Progress) -> None:
        self._send(peer, self._state_for(peer))
        progress.sent = self.applied
        progress.state_sent_at = self.io.now()

    def _on_update(self, sender: str, view: View, message: Message) -> None:
        if self.role != "backup" or not view.same_reign(self.view):
            return
        for number, entry in enumerate(message["entries"], message["first"]):
            if number == self.applied + 1:
                self._append({"type": "entry", "entry": entry})
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

    def _state_for(self, peer: str) -> Message:
        """The state, for the life in which the peer was heard last: one that it has begun since has to ask anew."""
        return {**self._state(), "for": self.signs[peer].life}

    def _restore(self, state: dict[str, Any]) -> None:
        self.view = View.from_json(state["view"])
        self.applied = state["applied"]
        self.machine.restore(state["machine"])
        self.clients = ClientTable(state["clients"])

    def _on_state(self, sender: str, view: View, message: Message) -> None:
        if view.rank < self.view.rank or not (self.active or message["for"] == self.life):
            return
        if view.same_reign(self.view) and message["applied"] <= self.applied:
            # Late or repeated: what is here already goes on where this state left off.
            self._adopt(view)
        else:
            self._step_down(f"the state of {sender} replaces what is here")
            self._restore(message)
            self._compact()
        if not self.active:
            self.io.log(f"joined view {view.number} of {sender} at update {self.applied}")
            self.active = True
            self._heartbeat(self.io.peers)  # from now on it counts when a successor is needed
        self._send(sender, {"type": "ok", "applied": self.applied})

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
        self.io.log(f"takes over at update {self.applied}: {reason}")
        self.active = True
        self.entries.clear()
        self.binding = self.applied
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
        self.entries.clear()

    # ---- who is alive

    def _send(self, peer: str, message: Message) -> None:
        self.io.send(peer, {**message, "view": self.view})

    def _heartbeat(self, peers: Iterable[str]) -> None:
        hears = {peer: self.signs[peer].life for peer in self.detector.alive()}
        message = {
            "type": "heartbeat",
            "active": self.active,
            "applied": self.applied,
            "life": self.life,
            "hears": hears,
        }
        for peer in peers:
            self._send(peer, message)

    def _watch_backups(self) -> None:
        """Leave out who is silent, and send again what was not acknowledged."""
        now, kept = self.io.now(), []
        for peer, progress in self.progress.items():
            if progress.acked == progress.sent:
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
                due, progress.sent = progress.sent, progress.acked
                self._send_up_to(due, peer, progress)
        acknowledged = self._acknowledged()
        for number in [number for number in self.entries if number <= acknowledged]:
            del self.entries[number]

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
        # What somebody said before this replica was started may be long past.
        alive = [peer for peer in alive if self.signs[peer].hears_me]
        known = {peer: (self.signs[peer].view, self.signs[peer].applied) for peer in alive}
        known[self.io.id] = (self.view, self.applied)
        if self._best_of(known) == self.io.id:
            self._take_over("no replica is a member of a view, and no other knows more")

    def _best_of(self, known: dict[str, tuple[View, int]]) -> str | None:
        """Of replicas with their last view and update: who may rule after a crash of all; None while it isn't certain."""
        newest = max((view for view, _ in known.values()), key=lambda view: view.rank)
        if not set(newest.members) <= known.keys():
            return None
        return max(known, key=lambda replica: (known[replica][0].rank, known[replica][1], -replica_number(replica)))

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
            case "update":
                self._on_update(sender, view, message)
            case "ok":
                self._on_ok(sender, view, message)
            case "state":
                self._on_state(sender, view, message)

    def _note_sign(self, sender: str, view: View, message: Message) -> None:
        self.detector.hear(sender)
        before = self.signs.get(sender) or Sign(view, False, 0, 0, False)
        hears_me = message["hears"].get(self.io.id) == self.life if "hears" in message else before.hears_me
        life, applied = message.get("life", before.life), message.get("applied", before.applied)
        self.signs[sender] = Sign(view, message.get("active", True), applied, life, hears_me)
        if life != before.life and not hears_me:
            self._heartbeat([sender])  # it waits to be told that it is heard

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
