"""The classic mistakes in Multi-Paxos: what each of its rules is for."""

from __future__ import annotations

from collections.abc import Iterable

from node.flaws import Flaw
from node.machine import Machine
from node.protocol import Io, Message, Outcome, Request
from node.protocols.multi_paxos import Accepted, Ballot, Decree, MultiPaxos, MultiPaxosOptions


class PromiseNotPersisted(Flaw, MultiPaxos):
    mistake = "An acceptor keeps its promise in memory only: after a restart it takes part in lower ballots again."
    rule = "A promise is on disk before anybody is told of it."
    shows_under = ("kill", "partition")

    def _promise(self, ballot: Ballot) -> None:
        self.promised = ballot


class AcceptedNotPersisted(Flaw, MultiPaxos):
    mistake = "An acceptor says that it has accepted a decree, and after a restart knows nothing of it."
    rule = "What was accepted is on disk before the answer that tells of it."
    shows_under = ("kill",)

    def _accept(self, ballot: Ballot, slot: int, decree: Decree) -> None:
        self.promised = ballot
        self.accepted[slot] = Accepted(ballot, decree)


class MajorityOffByOne(Flaw, MultiPaxos):
    mistake = "One replica less than a majority is enough, to lead and to decide."
    rule = "Any two quorums share a replica."
    shows_under = ("partition", "kill")

    def __init__(self, io: Io, machine: Machine, options: MultiPaxosOptions) -> None:
        super().__init__(io, machine, options)
        self.quorum = max(1, self.quorum - 1)


class NewLeaderIgnoresAccepted(Flaw, MultiPaxos):
    mistake = "A new leader proposes its own decrees in slots in which others have accepted something already."
    rule = (
        "A new leader proposes in each slot the accepted decree of the highest ballot, if any of its majority has one."
    )
    shows_under = ("kill", "partition")

    def _inheritance(self, promises: Iterable[Message]) -> list[tuple[int, Decree]]:
        return []


class LowestBallotWins(Flaw, MultiPaxos):
    mistake = "Of several decrees that were accepted in a slot, a new leader proposes the one of the lowest ballot."
    rule = "Of what was accepted in a slot only the decree of the highest ballot can have been chosen."
    shows_under = ("kill", "partition")
    shows_at = {"partition": ("send accept", "deliver accepted")}

    def _inheritance(self, promises: Iterable[Message]) -> list[tuple[int, Decree]]:
        upside_down = [
            {"accepted": [[slot, [-ballot[0], -ballot[1]], decree] for slot, ballot, decree in promise["accepted"]]}
            for promise in promises
        ]
        return super()._inheritance(upside_down)


class SameBallotTwice(Flaw, MultiPaxos):
    mistake = "A ballot is a round without the replica's number, so that two replicas may stand with the same one."
    rule = "A ballot belongs to one replica alone."
    shows_under = ("partition", "pause")

    def _new_ballot(self) -> Ballot:
        return super()._new_ballot()[0], 0


class RepliesBeforeCommit(Flaw, MultiPaxos):
    mistake = "The leader answers as soon as it has proposed a request, with what it believes the result will be."
    rule = "A request is answered when its decree is chosen and carried out."
    shows_under = ("kill", "partition")

    def on_request(self, request: Request) -> None:
        if self.leading and not self._is_repeated(request.client, request.sequence):
            self.io.reply(request, Outcome.ok(self.machine.execute(request.operation).result))
        super().on_request(request)


class LocalReads(Flaw, MultiPaxos):
    mistake = "Every replica answers reads from its own copy, however old that is."
    rule = "A read takes its place in the log like everything else."

    def on_request(self, request: Request) -> None:
        if request.operation["f"] in self.machine.queries:
            self.io.reply(request, Outcome.ok(self.machine.execute(request.operation).result))
        else:
            super().on_request(request)


class LeaderReadsLocally(Flaw, MultiPaxos):
    mistake = "Whoever believes that it leads answers reads from its own copy."
    rule = "A leader that was deposed and doesn't know it yet answers nothing stale."
    shows_under = ("partition", "pause")
    shows_at = {"partition": ("siege",)}

    def on_request(self, request: Request) -> None:
        if self.leading and request.operation["f"] in self.machine.queries:
            self.io.reply(request, Outcome.ok(self.machine.execute(request.operation).result))
        else:
            super().on_request(request)


class RetriesAppliedTwice(Flaw, MultiPaxos):
    mistake = "A request that is sent again is carried out again."
    rule = "Each replica remembers the last request of each client, and carries it out once."
    shows_under = ("latency", "kill")

    def _is_repeated(self, client: str, sequence: int) -> bool:
        return False


class GapSkipped(Flaw, MultiPaxos):
    mistake = "A replica carries out a chosen decree although it doesn't know the one before."
    rule = "Decrees are carried out in the order of their slots, without a gap."
    shows_under = ("message-loss", "kill")

    def _apply_chosen(self) -> None:
        super()._apply_chosen()
        while self.chosen:
            self.applied = min(self.chosen) - 1
            super()._apply_chosen()


class SnapshotWithoutClients(Flaw, MultiPaxos):
    mistake = "A snapshot holds the machine, and not the table of the clients' last requests."
    rule = "The table of clients is part of the replicated state."
    shows_under = ("kill", "partition")
    shows_with = {"snapshot_every": 20}

    def _snapshot(self) -> Message:
        return {**super()._snapshot(), "clients": {}}
