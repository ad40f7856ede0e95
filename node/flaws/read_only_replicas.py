"""The classic mistakes with read-only replicas."""

from __future__ import annotations

from node.flaws import Flaw
from node.protocol import Outcome, Request
from node.protocols.read_only_replicas import Cached, ReadOnlyReplicas


class TimeToLiveNeverEnds(Flaw, ReadOnlyReplicas):
    mistake = "A copy goes on with what it has fetched once, however old it is."
    rule = "What was fetched is used for its time to live, counted from when it was asked for."
    shows_under = ()
    shows_with = {"spread": "pull"}

    def _is_fresh(self, cached: Cached, at: float | None = None) -> bool:
        return True


class CopiesSkipGaps(Flaw, ReadOnlyReplicas):
    mistake = "A copy takes over the updates that reach it, and never notices that one between them is missing."
    rule = "A copy takes over updates in the order of their numbers, without a gap, and asks for what is missing."
    shows_under = ("partition", "latency")

    def _follows(self, number: int) -> bool:
        self.number = max(self.number, number - 1)
        return super()._follows(number)


class CopiesTakeWrites(Flaw, ReadOnlyReplicas):
    mistake = "A copy that is asked for a change carries it out on its own copy."
    rule = "Only the origin changes anything."
    shows_under = ()

    def on_request(self, request: Request) -> None:
        if request.operation["f"] in self.machine.queries:
            super().on_request(request)
        else:
            self.io.reply(request, self._change(request.client, request.sequence, request.operation))


class NoIdempotence(Flaw, ReadOnlyReplicas):
    mistake = "A change that is sent again is carried out again."
    rule = "A request that was carried out is answered with the remembered result."
    shows_under = ("latency",)

    def _remembered(self, client: str, sequence: int) -> Outcome | None:
        return None
