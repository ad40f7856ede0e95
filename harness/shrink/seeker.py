"""Making one run smaller, pass after pass, while it still ends in a finding of the same kind.

Each pass leaves out or calms one kind of thing: operations, faults, messages with a fate of their own, replicas, noise of
the network and the clocks, and time in which nothing happens. The passes are gone through until none makes the run smaller
any more, or until the time is up. Every attempt is a whole simulated run, judged by the checkers like any other.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from harness.errors import BadInput, RunFailed
from harness.explore.trial import Kind, Seen, judged
from harness.explore.variants import PROTOCOL_SIZES
from harness.shrink.alike import FEWER, SIZES, sizes_of, with_size
from harness.shrink.minimize import minimize
from harness.shrink.parts import (
    among,
    by_groups,
    cuts,
    joined,
    moment_of,
    plainer,
    processes,
    shifted,
    since,
    swapped,
    tidy,
    type_of,
    without_quiet,
)
from harness.shrink.script import delays_written_down
from harness.shrink.shaken import shaken
from harness.simulation.simulate import simulate
from harness.spec import ClientsSpec, RunSpec, ScriptedFault, ScriptSpec, SimulationSpec
from node.protocols import PROTOCOLS

MOST_OPERATIONS = 12
MOST_FAULTS = 5
"""A run that is no larger than this has a story that can be read."""
_LATER = (0.8, 0.5, 0.25)
"""Parts of its length that are left out at once, from the begin on."""
_QUIET_SECONDS = (0.2, 0.5, 1.0, 2.0)
"""Stretches in which nothing happens are cut down to one of these."""
_AFTER_SECONDS = (0.1, 0.5, 2.0)
"""How long the run goes on after its last operation, at the least that will do."""
_SHORTER = (0.1, 0.25, 0.5)
"""Parts of its length that are tried for a fault."""
_BEFORE_SECONDS = 0.2
"""How long before the first thing that happens a run begins that begins later."""
_MOST_BEGINNINGS = 24
"""Beginnings are tried one by one where there are no more than these."""
_INSTANT = ("kill", "wipe", "disk-full", "sync-fails")
_LEAST_SECONDS = 0.2
"""Other faults don't become shorter than this: on real replicas there would be nothing of them."""
_CUT_SECONDS = 0.02
"""How long before the first message that went astray, and after the last, a cut in their place lasts."""


@dataclass(frozen=True)
class Size:
    """How large a run is, as people are told."""

    operations: int
    faults: int
    messages: int
    """Messages with a fate of their own."""
    replicas: int
    seconds: float

    @property
    def is_small(self) -> bool:
        """Whether people can read its story."""
        return self.operations <= MOST_OPERATIONS and self.faults <= MOST_FAULTS

    @classmethod
    def of(cls, spec: RunSpec) -> Size:
        script = spec.script or ScriptSpec()
        sizes = (len(script.operations), len(script.faults), len(script.messages))
        return cls(*sizes, spec.replicas, round(spec.duration_seconds, 3))


Progress = Callable[[Size, int], None]
"""Is told the size of the smallest run so far, and how many were tried."""


def findings(spec: RunSpec, stop_at_broken: bool = False) -> tuple[Seen, ...]:
    """What a run ends in; with `stop_at_broken`, before a second law is broken."""
    try:
        return judged(spec, simulate(spec, stop_at_broken=stop_at_broken, statuses=False))[0]
    except (BadInput, RunFailed):
        return ()


def shows(spec: RunSpec, kind: Kind, stop_at_broken: bool = False) -> bool:
    """Whether a run ends in a finding of this kind; with `stop_at_broken`, before any other law is broken."""
    return any(one.kind == kind for one in findings(spec, stop_at_broken))


class Budget:
    """How long may be looked for something smaller: until a time, or so many attempts, or until somebody cancels."""

    def __init__(self, seconds: float, most_attempts: int | None, cancelled: Callable[[], bool]) -> None:
        self.attempts = 0
        self._began = time.monotonic()
        self._seconds = seconds
        self._most_attempts = most_attempts
        self._cancelled = cancelled

    def over(self, share: float = 1.0) -> bool:
        """Whether it is used up, or so much of it."""
        tried_enough = self._most_attempts is not None and self.attempts >= self._most_attempts * share
        return tried_enough or time.monotonic() - self._began > self._seconds * share or self._cancelled()


class Seeker:
    """Keeps the smallest run that still shows the finding."""

    def __init__(
        self,
        spec: RunSpec,
        found: Seen,
        budget: Budget,
        progress: Progress = lambda size, attempts: None,
        least_replicas: int = 1,
    ) -> None:
        """`spec` has a script, and ends in what was found."""
        self.best = spec
        self.kind = found.kind
        self.finding = found
        self.minimal = False
        """Whether nothing more could be left out."""
        self._budget = budget
        self._share = 1.0
        self._progress = progress
        self._least_replicas = least_replicas
        self._begun = False
        self._dice = random.Random(f"{spec.seed}/shaken")
        self._stops = found.kind.checker == "invariants" and shows(spec, found.kind, stop_at_broken=True)
        """Whether a run may end with the first law that is broken, which saves time: nothing else is looked for."""

    def seek(self, share: float = 1.0) -> None:
        """Make it smaller until nothing helps, or until this share of the budget is used up. May be called again."""
        if self.minimal:
            return
        self._share = share
        if not self._begun:
            self._begun = True
            self._end_with_the_script()
            self._cut_the_end()
            self._leave_out_groups()
        before = None
        while before != self.best and not self._over():
            before = self.best
            for step in self._passes():
                step()
        self.minimal = not self._over()

    def shake(self) -> bool:
        """Leave out a little of what is most of it too much, and move the rest about. Whether that helped; then there may
        be more to leave out."""
        size = Size.of(self.best)
        fewer_faults = size.faults * MOST_OPERATIONS > size.operations * MOST_FAULTS
        changed = shaken(self.best, self._dice, fewer_faults)
        helped = self._try(script=changed.script, seed=changed.seed)
        self.minimal = self.minimal and not helped
        return helped

    def _passes(self) -> Sequence[Callable[[], object]]:
        return (
            self._less_time,
            self._fewer_operations,
            self._less_time,
            self._fewer_faults,
            self._longer_faults,
            self._cuts_for_messages,
            self._fewer_messages,
            self._begin_at_an_event,
            self._fewer_replicas,
            self._fewer_operations,
            self._fewer_targets,
            self._shorter_faults,
            self._plainer_faults,
            self._calmer,
            self._delays_written_down,
            self._usual_tempo,
            self._usual_sizes,
            self._plainer_clients,
            self._less_quiet,
            self._fewer_processes,
        )

    # ---- trying

    def _over(self) -> bool:
        return self._budget.over(self._share)

    def _shows(self, spec: RunSpec) -> bool:
        self._budget.attempts += 1
        shown = shows(spec, self.kind, self._stops)
        self._progress(Size.of(self.best), self._budget.attempts)
        return shown

    def _try(self, **changes: Any) -> bool:
        """Whether the best run with these changes shows the finding as well; then it is the best from now on."""
        if self._over():
            return False
        candidate = tidy(self.best.model_copy(update=changes))
        if candidate == self.best or not self._shows(candidate):
            return False
        self.best = candidate
        return True

    def _try_script(self, **changes: Any) -> bool:
        return self._try(script=self._script.model_copy(update=changes))

    @property
    def _script(self) -> ScriptSpec:
        assert self.best.script is not None
        return self.best.script

    # ---- the passes

    def _end_with_the_script(self) -> None:
        """Don't wait for a majority to go on after it, unless that is what it doesn't do."""
        if self.kind.checker != "liveness" and self.best.simulation.liveness_seconds:
            self._try(simulation=self.best.simulation.model_copy(update={"liveness_seconds": 0.0}))

    def _cut_the_end(self) -> None:
        """Leave out at once what begins after everything had happened that the finding takes."""
        if self.finding.time_ns is None or self.kind.checker == "liveness":
            return
        end = self.finding.time_ns / 1e9
        earlier = [one for one in self._script.operations if one.at_seconds <= end]
        script = self._script.model_copy(update={"operations": earlier})
        self._try(script=script, duration_seconds=round(end + _AFTER_SECONDS[0], 3))

    def _leave_out_groups(self) -> None:
        """Much at once, while every attempt still takes long: keys, kinds of faults, types of messages, replicas."""
        self._try_script(messages={})
        self._later_begin()
        self._less_quiet()
        self._smaller_sizes()
        by_groups(self._script.operations, lambda one: one.key, lambda part: self._try_script(operations=part))
        self._less_time()
        by_groups(self._script.faults, lambda one: one.fault, lambda part: self._try_script(faults=part))
        messages = list(self._script.messages.items())
        by_groups(messages, lambda one: type_of(one[0]), lambda part: self._try_script(messages=dict(part)))
        self._cuts_for_messages()
        self._fewer_replicas()
        by_groups(self._script.operations, lambda one: one.process, lambda part: self._try_script(operations=part))

    def _later_begin(self) -> None:
        """Begin so late that only the last part of what happens is left."""
        if self.kind.checker == "liveness":
            return
        for part in _LATER:
            begin = round(self.best.duration_seconds * part, 3)
            duration = round(self.best.duration_seconds - begin, 3)
            if duration > 0 and self._try(script=since(self._script, begin), duration_seconds=duration):
                return

    def _begin_at_an_event(self) -> None:
        """Begin shortly before something that happens. If much is left, also with two replicas in each other's place: all
        that came before may only have served to put one of them in charge."""
        script = self._script
        moments = sorted({one.at_seconds for one in script.operations} | {one.at_seconds for one in script.faults})
        if self.kind.checker == "liveness" or len(moments) > _MOST_BEGINNINGS:
            return
        swaps = [] if Size.of(self.best).is_small else list(combinations(self.best.replica_names, 2))
        for moment in reversed(moments):
            begin = round(moment - _BEFORE_SECONDS, 3)
            if begin <= 0:
                return
            late, duration = since(script, begin), round(self.best.duration_seconds - begin, 3)
            scripts = (late, *(swapped(late, *swap) for swap in swaps))
            if any(self._try(script=script, duration_seconds=duration) for script in scripts):
                return

    def _smaller_sizes(self) -> None:
        """Have the protocol make snapshots so often that a few operations are enough for one."""
        for name in sizes_of(self.best):
            for value in FEWER:
                if self._try(protocol=with_size(self.best, name, value).protocol):
                    break

    def _fewer_operations(self) -> None:
        minimize(self._script.operations, lambda part: self._try_script(operations=part))

    def _fewer_faults(self) -> None:
        minimize(self._script.faults, lambda part: self._try_script(faults=part))

    def _fewer_messages(self) -> None:
        minimize(list(self._script.messages.items()), lambda part: self._try_script(messages=dict(part)))

    def _longer_faults(self) -> None:
        """One long fault instead of several short ones of the same kind."""
        place = 0
        while place < len(self._script.faults):
            one = self._script.faults[place]
            for other in self._script.faults[place + 1 :]:
                if (other.fault, other.options) == (one.fault, one.options) and self._try_script(
                    faults=joined(self._script.faults, one, other)
                ):
                    break
            else:
                place += 1

    def _cuts_for_messages(self) -> None:
        """Cut one replica off, in one direction or both, instead of losing message after message: it is told in a
        sentence, and can be done to real replicas."""
        moments = [moment for name in self._script.messages if (moment := moment_of(name)) is not None]
        if not moments:
            return
        faults, begin = self._script.faults, max(0.0, round(min(moments) - _CUT_SECONDS, 3))
        for end in (round(max(moments) + _CUT_SECONDS, 3), self.best.duration_seconds):
            for options in cuts(self.best.replica_names):
                cut = ScriptedFault(fault="partition", options=options, at_seconds=begin, until_seconds=max(begin, end))
                if self._try_script(messages={}, faults=[*faults, cut]):
                    return

    def _less_time(self) -> None:
        """End soon after the last operation; what comes later is left out with it."""
        if self.kind.checker == "liveness":
            return
        operations = self._script.operations
        last = max((one.at_seconds for one in operations), default=0.0)
        for seconds in _AFTER_SECONDS:
            if last + seconds < self.best.duration_seconds and self._try(duration_seconds=round(last + seconds, 3)):
                return

    def _fewer_replicas(self) -> None:
        """Without the last ones; or without another one, when it has changed its name with the last."""
        most, least = self.best.replicas, max(1, self._least_replicas)
        for replicas in range(least, most):
            if self._try(replicas=replicas, script=among(self._script, replicas)):
                return
        for name in self.best.replica_names[: -1 if most > least else 0]:
            script = among(swapped(self._script, name, self.best.replica_names[-1]), most - 1)
            if self._try(replicas=most - 1, script=script):
                return

    def _fewer_targets(self) -> None:
        """A replica by its name, instead of several or of whoever was drawn."""
        for place, fault in enumerate(self._script.faults):
            if fault.options.get("target", "n1") in self.best.replica_names:
                continue
            for replica in self.best.replica_names:
                faults = list(self._script.faults)
                faults[place] = fault.model_copy(update={"options": {**fault.options, "target": replica}})
                if self._try_script(faults=faults):
                    break

    def _shorter_faults(self) -> None:
        for place, fault in enumerate(self._script.faults):
            length = fault.until_seconds - fault.at_seconds
            for part in _SHORTER:
                shorter = length * part
                if fault.fault not in _INSTANT:
                    shorter = max(shorter, _LEAST_SECONDS)
                if shorter >= length:
                    continue
                until = max(fault.at_seconds, round(fault.at_seconds + shorter, 3))
                faults = list(self._script.faults)
                faults[place] = fault.model_copy(update={"until_seconds": until})
                if self._try_script(faults=faults):
                    break

    def _plainer_faults(self) -> None:
        """A kill, or else a pause or a cut, instead of whatever else can befall a replica: these are better known, and
        every cluster can do them."""
        for place, fault in enumerate(self._script.faults):
            target = fault.options.get("target")
            targets = (target,) if target in self.best.replica_names else self.best.replica_names
            for changes in plainer(fault, targets):
                faults = list(self._script.faults)
                faults[place] = fault.model_copy(update=changes)
                if self._try_script(faults=faults):
                    break

    def _calmer(self) -> None:
        """Take noise out of the world, one kind after the other."""
        calm = SimulationSpec()
        kept = ("late_ms", "liveness_seconds", *(("jitter_ms",) if self.best.simulation.jitter_ms == 0 else ()))
        for name in SimulationSpec.model_fields:
            default = getattr(calm, name)
            if name not in kept and getattr(self.best.simulation, name) != default:
                self._try(simulation=self.best.simulation.model_copy(update={name: default}))
        if self.best.simulation.jitter_ms:
            self._try(simulation=self.best.simulation.model_copy(update={"jitter_ms": 0.0}))

    def _delays_written_down(self) -> None:
        """Say of single messages how late they are, where leaving something out would change it for all that come later."""
        if self.best.simulation.jitter_ms and not Size.of(self.best).is_small and not self._over():
            written = delays_written_down(self.best, simulate(self.best, trace=True))
            if self._try(simulation=written.simulation, script=written.script):
                messages = list(self._script.messages.items())
                by_groups(messages, lambda one: type_of(one[0]), lambda part: self._try_script(messages=dict(part)))

    def _usual_tempo(self) -> None:
        """The protocol's own times, with everything else that much sooner or later."""
        drawn = self.best.protocol.options
        defaults = PROTOCOLS[self.best.protocol.name].Options().model_dump(mode="json")
        times = {name: defaults[name] for name in drawn if name.endswith("_seconds") and name in defaults}
        factors = {default / drawn[name] for name, default in times.items() if drawn[name] != default and drawn[name]}
        if not factors:
            return
        protocol = self.best.protocol.model_copy(update={"options": {**drawn, **times}})
        for factor in (1.0, max(factors)):
            script = shifted(self._script, lambda moment, factor=factor: moment * factor)  # type: ignore[misc]
            duration = round(self.best.duration_seconds * factor, 3)
            if self._try(protocol=protocol, script=script, duration_seconds=duration):
                return

    def _usual_sizes(self) -> None:
        """How often the protocol makes a snapshot, and the like, as it is unless somebody says otherwise."""
        defaults = PROTOCOLS[self.best.protocol.name].Options().model_dump(mode="json")
        for name, value in self.best.protocol.options.items():
            if name in (*PROTOCOL_SIZES, *SIZES) and value != defaults.get(name, value):
                options = {**self.best.protocol.options, name: defaults[name]}
                self._try(protocol=self.best.protocol.model_copy(update={"options": options}))

    def _plainer_clients(self) -> None:
        """Clients that ask once, and are patient."""
        usual = ClientsSpec()
        for changes in ({"attempts": 1}, {"timeout_seconds": usual.timeout_seconds}):
            self._try(clients=self.best.clients.model_copy(update=changes))

    def _less_quiet(self) -> None:
        """Move things together where nothing happens in between."""
        for seconds in _QUIET_SECONDS:
            shift = without_quiet(self._script, seconds)
            script = shifted(self._script, shift)
            duration = max(0.1, round(shift(self.best.duration_seconds), 3))
            if self._try(script=script, duration_seconds=duration):
                return

    def _fewer_processes(self) -> None:
        """Number the processes from 0 on."""
        numbers = {number: place for place, number in enumerate(processes(self._script))}
        operations = [one.model_copy(update={"process": numbers[one.process]}) for one in self._script.operations]
        clients = self.best.clients.model_copy(update={"processes": max(1, len(numbers))})
        self._try(clients=clients, script=self._script.model_copy(update={"operations": operations}))
