"""What the checkers of what clients saw call the violations that they find: one name for one thing, whoever tells it.

An algorithm that knows what it found and the teller that looks at a proof afterwards must not call the same thing by two
names, so all names stand here, and the types of `Contradiction`, `Story` and `Direct.accuse` admit no others. What each
means is told in docs/verdicts.md. The laws that a simulated run watches have names of their own, given by their protocol.
"""

from __future__ import annotations

from typing import Literal, get_args

Anomaly = Literal[
    # Any model.
    "value from nowhere",
    "value from the future",
    "failed write seen",
    "no order",
    # Registers and keys.
    "stale read",
    "lost write",
    "resurrected value",
    "order reversed",
    "cas on a stale value",
    "append to a stale value",
    "two CAS from one value",
    "two appends behind one value",
    "cas in a circle",
    "cas refused wrongly",
    "appended twice",
    # Causes and effects.
    "overwritten in its past",
    "causal cycle",
    "replicas disagree",
    # Registers that are written once.
    "written twice",
    "value changed",
    "write refused wrongly",
    # Queues, stacks and sets.
    "lost element",
    "phantom element",
    "resurrected element",
    "dequeued twice",
    "popped twice",
    "out of order",
    "empty although it was not",
    # Logs.
    "lost entry",
    "log position taken twice",
    "logs differ",
    "no such place",
    # Counters.
    "counter too low",
    "counter too high",
    "no such sum",
    # Locks.
    "two holders",
    "acquire refused wrongly",
    "release refused wrongly",
    "released without holding",
    "fencing token went back",
    "fencing token given twice",
    # Mailboxes.
    "lost mail",
    "mark from nowhere",
]

ANOMALIES: tuple[Anomaly, ...] = get_args(Anomaly)
