"""Who waits at a replica for what becomes of a request in a replicated log.

Whoever puts a request into a log may be deposed before it knows what came of it, and must not tell the client more than
it knows. So the client waits until one of these is certain: the request was carried out, wherever it stood; or its place
is decided and it isn't carried out by then, so that it came to nothing; or it takes too long, and nobody knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from node.protocol import Io, Outcome, Request
from node.protocols.client_table import ClientTable

RequestId = tuple[str, int]
"""A client, and its number of the request."""


@dataclass
class _Waiting:
    """All deliveries of one request, when the first came, and its place in the log; None while it is queued."""

    since: float
    place: int | None
    requests: list[Request] = field(default_factory=list)


class WaitingRoom:
    """Answers requests by the table of clients, which is the replica's own. `leader` says whom else to ask."""

    def __init__(self, io: Io, clients: ClientTable, leader: Callable[[], str | None]) -> None:
        self._io = io
        self._clients = clients
        self._leader = leader
        self._waiting: dict[RequestId, _Waiting] = {}
        self._placed: dict[int, list[RequestId]] = {}
        """By place: the requests that were put there by this replica."""

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[RequestId]:
        return iter(self._waiting)

    def __contains__(self, id: object) -> bool:
        return id in self._waiting

    def admit(self, request: Request) -> None:
        """Let it wait, with others of the same client and number if there are any."""
        id = (request.client, request.sequence)
        if id not in self._waiting:
            self._waiting[id] = _Waiting(self._io.now(), None)
        self._waiting[id].requests.append(request)

    def put(self, place: int, ids: Iterable[RequestId]) -> None:
        """These have been put into the log at that place. Not all of them need be waited for any more."""
        self._placed[place] = list(ids)
        for id in self._placed[place]:
            if id in self._waiting:
                self._waiting[id].place = place

    def carried_out(self, id: RequestId) -> None:
        """The request has just been carried out, or was before: tell whoever waits for it."""
        for request in self._leave(id):
            self._clients.answer(self._io, request)

    def decided(self, place: int, why_not: str) -> None:
        """What stands there is carried out. Whoever waits for another request that was put there is told why it isn't."""
        for id in self._placed.pop(place, ()):
            if id in self._waiting and self._waiting[id].place == place:
                for request in self._leave(id):
                    if not self._clients.answer(self._io, request):
                        self._io.reply(request, Outcome.fail(why_not, leader=self._leader()))

    def decided_up_to(self, last: int, why_not: str) -> None:
        """As `decided`, of all places up to `last`."""
        for place in [place for place in self._placed if place <= last]:
            self.decided(place, why_not)

    def turn_away(self, id: RequestId, why: str) -> None:
        """It was not put anywhere, and won't be: to say `fail` is certain to be true."""
        for request in self._leave(id):
            self._io.reply(request, Outcome.fail(why, leader=self._leader()))

    def give_up(self, seconds: float, why: str) -> None:
        """Tell those who have waited for longer, and whose request was put somewhere, that nobody knows."""
        limit = self._io.now() - seconds
        overdue = [id for id, one in self._waiting.items() if one.since < limit and one.place is not None]
        for id in overdue:
            for request in self._leave(id):
                self._io.reply(request, Outcome.info(why, leader=self._leader()))

    def _leave(self, id: RequestId) -> list[Request]:
        waiting = self._waiting.pop(id, None)
        return waiting.requests if waiting else []
