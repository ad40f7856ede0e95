"""The classic mistakes in Paxos of a single decree."""

from __future__ import annotations

from collections.abc import Sequence

from node.flaws import Flaw
from node.protocol import Outcome, Record, Request
from node.protocols.paxos import Agreement, Command, Number, Paxos, Proposal


class PromiseNotPersisted(Flaw, Paxos):
    mistake = "A replica doesn't write down the highest number that it has seen, and forgets it in a restart."
    rule = "n_h is on disk before the promise is given: what was promised binds the next life, too."
    shows_under = ("kill",)

    def _promise(self, key: str, agreement: Agreement, n: Number) -> None:
        writing, self._append = self._append, _nothing  # type: ignore[method-assign]
        super()._promise(key, agreement, n)
        self._append = writing  # type: ignore[method-assign]


class AcceptedNotPersisted(Flaw, Paxos):
    mistake = "A replica doesn't write down what it accepted, and forgets it in a restart."
    rule = "n_a and v_a are on disk before the answer: a majority that forgets has chosen nothing."
    shows_under = ("kill", "partition")
    shows_at = {"partition": ("deliver accept-ok",), "kill": ("send accept-ok",)}

    def _accept(self, key: str, agreement: Agreement, n: Number, value: Command) -> None:
        writing, self._append = self._append, _nothing  # type: ignore[method-assign]
        super()._accept(key, agreement, n, value)
        self._append = writing  # type: ignore[method-assign]


class MajorityOffByOne(Flaw, Paxos):
    mistake = "One replica less than a majority is enough to be listened to, and to have a value chosen."
    rule = "Any two groups that decide must share a replica."
    shows_under = ("partition",)

    def recover(self, records: Sequence[Record]) -> None:
        self.quorum = max(1, self.io.majority - 1)
        super().recover(records)


class IgnoresAccepted(Flaw, Paxos):
    mistake = "A proposer proposes its own value, whatever the acceptors said that they had accepted."
    rule = "The value accepted under the highest number may be chosen already: it must be proposed again."
    shows_at = {"partition": ("deliver accept-ok",)}

    def _accepted_value(self, proposal: Proposal) -> Command | None:
        return None


class LowestAcceptedWins(Flaw, Paxos):
    mistake = "Of the values that acceptors accepted a proposer takes the one with the lowest number."
    rule = "Only the value of the highest number can have been chosen; lower ones may have been given up."
    shows_under = ("partition", "kill")
    shows_at = {"partition": ("send accept", "deliver accept-ok")}

    def _accepted_value(self, proposal: Proposal) -> Command | None:
        accepted = [(n, value) for n, value in proposal.promises.values() if value is not None]
        return min(accepted, key=lambda promise: promise[0])[1] if accepted else None


class SameNumberTwice(Flaw, Paxos):
    mistake = "Proposal numbers are mere counts, so that two replicas may pick the same."
    rule = "A proposal number is unique: the number of its replica is part of it."

    def _new_number(self, agreement: Agreement) -> Number:
        return super()._new_number(agreement)[0], 0


class AcceptsBelowPromise(Flaw, Paxos):
    mistake = "A replica accepts every value that it is sent, also under a number lower than it has promised."
    rule = "n_h is checked again when a value comes: the proposer may have been overtaken since its prepare."

    def _may_accept(self, agreement: Agreement, n: Number) -> bool:
        return True


class AnswersBeforeMajority(Flaw, Paxos):
    mistake = "A proposer tells its client that the value is chosen when it has only sent it out."
    rule = "A value is chosen when a majority has accepted it, and not before."
    shows_under = ("partition",)

    def _decide_if_accepted(self, key: str, proposal: Proposal) -> None:
        for waiting in self.agreements[key].waiting:
            request = waiting.request
            if proposal.value is not None and proposal.value[:2] == [request.client, request.sequence]:
                self.io.reply(request, Outcome.ok(self.machine.execute(request.operation).result))
        super()._decide_if_accepted(key, proposal)


class LocalReads(Flaw, Paxos):
    mistake = "A replica answers a read from what it knows, asking nobody."
    rule = "That a replica doesn't know a decision doesn't mean that there is none."

    def on_request(self, request: Request) -> None:
        if self._is_query(request):
            self.io.reply(request, Outcome.ok(self.machine.execute(request.operation).result))
        else:
            super().on_request(request)


def _nothing(record: Record) -> None:
    """In place of writing to the journal."""
