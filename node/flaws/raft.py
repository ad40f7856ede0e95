"""The classic mistakes in Raft."""

from __future__ import annotations

from collections.abc import Sequence

from node.flaws import Flaw
from node.protocol import Message, Outcome, Record, Request
from node.protocols.raft import Raft
from node.protocols.raft_log import Entry


class VotesTwice(Flaw, Raft):
    mistake = "A replica writes down its term but not its vote, so that after a restart it votes again."
    rule = "A replica votes once in a term, not once in a life: the vote is on disk before it is told."
    shows_under = ("kill",)
    shows_at = {"kill": ("send voted", "send heartbeat")}
    shows_with = {"election_seconds": 0.11}

    def _term_record(self) -> Record:
        return {**super()._term_record(), "voted": None}


class CommitsByCounting(Flaw, Raft):
    mistake = "A leader needs no entry of its own: what earlier terms left is committed as soon as a majority has it."
    rule = "Only entries of the leader's own term are committed by counting, and earlier ones along with them."
    shows_under = ("kill", "partition")
    shows_at = {"partition": ("send append", "deliver appended")}
    shows_with = {"election_seconds": 0.11, "batch": 1}

    def _may_commit(self, index: int) -> bool:
        return True

    def _begin_term(self) -> int:
        return self.log.last


class NoLogMatching(Flaw, Raft):
    mistake = "A follower appends whatever it is sent, if only its log is long enough."
    rule = (
        "Entries go after an entry that is the leader's own, by index and term; then logs that meet are equal before."
    )
    shows_under = ("partition", "kill")

    def _matches(self, index: int, term: int) -> bool:
        return index <= self.log.last


class ShortLogWins(Flaw, Raft):
    mistake = "A replica votes for anybody who asks first, also for one whose log lacks what its own holds."
    rule = "A vote goes only to a log that is at least as up to date as the voter's own."
    shows_under = ("partition", "kill")

    def _is_up_to_date(self, last_index: int, last_term: int) -> bool:
        return True


class StaleReads(Flaw, Raft):
    mistake = "Whoever believes it leads answers reads at once from its own state."
    rule = "A leader makes sure after a read has come that a majority still follows it: it may have been deposed."
    shows_under = ("partition", "pause")

    def _read(self, request: Request) -> None:
        self.io.reply(request, Outcome.ok(self.machine.execute(request.operation).result))


class ReadsBeforeItsFirstCommit(Flaw, Raft):
    mistake = "A new leader answers reads from what it has applied, before an entry of its own term is committed."
    rule = "Until its no-op is committed a leader can't know how much its predecessors had committed."
    shows_under = ("kill", "message-loss")
    shows_at = {"kill": ("deliver appended",), "message-loss": ("append term",)}

    def _read_index(self) -> int:
        return self.applied


class CutsWhatMatches(Flaw, Raft):
    mistake = (
        "A follower makes its log end with the entries it was just sent, also where it had more of the same leader."
    )
    rule = "A follower drops only entries that differ: a late message must not undo what it has acknowledged since."
    shows_under = ("partition", "duplicate")
    shows_at = {"partition": ("send append", "deliver append"), "duplicate": ("append entries",)}
    shows_with = {"election_seconds": 0.2, "batch": 1, "window": 16}

    def _take_over(self, first: int, entries: Sequence[Entry]) -> None:
        new = max(first, self.applied + 1)
        if entries and new < first + len(entries):
            self._write(new, entries[new - first :])


class MajorityOffByOne(Flaw, Raft):
    mistake = "One replica less than a majority is enough to elect a leader and to commit an entry."
    rule = "Any two groups that decide must share a replica."
    shows_under = ("partition",)

    def recover(self, records: Sequence[Record]) -> None:
        self.quorum = max(1, self.io.majority - 1)
        super().recover(records)


class SnapshotWithoutClients(Flaw, Raft):
    mistake = "The snapshot holds the machine, but not the table of the clients' last requests."
    rule = "What keeps a request from being carried out twice is part of the replicated state."
    shows_under = ("kill",)

    def _snapshot(self) -> Message:
        return {**super()._snapshot(), "clients": {}}


class RetriesAppliedTwice(Flaw, Raft):
    mistake = "A request that stands in the log twice is carried out twice."
    rule = "A client that asks again gets the first answer: a request is carried out once."
    shows_under = ("kill", "partition")
    shows_at = {"kill": ("send append",)}

    def _is_repeated(self, client: str, sequence: int) -> bool:
        return False
