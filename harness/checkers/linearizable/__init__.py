"""The checker `linearizable`: is there one order of the operations that explains what every client saw?

Each operation is given one moment between its invocation and its completion (one that crashed: any later moment, or none),
such that a single copy of the machine, doing them in the order of these moments, answers as the clients were answered.
Keys are judged apart: a history is linearizable exactly if each of its keys is (Herlihy and Wing 1990).

- `near_linear` (registers), `queues`, `stacks`, `counters`, `locks`, `logs`, `sets`, `write_once`: in O(n log n), whatever
  crashed, where values are unambiguous. Tried first on every key. `appends` makes registers of keys. `decision` tells what
  they say, `decide` which one is asked.
- `windows`: cuts a register with ambiguous values where it is certain what it holds.
- `search`: any model, any values; exponential in the operations open at once, in time that `budget` limits.
- `answers`, `crew`, `worker`: who judges which key, here or in other processes.
- `telling`: the shortest prefix that fails, a minimal proof, and what people call it. `explain` has the words, and
  `harness.checkers.anomalies` the names.
- `witness`, `proven`: the order that explains a key, and its replay.

Equal time stamps: `harness.checkers.operations` tells what they mean.
"""

from __future__ import annotations

from harness.checkers.linearizable.checker import Linearizable

__all__ = ["Linearizable"]
