"""What a replica remembers of its clients, so that a request which is sent again is not carried out again.

A client numbers its requests upwards and has one at a time under way. So the last one that was carried out, with its
result, is all that must be kept of it. The table is part of the replicated state: it goes where the machine's state goes,
into every snapshot too, or the next replica carries the request out once more.

Source: Liskov and Cowling, "Viewstamped Replication Revisited" (2012), section 4: the client table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from node.protocol import Io, Outcome, Request


class ClientTable(dict[str, list[Any]]):
    """`{client: [sequence, result]}` of the last request of each client that was carried out; JSON as it stands."""

    def note(self, client: str, sequence: int, result: Any) -> None:
        """The request has been carried out."""
        self[client] = [sequence, result]

    def covers(self, client: str, sequence: int) -> bool:
        """Whether that request, or a later one of its client, has been carried out."""
        return client in self and sequence <= self[client][0]

    def outcome(self, client: str, sequence: int) -> Outcome | None:
        """What to say to a request that is not newer than the last one of its client; None if it is."""
        if not self.covers(client, sequence):
            return None
        last, result = self[client]
        if sequence == last:
            return Outcome.ok(result)
        # It may have been carried out in its time. That it won't be from now on is no help to anybody.
        return Outcome.info("an earlier request than the last one of this client: its result is forgotten")

    def answer(self, io: Io, request: Request) -> bool:
        """Reply to a request that is not newer than the last one of its client; tells whether it is so."""
        outcome = self.outcome(request.client, request.sequence)
        if outcome is not None:
            io.reply(request, outcome)
        return outcome is not None

    def restore(self, clients: Mapping[str, list[Any]]) -> None:
        """Be as this snapshot of a table is."""
        self.clear()
        self.update(clients)
