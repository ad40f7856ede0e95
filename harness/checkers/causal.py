"""The checkers `causal` and `convergent`: is an effect never seen without its cause; do all prefer the same of two writes?

Both go by values that are written once: who reads one has seen that write. Causes are what follows from that and from the
order of each process, which is its session: an operation is a CAUSE of those that its process does later, a write is a
cause of those that read it, and a cause's cause is a cause.

**Causal consistency** asks that each process can explain what it read by its causes, and no more than that: two processes
need not agree on the order of what has nothing to do with each other. It is broken, for certain, exactly if one of these is
there (Bouajjani, Enea, Guerraoui and Hamza, "On verifying causal consistency", 2017):

- **overwritten in its past**: among the causes of a read of one key is a write that came, as an effect, after the write
  that it returned. Or there is any write of the key among its causes, and the read found nothing.
- **causal cycle**: something is its own cause.
- A value that nobody wrote, whose write failed, or was called only after the read had returned.

**Convergence** (`convergent`) asks for one thing more: that all prefer the same one of two writes of a key that have nothing
to do with each other. If a process reads one with the other among its causes, then the other was the earlier. Earlier in
this sense, or a cause: if that goes round in a circle, then **replicas disagree**, and will if nothing is written any more.

What is checked is what clients see; nothing is known of replicas. A process that moves from one replica to another is still
one session; only of the final reads, which go through all replicas on purpose, each is a session of its own. Keys where a
value is written twice are left out, and so are writes of unknown outcome that nobody ever read, as they may not have
happened: so whatever is called a violation is one. Time doesn't matter, and nothing is searched: the causes of an operation
are a vector, and a check takes as many steps as there are operations times processes that write.

Statistics: `operations`, `sessions`, `reads`, `seen` (reads whose write is known), `broken`, `skipped` keys.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from harness.checkers.anomalies import Anomaly
from harness.checkers.checker import Checker, Limits
from harness.checkers.direct import MOST_FINDINGS
from harness.checkers.linearizable.budget import Budget, Stopped
from harness.checkers.linearizable.explain import asked, called, returned, who
from harness.checkers.operations import Operation, Record, operations
from harness.checkers.result import CheckResult, Finding
from harness.history import FINAL_READS, HARNESS, BadHistory, Event
from harness.models.values import canonical, show
from harness.spec import RunSpec

READS = ("read", "get")
WRITES = ("write", "put")
_SHRUNK = ("overwritten in its past", "replicas disagree", "causal cycle")
NOTHING = object()
"""It reads nothing, or writes nothing."""


@dataclass(eq=False)
class Node:
    """An operation among others."""

    operation: Operation
    session: int
    place: int
    """In its session, counted from 1."""
    reads: Any = NOTHING
    writes: Any = NOTHING
    before: Node | None = None
    """The one before it in its session."""
    source: Node | None = None
    """The write that it read."""
    past: list[int] = field(default_factory=list)
    """Of each session that writes, how many of its operations are causes of this one; its own session apart. Shared between
    neighbours that have the same: never changed in place."""

    @property
    def key(self) -> str:
        return self.operation.key

    def causes(self) -> list[tuple[Node, int]]:
        """Its direct ones, each with how many steps that takes: none inside a session."""
        before = [] if self.before is None else [(self.before, 0)]
        return before if self.source is None else [*before, (self.source, 1)]

    def has_cause(self, other: Node, column: int) -> bool:
        """Whether the other, a write whose session has this column, is a cause of this one."""
        if other.session == self.session:
            return other.place < self.place
        return self.past[column] >= other.place


@dataclass
class Writes:
    """The writes of one key by one session, in their order."""

    column: int
    places: list[int] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)


class Graph:
    """The operations of a history, with what is a cause of what."""

    def __init__(self, record: Record, final: float = float("inf")) -> None:
        """`final` is the position in the history from which on all operations are final reads."""
        self.skipped = _ambiguous(record.operations)
        self._final = final
        self.writers: dict[tuple[str, Hashable], Node] = {}
        self.nodes: list[Node] = []
        self.strange: list[tuple[Anomaly, Node, Operation | None]] = []
        """Reads that no write explains: what is wrong, the read, and the write that isn't one."""
        self.sessions = 0
        self._effects: dict[Node, list[tuple[Node, int]]] = {}
        self._collect(record)
        self._find_sources(record)
        self.columns: dict[int, int] = {}
        """Of each session that writes, where in a past it is counted."""
        self.writes: dict[str, dict[int, Writes]] = {}
        """By key and session."""
        for node in self.nodes:
            if node.writes is not NOTHING:
                column = self.columns.setdefault(node.session, len(self.columns))
                known = self.writes.setdefault(node.key, {}).setdefault(node.session, Writes(column))
                known.places.append(node.place)
                known.nodes.append(node)

    def _collect(self, record: Record) -> None:
        read = {
            (one.key, canonical(_read(one)))
            for one in record.operations
            if one.type == "ok" and _read(one) is not NOTHING and _read(one) is not None
        }
        latest: dict[int | str, Node] = {}
        for one in record.operations:
            wrote = _wrote(one)
            if one.key in self.skipped:
                continue
            if one.type == "info" and (wrote is NOTHING or (one.key, canonical(wrote)) not in read):
                continue
            last = latest.get(one.process) if one.began < self._final else None
            if last is None:
                self.sessions += 1
                node = Node(one, self.sessions, 1)
            else:
                node = Node(one, last.session, last.place + 1, before=last)
            if one.type == "ok":
                latest[one.process] = node
            else:
                # Should the process go on, it doesn't know when this takes effect: what it does then is a new session.
                latest.pop(one.process, None)
            self.nodes.append(node)
            if wrote is not NOTHING:
                node.writes = canonical(wrote)
                self.writers[one.key, node.writes] = node
            if one.type == "ok":
                found = _read(one)
                node.reads = NOTHING if found is NOTHING else canonical(found)

    def _find_sources(self, record: Record) -> None:
        failed = {(one.key, canonical(_wrote(one))): one for one in record.failed if _wrote(one) is not NOTHING}
        for node in self.nodes:
            if node.reads is NOTHING or node.reads is None:
                continue
            source = self.writers.get((node.key, node.reads))
            if source is None:
                wrong = failed.get((node.key, node.reads))
                self.strange.append(("value from nowhere" if wrong is None else "failed write seen", node, wrong))
            elif node.operation.ended is not None and source.operation.began > node.operation.ended:
                self.strange.append(("value from the future", node, source.operation))
            elif source is not node:
                node.source = source

    def effects(self, node: Node) -> list[tuple[Node, int]]:
        """What it is a direct cause of, each with how many steps that takes: none inside a session."""
        if not self._effects:
            for one in self.nodes:
                for cause, steps in one.causes():
                    self._effects.setdefault(cause, []).append((one, steps))
        return self._effects.get(node, [])

    def order(self, more: dict[Node, list[Node]] | None = None) -> tuple[list[Node], list[Node]]:
        """The operations, causes first; and those that are in a circle, or behind one. `more` is what else comes first."""
        behind: dict[Node, list[Node]] = {}
        lacking: dict[Node, int] = {}
        for node in self.nodes:
            first = [*(cause for cause, _ in node.causes()), *((more or {}).get(node, ()))]
            lacking[node] = len(first)
            for other in first:
                behind.setdefault(other, []).append(node)
        ready = deque(node for node in self.nodes if not lacking[node])
        ordered: list[Node] = []
        while ready:
            node = ready.popleft()
            ordered.append(node)
            for other in behind.get(node, ()):
                lacking[other] -= 1
                if not lacking[other]:
                    ready.append(other)
        return ordered, [node for node in self.nodes if lacking[node]]

    def look_back(self, ordered: Iterable[Node], budget: Budget) -> None:
        """Give each its past."""
        nobody = [0] * len(self.columns)
        for node in ordered:
            budget.look()
            node.past = nobody if node.before is None else node.before.past
            source = node.source
            if source is None or source.session == node.session or self.is_cause(source, node):
                continue  # nothing new: who knows of an operation knows of all its causes
            node.past = list(map(max, node.past, source.past))
            node.past[self.columns[source.session]] = source.place

    def rivals(self, node: Node) -> list[Node]:
        """The last write of its key, by each session, among its causes; but not the one that it read."""
        found = []
        for session, known in self.writes.get(node.key, {}).items():
            limit = node.place - 1 if session == node.session else node.past[known.column]
            place = bisect_right(known.places, limit)
            if place and known.nodes[place - 1] is not node.source:
                found.append(known.nodes[place - 1])
        return found

    def is_cause(self, one: Node, other: Node) -> bool:
        """Whether the one, a write, is a cause of the other."""
        return other.has_cause(one, self.columns[one.session])


class Causal(Checker):
    name = "causal"
    question = "Was an effect ever seen without its cause?"
    good = "every read is explained by its causes"

    def __init__(self, shrinks: bool = True) -> None:
        self.findings: list[Finding] = []
        self.broken = 0
        self._shrinks = shrinks

    def check(self, spec: RunSpec, events: Sequence[Event], limits: Limits) -> CheckResult:
        try:
            graph = Graph(operations(events), _final_reads(events))
        except BadHistory as error:
            return CheckResult(self.name, "unknown", f"this is no history that can be judged: {error}")
        figures = {
            "operations": len(graph.nodes),
            "sessions": graph.sessions,
            "reads": sum(node.reads is not NOTHING for node in graph.nodes),
            "seen": sum(node.source is not None for node in graph.nodes),
            "skipped": len(graph.skipped),
        }
        if not figures["reads"]:
            sentence = "there is nothing to judge: no read of a key whose values are each written once"
            return CheckResult(self.name, "unknown", sentence, statistics={**figures, "broken": 0})
        try:
            self._judge(graph, Budget(limits))
        except Stopped as stopped:
            if not self.findings:
                return CheckResult(self.name, "unknown", f"{stopped.sentence}: {stopped.remedy}", statistics=figures)
        sentence = f"of {figures['reads']} reads of {figures['sessions']} processes {self.broken} break it"
        if not self.findings:
            sentence = f"{self.good}: {figures['reads']} reads of {figures['sessions']} processes"
        verdict = "violation" if self.findings else "valid"
        return CheckResult(self.name, verdict, sentence, self.findings, {**figures, "broken": self.broken})  # type: ignore[arg-type]

    def _judge(self, graph: Graph, budget: Budget) -> None:
        for anomaly, node, other in graph.strange:
            self._accuse_strange(anomaly, node, other)
        ordered, circle = graph.order()
        if circle:
            self._accuse_circle(_circle(circle))
            return
        graph.look_back(ordered, budget)
        self._judge_order(graph, budget)

    def _judge_order(self, graph: Graph, budget: Budget) -> None:
        told: set[str] = set()
        for node in graph.nodes:
            budget.look()
            if node.reads is NOTHING or (node.reads is not None and node.source is None):
                continue
            for rival in graph.rivals(node):
                if node.source is None or graph.is_cause(node.source, rival):
                    self.broken += 1
                    if node.key not in told and len(self.findings) < MOST_FINDINGS:
                        told.add(node.key)
                        self._accuse_overwritten(graph, node)
                    break

    # ---- findings

    def _accuse(self, anomaly: Anomaly, sentence: str, key: str, proof: Iterable[Operation]) -> None:
        if len(self.findings) >= MOST_FINDINGS:
            return
        shown = sorted({one.index: one for one in proof}.values(), key=lambda one: one.began)
        smaller = (
            None if anomaly not in _SHRUNK or not self._shrinks else self._without_what_can_be_left_out(anomaly, shown)
        )
        if smaller is not None:
            self.findings.append(smaller)
            return
        end = max((one.return_ns for one in shown if one.return_ns is not None), default=None)
        told = [one.as_json() for one in shown]
        self.findings.append(Finding(self.name, anomaly, sentence, key, told, prefix_end=end))

    def _without_what_can_be_left_out(self, anomaly: Anomaly, shown: Sequence[Operation]) -> Finding | None:
        """The finding of fewer operations; None if each is needed."""
        kept, smaller = list(shown), None
        place = 0
        while place < len(kept):
            rest = kept[:place] + kept[place + 1 :]
            found = type(self)(shrinks=False)._findings_of(rest)
            if [one.anomaly for one in found] == [anomaly]:
                kept, smaller, place = rest, found[0], 0
            else:
                place += 1
        return smaller

    def _findings_of(self, proof: Sequence[Operation]) -> list[Finding]:
        self._judge(Graph(Record(list(proof))), Budget(Limits()))
        return self.findings

    def _accuse_strange(self, anomaly: Anomaly, node: Node, other: Operation | None) -> None:
        self.broken += 1
        read = node.operation
        why = "which nobody ever wrote"
        if other is not None:
            late = anomaly == "value from the future"
            why = (
                f"but {who(other)} wrote it only from {called(other)} on"
                if late
                else f"but its write by {who(other)} failed"
            )
        sentence = f"{_told(node)} by {returned(read)}, {why}"
        self._accuse(anomaly, sentence, node.key, [read] if other is None else [read, other])

    def _accuse_circle(self, circle: list[Node]) -> None:
        self.broken += 1
        sentence = f"{_chain(circle)}: each of these is a cause of the next one, and the last one of the first"
        self._accuse("causal cycle", sentence, circle[0].key, [node.operation for node in circle])

    def _accuse_overwritten(self, graph: Graph, read: Node) -> None:
        """By the rival that takes the fewest steps from process to process."""
        back = _ways(read, Node.causes)
        onward = {} if read.source is None else _ways(read.source, graph.effects)
        rivals = [
            node
            for node in back
            if node.writes is not NOTHING
            and node.key == read.key
            and node not in (read, read.source)
            and (read.source is None or node in onward)
        ]
        rival = min(rivals, key=lambda node: back[node].steps + (onward[node].steps if onward else 0))
        chain = _turns(_along(back, rival))
        if onward:
            chain = [*_turns(_along(onward, rival))[:0:-1], *chain]
        found = "found nothing" if read.reads is None else f"read {show(read.operation.result)}"
        sentence = (
            f"{_chain(chain[:-1])}, and so knew of {show(_wrote(rival.operation))} when it {found} in {read.key} "
            f"at {called(read.operation)}"
        )
        self._accuse("overwritten in its past", sentence, read.key, [node.operation for node in chain])


class Convergent(Causal):
    name = "convergent"
    question = "Do all prefer the same one of two writes that have nothing to do with each other?"
    good = "one order of all writes explains every read"

    def _judge_order(self, graph: Graph, budget: Budget) -> None:
        earlier: dict[Node, list[Node]] = {}
        """For a write those that must come before it, as somebody read it with them among its causes."""
        reader: dict[tuple[Node, Node], Node] = {}
        for node in graph.nodes:
            budget.look()
            if node.source is None:
                continue
            for rival in graph.rivals(node):
                if (rival, node.source) not in reader and rival is not node:
                    reader[rival, node.source] = node
                    earlier.setdefault(node.source, []).append(rival)
        super()._judge_order(graph, budget)
        if self.findings:
            return
        pair = next((pair for pair in reader if pair[::-1] in reader), None)
        if pair is not None:
            self._accuse_disagreement(list(pair), reader)
            return
        _, circle = graph.order(earlier)
        if circle:
            self._accuse_disagreement(_circle(circle, earlier), reader)

    def _accuse_disagreement(self, circle: list[Node], reader: dict[tuple[Node, Node], Node]) -> None:
        self.broken += 1
        proof, told = [], []
        for one, other in zip(circle, [*circle[1:], circle[0]], strict=True):
            node = reader.get((one, other))
            if node is not None:
                proof += [*_path(one, node), other]
                value, before = show(_wrote(other.operation)), show(_wrote(one.operation))
                told.append(
                    f"{who(node.operation)}{asked(node.operation)} read {value} in {node.key} when it knew of {before}"
                )
            elif one.session != other.session or other is circle[0]:
                proof += [one, other]
        sentence = f"{', but '.join(told)}: there is no order of writes in which each read returns the last one"
        self._accuse("replicas disagree", sentence, circle[0].key, [node.operation for node in proof])


# ---- operations


def _final_reads(events: Sequence[Event]) -> float:
    """The position of the event with which they begin."""
    for position, event in enumerate(events):
        if event.get("process") == HARNESS and event.get("value") == FINAL_READS:
            return position
    return float("inf")


def _read(operation: Operation) -> Any:
    """What it saw; for an operation that happened."""
    if operation.f in READS:
        return operation.result
    if operation.f == "cas" and operation.result is True:
        return operation.value[0]
    return NOTHING


def _wrote(operation: Operation) -> Any:
    """What it wrote, or may have."""
    if operation.type == "ok" and operation.result is False:
        return NOTHING
    if operation.f in WRITES:
        return operation.value
    return operation.value[1] if operation.f == "cas" else NOTHING


def _ambiguous(all_of_them: Iterable[Operation]) -> set[str]:
    """The keys where whoever reads a value can't tell where it comes from."""
    written: dict[str, set[Hashable]] = {}
    found = set()
    for one in all_of_them:
        if one.key in found or one.f in READS:
            continue
        pair = one.f != "cas" or (isinstance(one.value, list | tuple) and len(one.value) == 2)
        if one.f not in (*WRITES, "cas") or not pair:
            found.add(one.key)
            continue
        value = _wrote(one)
        if value is NOTHING:
            continue
        values = written.setdefault(one.key, set())
        if value is None or canonical(value) in values:
            found.add(one.key)
        values.add(canonical(value))
    return found


# ---- telling


class Way(NamedTuple):
    """How an operation is reached: with how many steps from process to process, and from where."""

    steps: int
    through: Node | None


def _ways(start: Node, onward: Callable[[Node], list[tuple[Node, int]]]) -> dict[Node, Way]:
    """To each that can be reached, a way of the fewest steps."""
    ways = {start: Way(0, None)}
    front = deque([start])
    while front:
        node = front.popleft()
        for other, steps in onward(node):
            if other not in ways or ways[node].steps + steps < ways[other].steps:
                ways[other] = Way(ways[node].steps + steps, node)
                if steps:
                    front.append(other)
                else:
                    front.appendleft(other)
    return ways


def _along(ways: dict[Node, Way], end: Node) -> list[Node]:
    """Back from there to where the ways start, both included."""
    path = [end]
    while (through := ways[path[-1]].through) is not None:
        path.append(through)
    return path


def _turns(path: Sequence[Node]) -> list[Node]:
    """Of what a process did on the way only where the way came in and where it left."""
    inner = zip(path, path[1:], path[2:], strict=False)
    turns = [node for before, node, after in inner if not before.session == node.session == after.session]
    return [path[0], *turns, *path[-1:]] if len(path) > 1 else list(path)


def _path(start: Node, end: Node) -> list[Node]:
    """A chain of causes from the one to the other."""
    return _turns(_along(_ways(end, Node.causes), start))


def _circle(nodes: Sequence[Node], earlier: dict[Node, list[Node]] | None = None) -> list[Node]:
    """A circle among these, of which each has something before it that is among them: in order, causes first."""
    among = set(nodes)
    walked: dict[Node, int] = {}
    way: list[Node] = []
    node = nodes[0]
    while node not in walked:
        walked[node] = len(way)
        way.append(node)
        before = [*(earlier or {}).get(node, ()), *(cause for cause, _ in node.causes())]
        node = next(one for one in before if one in among)
    return way[walked[node] :][::-1]


def _told(node: Node) -> str:
    """`p3 wrote 5 to x (n1)`"""
    operation = node.operation
    if node.reads is NOTHING or operation.f not in READS:
        deed = f"wrote {show(_wrote(operation))} to"
    else:
        deed = "found nothing in" if operation.result is None else f"read {show(operation.result)} in"
    return f"{who(operation)} {deed} {operation.key}{asked(operation)}"


def _chain(nodes: Sequence[Node]) -> str:
    """`p1 wrote 1 to x (n1) and then 2 to y (n1); p2 read 2 in y (n2)`"""
    parts: list[str] = []
    last: Node | None = None
    for node in nodes:
        told = _told(node)
        if last is not None and last.session == node.session:
            parts[-1] += f" and then {told.partition(' ')[2]}"
        else:
            parts.append(told)
        last = node
    return "; ".join(parts)
