"""The classic mistakes in two-phase commit."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from node.flaws import Flaw
from node.protocol import Outcome, Record, Request
from node.protocols.two_phase_commit import Prepared, TwoPhaseCommit


class CommitsWithoutAll(Flaw, TwoPhaseCommit):
    mistake = "The leader commits as soon as a majority has agreed."
    rule = "An operation is committed only if every replica has agreed to it and has it on disk."
    shows_under = ("latency", "kill")

    def _suffice(self, votes: Collection[str]) -> bool:
        return len(votes) + 1 >= self.io.majority


class ForgetsPrepared(Flaw, TwoPhaseCommit):
    mistake = "A replica keeps what it has agreed to in memory only: after a restart it knows nothing of it."
    rule = "Who has agreed to an operation can still carry it out after a crash: it is on disk before the vote leaves."
    shows_under = ("kill",)

    def recover(self, records: Sequence[Record]) -> None:
        decided = {record["number"] for record in records if record["type"] == "decision"}
        kept = [record for record in records if record["type"] != "prepared" or record["number"] in decided]
        super().recover(kept)


class DecidesAlone(Flaw, TwoPhaseCommit):
    mistake = "A replica in doubt that gets no answer at once takes the operation as aborted, and goes on."
    rule = "Who has agreed waits for the leader's decision, however long that takes."
    shows_under = ("partition", "kill")

    def _wait_for_decision(self, prepared: Prepared) -> None:
        self._settle(prepared.number, False)


class ReadsInDoubt(Flaw, TwoPhaseCommit):
    mistake = "A replica in doubt answers reads as if the operation that it is in doubt about were not there."
    rule = "What a replica has agreed to may be acknowledged already: until it knows, it answers no reads."
    shows_under = ()

    def _read(self, request: Request) -> None:
        self.io.reply(request, Outcome.ok(self.machine.execute(request.operation).result))


class NoIdempotence(Flaw, TwoPhaseCommit):
    mistake = "A request that is sent again is carried out again."
    rule = "A request that was carried out is answered with the remembered result."
    shows_under = ("latency",)

    def _remembered(self, request: Request) -> Outcome | None:
        return None
