"""The checker `totals`: what went into a queue came out once, in order, and nothing else did.

For each key:

- A value that was dequeued more often than it was (perhaps) enqueued was **dequeued twice**; one that nobody enqueued came
  **from nowhere**.
- If a dequeue found the queue empty, everything whose enqueue had returned before that dequeue was called had been taken out
  by then. What no dequeue ever returned can only have gone to dequeues of unknown outcome, one each. More than those:
  **lost**.
- If one enqueue returned before another was called, and the second value was dequeued by the time that the dequeue of the
  first was called, they were **out of order**.

Statistics: `enqueued`, `dequeued`, `lost`, `unaccounted` (acknowledged, not dequeued, and perhaps still inside or taken by a
dequeue of unknown outcome), `repeated`, `from_nowhere`, `reordered`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Hashable

from harness.checkers.direct import Direct, Key
from harness.checkers.linearizable.explain import asked, called, did, returned, what, who
from harness.checkers.linearizable.moments import before
from harness.checkers.operations import Operation
from harness.models.values import canonical, show


class Totals(Direct):
    name = "totals"
    question = "Did every value that went into a queue come out once, in order, and nothing else?"

    def __init__(self) -> None:
        super().__init__()
        names = ("enqueued", "dequeued", "lost", "unaccounted", "repeated", "from_nowhere", "reordered")
        self.figures = dict.fromkeys(names, 0)

    def summary(self) -> str:
        figures = self.figures
        trouble = [
            f"{figures[name]} {words}"
            for name, words in (
                ("lost", "lost"),
                ("repeated", "dequeued twice"),
                ("from_nowhere", "from nowhere"),
                ("reordered", "out of order"),
            )
            if figures[name]
        ]
        told = ", ".join(trouble) or "none lost, repeated or out of order"
        return f"of {figures['enqueued']} values enqueued {figures['dequeued']} came out: {told}"

    def judge(self, key: Key) -> None:
        taken = [one for one in key.done("dequeue") if one.result is not None]
        put: dict[Hashable, list[Operation]] = {}
        for one in key.tried("enqueue"):
            put.setdefault(canonical(one.value), []).append(one)
        self.count("enqueued", len(key.done("enqueue")))
        self.count("dequeued", len(taken))
        self._look_for_repeated(key, taken, put)
        self._look_for_lost(key, taken)
        self._look_for_reordered(key, taken, put)

    def _look_for_repeated(self, key: Key, taken: list[Operation], put: dict[Hashable, list[Operation]]) -> None:
        times: Counter[Hashable] = Counter()
        first: dict[Hashable, Operation] = {}
        for one in taken:
            value = canonical(one.result)
            times[value] += 1
            enqueues = put.get(value, [])
            if not enqueues:
                self.count("from_nowhere")
                sentence = f"{did(one)} by {returned(one)}, but nobody had enqueued it"
                refused = [other for other in key.failed if other.f == "enqueue" and canonical(other.value) == value]
                if refused:
                    sentence = (
                        f"{did(one)} by {returned(one)}, but {who(refused[0])}'s enqueue{asked(refused[0])} "
                        "of it had been answered with a failure: it must never happen"
                    )
                self.accuse("value from nowhere", sentence, key, [one])
            elif times[value] > len(enqueues):
                self.count("repeated")
                other = first[value]
                sentence = (
                    f"{did(other)} by {returned(other)} and {who(one)} did so again{asked(one)} by "
                    f"{returned(one)}, but it was enqueued only {_times(len(enqueues))}"
                )
                self.accuse("dequeued twice", sentence, key, [*enqueues, other, one])
            first.setdefault(value, one)

    def _look_for_lost(self, key: Key, taken: list[Operation]) -> None:
        out = Counter(canonical(one.result) for one in taken)
        missing = []
        # Of equal values those that came first are taken for dequeued: then what is missing may have come late.
        for one in sorted(key.done("enqueue"), key=lambda one: one.ended or 0):
            value = canonical(one.value)
            if out[value]:
                out[value] -= 1
            else:
                missing.append(one)
        empties = [one for one in key.done("dequeue") if one.result is None]
        crashed = [one for one in key.tried("dequeue") if one.type == "info"]
        last = max(empties, key=lambda one: one.began, default=None)
        gone = [one for one in missing if last is not None and before(one, last)]
        excused = [one for one in crashed if last is not None and one.began < (last.ended or 0)]
        lost = len(gone) - len(excused)
        if lost <= 0 or last is None:
            self.count("unaccounted", len(missing))
            return
        self.count("lost", lost)
        self.count("unaccounted", len(missing) - lost)
        one = gone[0]
        sentence = (
            f"{what(one)} was acknowledged at {returned(one)} and nobody dequeued it, but "
            f"{who(last)} found the queue empty{asked(last)}, from {called(last)} to {returned(last)}"
        )
        if len(gone) > 1:
            sentence += f"; so it is with {len(gone)} values of this queue"
        if excused:
            sentence += f", of which {len(excused)} may have gone to dequeues of unknown outcome"
        self.accuse("lost element", sentence, key, [*gone[: len(excused) + 1], *excused, last])

    def _look_for_reordered(self, key: Key, taken: list[Operation], put: dict[Hashable, list[Operation]]) -> None:
        """Values that were enqueued once and dequeued once. Sweeps once, so that long queues cost little."""
        times = Counter(canonical(one.result) for one in taken)
        pairs = [
            (put[value][0], one)
            for one in taken
            if times[value := canonical(one.result)] == 1 and len(put.get(value, [])) == 1
        ]
        by_call = sorted(pairs, key=lambda pair: pair[0].began)
        # From the last enqueue on: of all that were called later, whose dequeue returned first.
        earliest: list[tuple[Operation, Operation]] = []
        for pair in reversed(by_call):
            if not earliest or (pair[1].ended or 0) < (earliest[-1][1].ended or 0):
                earliest.append(pair)
            else:
                earliest.append(earliest[-1])
        earliest.reverse()
        calls = [enqueue.began for enqueue, _ in by_call]
        for enqueue, dequeue in by_call:
            place = _first_after(calls, enqueue.ended)
            if place is None:
                continue
            later_in, earlier_out = earliest[place]
            if before(earlier_out, dequeue):
                self.count("reordered")
                sentence = (
                    f"{show(enqueue.value)} was enqueued by {returned(enqueue)}, before {show(later_in.value)} (from "
                    f"{called(later_in)}), but {did(earlier_out)} by "
                    f"{returned(earlier_out)} and {did(dequeue)} after {called(dequeue)}"
                )
                self.accuse("out of order", sentence, key, [enqueue, later_in, earlier_out, dequeue])


def _first_after(calls: list[int], ended: int | None) -> int | None:
    if ended is None:
        return None
    place = bisect_right(calls, ended)
    return place if place < len(calls) else None


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
