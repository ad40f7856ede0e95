"""Log shipping: the primary streams its log to the backups, which have it on disk and carry it out later, or never.

The idea
    What databases and file systems do. A backup doesn't have to carry out what it is sent before it says OK: the log on
    its disk is enough, for whoever has the log can get the state from it. So the answer to a client waits for disks
    only, and a slow backup machine slows nobody down. The price is paid when the primary dies: who takes its place must
    replay what it has logged and not carried out, before it answers anybody. That is cheap if little is left to replay.

    Everything else is primary-backup: views, reigns, heartbeats, who takes over, how somebody returns, and what happens
    to a request that is sent again. See `node.protocols.primary_backup`, whose messages these are:

    update     first, entries   add these to your log, the first of which has this number
    ok         applied          everything up to this number is in the log on my disk
    state      applied, machine, clients   a checkpoint: here is everything up to this number

Two kinds of backup
    An active one (the default) carries out in the background what it has logged, every `apply_seconds`, so that little
    is left to do when it is promoted. Its own log is cut to a checkpoint now and then.

    With `passive: true` a backup is only a disk. It carries out nothing. When it is promoted, it does what the primary
    itself would do after a crash: load the last checkpoint, and replay the log from there. So that this doesn't grow
    without bound, the primary sends a checkpoint every `compact_every` updates, and the backup forgets the log before
    it.

Where it fails
    As primary-backup: with a failure detector that is right it is linearizable and survives the crash of all replicas
    but one; a partition or a long pause makes two primaries. With `acknowledge: none` what was not shipped is lost. With
    `reads: any` active backups answer reads as well, and are behind by up to `apply_seconds`.

    And one thing more can be done wrong: a backup that is promoted and answers before it has replayed its log answers
    from the past. Nothing is lost then but on the day that it counts: its disk has the acknowledged write, its state
    does not, and the state is what it ships from then on.

Sources: the lectures on primary-backup ("stream the log to the backup: they don't have to actually apply the changes
before replying, just make the log durable"); Gray and Reuter, "Transaction processing", 1993, on hot and cold standby.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Self

from pydantic import Field, model_validator

from node.invariants import Agreed, Claim
from node.machine import Machine
from node.protocol import Io, Message, Record, Status
from node.protocols.client_table import ClientTable
from node.protocols.primary_backup import PrimaryBackup, PrimaryBackupOptions, View
from node.protocols.primary_backup_claims import SAME_STATE, Installed, PrimaryBackupClaims


class LogShippingOptions(PrimaryBackupOptions):
    passive: bool = Field(
        default=False, description="a backup only keeps the log, and carries nothing out before it is promoted"
    )
    apply_seconds: float = Field(
        default=0.1, gt=0, description="how often an active backup carries out what it has logged"
    )

    @model_validator(mode="after")
    def _reads_where_there_is_something(self) -> Self:
        if self.passive and self.reads == "any":
            raise ValueError("passive backups carry nothing out, so they can't answer reads: reads has to be primary")
        return self


class LogShippingClaims(PrimaryBackupClaims):
    """Those of primary-backup. States are compared only where the log was carried out to its end."""

    def __init__(self, replica: LogShipping) -> None:
        super().__init__(replica)
        self._log_of = replica

    def _updates(self) -> Iterator[Claim]:
        for claim in super()._updates():
            if not (self._log_of.unapplied and isinstance(claim, Agreed) and claim.law == SAME_STATE):
                yield claim


class LogShipping(PrimaryBackup):
    name = "log-shipping"
    promises = (
        "linearizable under crashes (acknowledge: all) while its failure detector is right, as primary-backup: what is "
        "acknowledged is in the log on every backup's disk, and is replayed before a backup becomes primary"
    )
    Options = LogShippingOptions

    options: LogShippingOptions

    def __init__(self, io: Io, machine: Machine, options: LogShippingOptions) -> None:
        super().__init__(io, machine, options)
        # `applied` counts what is in the log; of that, the machine and the table of clients lack what is here.
        self.unapplied: deque[list[Any]] = deque()
        self.checkpoint_at = 0
        """A primary's: the last update of the last checkpoint that it sent to passive backups."""
        self.claims = LogShippingClaims(self)

    # ---- life

    def recover(self, records: Sequence[Record]) -> None:
        super().recover(records)
        self.io.set_timer("apply", self.options.apply_seconds)

    def on_timer(self, name: str) -> None:
        if name != "apply":
            super().on_timer(name)
            return
        self.io.set_timer("apply", self.options.apply_seconds)
        if self.role == "primary":
            self._send_checkpoints_if_due()
        elif self.role == "backup" and not self.options.passive:
            self._replay()

    def status(self) -> Status:
        status = super().status()
        if self.unapplied:
            status["commit_index"] = self.applied - len(self.unapplied)
        status["details"]["to_replay"] = len(self.unapplied)
        return status

    # ---- the log

    def _install(self, entry: list[Any]) -> Any:
        """A primary carries out what it logs. All others only log it."""
        if self.role == "primary":
            return super()._install(entry)
        self.applied += 1
        self.installed.append(Installed(self.view.reign, self.applied, entry))
        self.unapplied.append(entry)
        return None

    def _replay(self) -> None:
        """Carry out everything that is in the log."""
        for entry in self.unapplied:
            self._carry_out(entry)
        self.unapplied.clear()

    def _take_over(self, reason: str) -> None:
        self._prepare_to_rule()
        super()._take_over(reason)
        self.checkpoint_at = self.applied

    def _prepare_to_rule(self) -> None:
        self.io.log(f"replays {len(self.unapplied)} updates before it becomes primary")
        self._replay()

    # ---- checkpoints

    def _state(self) -> dict[str, Any]:
        """What is carried out; the rest of the log goes on where this ends."""
        return {**super()._state(), "applied": self.applied - len(self.unapplied)}

    def _restore(self, state: dict[str, Any]) -> None:
        super()._restore(state)
        self.unapplied.clear()

    def _compact(self) -> None:
        rest = [{"type": "entry", "entry": entry} for entry in self.unapplied]
        self.io.compact([self._state(), *rest])
        self.records = 1  # the rest, too, becomes shorter only by what is still to come

    def _send_checkpoints_if_due(self) -> None:
        if self.options.passive and self.applied - self.checkpoint_at >= self.options.compact_every:
            self.checkpoint_at = self.applied
            for peer in self.progress:
                self._send(peer, self._state_for(peer))

    def _on_state(self, sender: str, view: View, message: Message) -> None:
        carried_out = self.applied - len(self.unapplied)
        if self.role == "backup" and view.same_reign(self.view) and carried_out < message["applied"] <= self.applied:
            self._take_checkpoint(message)
        super()._on_state(sender, view, message)

    def _take_checkpoint(self, message: Message) -> None:
        """The log up to there isn't needed any more."""
        for _ in range(message["applied"] - self.applied + len(self.unapplied)):
            self.unapplied.popleft()
        self.machine.restore(message["machine"])
        self.clients = ClientTable(message["clients"])
        self._compact()
