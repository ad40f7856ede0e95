"""The checker `marks`: no message of a mailbox is shown as read that nobody marked; and how far marks lag.

Marks are the part of a mailbox that may be lost: that a message which was marked is shown as unread later is measured and
not accused. But a mark that nobody made, or only after it was seen, is a violation (**mark from nowhere**), and so is a
message that was acknowledged and is missing in a later list (**lost mail**, or a **stale read** if it is shown after all).

Statistics: `sent`, `marked`, `lost_mail`, `late_mail`, `from_nowhere`, `lagging` (lists that showed a marked message as
unread), `marks_lost` (marked, and unread in every list from then on), `lag_seconds` (median and largest time from the return
of a mark to the call of the last list that didn't show it, of marks that showed up in the end).
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from harness.checkers.direct import Direct, Key
from harness.checkers.linearizable.explain import asked, called, returned, what, who
from harness.checkers.linearizable.moments import before
from harness.checkers.operations import Operation
from harness.models.values import show


class Marks(Direct):
    name = "marks"
    question = (
        "Is mail that was sent still there, and no message shown as read that nobody marked? How far do marks lag?"
    )

    def __init__(self) -> None:
        super().__init__()
        names = ("sent", "marked", "lost_mail", "late_mail", "from_nowhere", "lagging", "marks_lost")
        self.figures = dict.fromkeys(names, 0)
        self._lags: list[float] = []

    def summary(self) -> str:
        figures = self.figures
        if self._lags:
            figures["lag_seconds"] = {"median": round(median(self._lags), 3), "largest": round(max(self._lags), 3)}
        words = {"lost_mail": "lost", "late_mail": "shown too late", "from_nowhere": "marked by nobody"}
        trouble = " and ".join(f"{figures[name]} {said}" for name, said in words.items() if figures[name])
        lost = figures["marks_lost"]
        marks = f"of {figures['marked']} marks {lost or 'none'} {'was' if lost < 2 else 'were'} lost"
        lag = f", others lagged by up to {max(self._lags):.3f} s" if self._lags else ""
        return f"of {figures['sent']} messages sent {trouble or 'none was lost'}; {marks}{lag}"

    def judge(self, key: Key) -> None:
        lists = [(one, {entry[0]: entry[1] for entry in one.result}) for one in key.done("list")]
        sends, marks = key.done("send"), key.tried("mark")
        self.count("sent", len(sends))
        self.count("marked", sum(one.type == "ok" and one.result is True for one in marks))
        self._look_for_mail(key, sends, lists)
        self._look_for_false_marks(key, marks, lists)
        for one in marks:
            if one.type == "ok" and one.result is True:
                self._measure(one, lists)

    def _look_for_mail(self, key: Key, sends: Sequence[Operation], lists: Sequence[_Listed]) -> None:
        for send in sends:
            missing = next((one for one, shown in lists if before(send, one) and send.value not in shown), None)
            if missing is not None:
                again = any(send.value in shown and (one.ended or 0) > missing.began for one, shown in lists)
                self.count("late_mail" if again else "lost_mail")
                sentence = (
                    f"{what(send)} was acknowledged at {returned(send)}, but "
                    f"{who(missing)} listed the mailbox{asked(missing)} at {called(missing)} and it was not there"
                )
                self.accuse("stale read" if again else "lost mail", sentence, key, [send, missing])

    def _look_for_false_marks(self, key: Key, marks: Sequence[Operation], lists: Sequence[_Listed]) -> None:
        first: dict[str, int] = {}
        for one in marks:
            first[one.value] = min(one.began, first.get(one.value, one.began))
        told: set[str] = set()
        for one, shown in lists:
            for message, marked in shown.items():
                early = marked and first.get(message, float("inf")) > (one.ended or 0)
                if early and message not in told:
                    told.add(message)
                    self.count("from_nowhere")
                    saw = f"{who(one)} saw {show(message)} marked as read{asked(one)} by {returned(one)}"
                    self.accuse("mark from nowhere", f"{saw}, but nobody had marked it", key, [one])

    def _measure(self, mark: Operation, lists: Sequence[_Listed]) -> None:
        """How long after the mark the message was still shown as unread."""
        later = [(one, shown[mark.value]) for one, shown in lists if before(mark, one) and mark.value in shown]
        unread = [one for one, marked in later if not marked]
        if not unread:
            return
        self.count("lagging", len(unread))
        if not any(marked for _, marked in later):
            self.count("marks_lost")
            return
        self._lags.append((max(one.call_ns for one in unread) - (mark.return_ns or 0)) / 1e9)


_Listed = tuple[Operation, dict[str, bool]]
"""A list, and for each message that it showed whether that was marked."""
