"""The checker `holders`: never two holders of one lock, and fencing tokens that grow.

Who acquired a lock holds it for certain from the return of its `acquire` until it calls a `release` that can have given it
back: its own, or one of unknown outcome. Two such stretches that overlap are **two holders**. Of two acquisitions of which
the first had returned when the second was called, the second has to have the greater token: else a **fencing token went
back**, or was **given twice**, and what the token protects would let in the wrong one.

Statistics: `acquired`, `refused`, `two_holders`, `tokens_back`, `longest_held_seconds`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.checkers.anomalies import Anomaly
from harness.checkers.direct import Direct, Key
from harness.checkers.linearizable.explain import asked, called, returned, who
from harness.checkers.operations import Operation
from harness.models.values import canonical


@dataclass
class _Held:
    """A stretch of time in which somebody certainly held the lock."""

    acquire: Operation
    release: Operation | None
    """What may have ended it; None if nothing did until the end of the history."""

    @property
    def begin(self) -> int:
        return self.acquire.ended or 0

    @property
    def end(self) -> float:
        return float("inf") if self.release is None else self.release.began


class Holders(Direct):
    name = "holders"
    question = "Did a lock ever have two holders, or give a fencing token that was not greater than the last?"

    def __init__(self) -> None:
        super().__init__()
        self.figures = {"acquired": 0, "refused": 0, "two_holders": 0, "tokens_back": 0, "longest_held_seconds": 0.0}

    def summary(self) -> str:
        figures = self.figures
        trouble = []
        if figures["two_holders"]:
            trouble.append(f"{figures['two_holders']} times there were two holders")
        if figures["tokens_back"]:
            trouble.append(f"{figures['tokens_back']} times a token went back")
        told = " and ".join(trouble) or "never two holders, and every token greater than the last"
        return f"{figures['acquired']} acquisitions: {told}"

    def judge(self, key: Key) -> None:
        acquires = [one for one in key.done("acquire") if one.result is not False]
        self.count("acquired", len(acquires))
        self.count("refused", len(key.done("acquire")) - len(acquires))
        self._look_for_two_holders(key, acquires)
        self._look_at_tokens(key, acquires)

    def _look_for_two_holders(self, key: Key, acquires: list[Operation]) -> None:
        # A release of unknown outcome ends nothing for certain; but nothing after it is certain either.
        releases = [one for one in key.tried("release") if one.result is not False or one.type == "info"]
        stretches = [_Held(one, _first_release(one, releases)) for one in acquires]
        stretches = [one for one in stretches if one.begin < one.end]
        for one in stretches:
            if one.release is not None:
                held_seconds = (one.release.call_ns - (one.acquire.return_ns or 0)) / 1e9
                self.figures["longest_held_seconds"] = max(self.figures["longest_held_seconds"], round(held_seconds, 3))
        stretches.sort(key=lambda one: one.begin)
        longest: _Held | None = None
        for one in stretches:
            if longest is not None and one.begin < longest.end:
                self._two_holders(key, longest, one)
            if longest is None or one.end > longest.end:
                longest = one

    def _two_holders(self, key: Key, first: _Held, second: _Held) -> None:
        self.count("two_holders")
        still = "had not given it back" if first.release is None else f"gave it back only after {called(first.release)}"
        sentence = (
            f"{who(first.acquire)} held the lock{asked(first.acquire)} from {returned(first.acquire)} and {still}, but "
            f"{who(second.acquire)} was given it{asked(second.acquire)} by {returned(second.acquire)}"
        )
        proof = [first.acquire, second.acquire, *([] if first.release is None else [first.release])]
        self.accuse("two holders", sentence, key, proof)

    def _look_at_tokens(self, key: Key, acquires: list[Operation]) -> None:
        numbered = [one for one in acquires if _is_number(one.result)]
        by_return = sorted(numbered, key=lambda one: one.ended or 0)
        greatest: Operation | None = None
        place = 0
        for one in numbered:  # in order of their calls
            while place < len(by_return) and (by_return[place].ended or 0) < one.began:
                other = by_return[place]
                greatest = other if greatest is None or other.result > greatest.result else greatest
                place += 1
            if greatest is not None and one.result <= greatest.result:
                self.count("tokens_back")
                sentence = (
                    f"{who(greatest)} was given the token {greatest.result}{asked(greatest)} by {returned(greatest)}, but "
                    f"{who(one)}, who asked at {called(one)}, was given {one.result}{asked(one)}"
                )
                twice = one.result == greatest.result
                name: Anomaly = "fencing token given twice" if twice else "fencing token went back"
                self.accuse(name, sentence, key, [greatest, one])


def _first_release(acquire: Operation, releases: list[Operation]) -> Operation | None:
    """The first release, called after the lock was given, that can have given it back: of the same owner, or nameless."""
    owner = canonical(acquire.value)
    for one in releases:
        mine = one.value is None or owner is None or canonical(one.value) == owner
        if mine and one.began > (acquire.ended or 0):
            return one
        # One that was open when the lock was given may take effect right after that.
        if mine and (one.ended is None or one.ended > acquire.began) and one.began < (acquire.ended or 0):
            return one
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
