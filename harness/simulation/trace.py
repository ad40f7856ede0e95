"""The trace of a simulated run: every message and every step, in order, for diagrams, stories and shrinking.

One step a line in `trace.jsonl`::

    {"time": 12000000, "what": "send", "replica": "n1", "peer": "n2", "key": "n1->n2 accept 3",
     "message": {"type": "accept", ...}}

`time` is nanoseconds on the clock of the history, below 0 while the cluster is being set up. `what` is one of

    send, lost, deliver      a message from `replica` to `peer` (deliver: to `replica` from `peer`); `client` is one of them
                             where it is a request or an answer. `key` names the message, here and in other runs: its
                             way, its type (or its client), and the how manieth of these it is. `fate` says what was
                             drawn for it, if not to be on time (`lost`, `late`, `duplicated`), `late_ns` how late that is;
                             `why` why it was lost
    request, reply           a client's operation is handed to the replica, and what the replica says; `client`, `sequence`
    timer                    a timer of the replica runs out: `name`
    append, compact, sync    what is written to the journal: `record`; and when it is durable
    log                      a line that the protocol writes to its log: `text`
    start, kill, die         `incarnation`; `why` it died on its own
    pause, resume, clock, disk, wipe
    broken                   a law of the protocol is broken: `law`, `text`
"""

from __future__ import annotations

from collections import deque
from typing import Any

Step = dict[str, Any]


MOST_STEPS = 500_000
"""Of a longer run the last ones are kept."""


class Trace:
    """The steps of one run, as they happen."""

    def __init__(self, most_steps: int = MOST_STEPS) -> None:
        self.steps: deque[Step] = deque(maxlen=most_steps)

    def add(self, time_ns: int, what: str, replica: str, **more: Any) -> None:
        self.steps.append({"time": time_ns, "what": what, "replica": replica, **more})
