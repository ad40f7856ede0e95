"""The checker `linearizable`: is there one order of the operations that explains what every client saw?

Each operation is given one moment between its invocation and its completion (one that crashed: any later moment, or none),
such that a single copy of the machine, doing them in the order of these moments, answers as the clients were answered.
Keys are judged apart: a history is linearizable exactly if each of its keys is (Herlihy and Wing 1990).

- `near_linear`: registers whose values are written once, in O(n log n), whatever crashed. Tried first on every key.
- `search`: any model, any values; exponential in the operations open at once, in time that `Budget` limits.
- `findings`: the shortest prefix that fails and a minimal proof; `explain`: the sentence.

Equal time stamps: `harness.checkers.operations` tells what they mean.
"""

from __future__ import annotations

from harness.checkers.linearizable.checker import Linearizable

__all__ = ["Linearizable"]
