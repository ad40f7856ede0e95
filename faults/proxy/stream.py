"""One direction of one connection: data come from a source, pass the toxics, and leave for a sink.

Without toxics, data are written to the sink as they arrive. With toxics they wait in a queue; the stream asks the
effects when the data at its head are due, and sets ONE timer. Whatever changes (toxics, the sink's readiness, new
data), the answer is the same: `pump`, which works out anew what may go now.

The queue is bounded: a source whose data can't leave is not read from, so the peer feels the back-pressure. There may
be several reasons not to read at the same time, so they are kept as a set.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from faults.proxy.effects import NEVER, Chunk, Effect

if TYPE_CHECKING:
    from faults.proxy.toxics import StreamName, Toxic

BUFFER_BYTES = 256 * 1024
"""Above this a source is not read from until the queue is half empty. What was read in one go may exceed it."""

_STEPS_PER_TURN = 64
"""Pieces that one stream may pass before all others get their turn."""

_Reason = Literal["queue", "sink"]


@dataclass
class Counters:
    """What went through one stream of one proxy since it was created."""

    passed_bytes: int = 0
    """Written to the sink."""
    dropped_bytes: int = 0
    """Read from the source and thrown away: by a toxic, or because the sink was gone."""


class Stream:
    """See the module. `on_end` tears down the sink's other half, `on_reset` tears the whole connection."""

    def __init__(
        self,
        name: StreamName,
        counters: Counters,
        make_effect: Callable[[Toxic, float], Effect],
        on_end: Callable[[], None],
        on_reset: Callable[[], None],
    ) -> None:
        self.name = name
        self.queued_bytes = 0
        self.ended = False
        """Nothing passes any more: the end went through, or the sink is gone."""
        self._loop = asyncio.get_running_loop()
        self._counters = counters
        self._make_effect = make_effect
        self._on_end = on_end
        self._on_reset = on_reset
        self._source: asyncio.Transport | None = None
        self._sink: asyncio.Transport | None = None
        self._sink_full = False
        self._queue: deque[Chunk] = deque()
        self._source_ended_at: float | None = None
        self._effects: list[Effect] = []
        self._active: list[Effect] = []
        self._timer: asyncio.TimerHandle | None = None
        self._holds: set[_Reason] = set()

    # --- the two ends -------------------------------------------------------------------------------------------------

    def attach_source(self, transport: asyncio.Transport) -> None:
        self._source = transport
        if self._holds:
            transport.pause_reading()

    def attach_sink(self, transport: asyncio.Transport) -> None:
        """From now on data may leave; what came before has waited."""
        self._sink = transport
        self.pump()

    def feed(self, data: bytes) -> None:
        """The source said something."""
        if self.ended:
            self._counters.dropped_bytes += len(data)
            return
        if not self._active and not self._queue and self._sink is not None and not self._sink_full:
            self._write(data)
            return
        self._queue.append(Chunk(data, self._loop.time()))
        self.queued_bytes += len(data)
        if self.queued_bytes > BUFFER_BYTES:
            self._hold("queue")
        if len(self._queue) == 1 or self._swallowing:
            self.pump()  # otherwise the head's timer is set already

    def feed_end(self) -> None:
        """The source will say nothing more; said twice, it counts once."""
        if self._source_ended_at is None and not self.ended:
            self._source_ended_at = self._loop.time()
            self.pump()

    def sink_full(self) -> None:
        self._sink_full = True
        if not self.ended:
            self._hold("sink")

    def sink_ready(self) -> None:
        self._sink_full = False
        self._release("sink")
        self.pump()

    # --- toxics -------------------------------------------------------------------------------------------------------

    def load(self, toxics: Iterable[Toxic], updated: Toxic | None = None) -> None:
        """Take on the proxy's toxics. Effects of toxics that stay are kept; the one `updated` begins afresh."""
        if self.ended:
            return
        now = self._loop.time()
        known = {effect.toxic: effect for effect in self._effects}
        mine = [toxic for toxic in toxics if toxic.stream == self.name]
        self._effects = [known.pop(toxic) if toxic in known else self._make_effect(toxic, now) for toxic in mine]
        for effect in self._effects:
            if effect.toxic is updated:
                effect.begin(now)
        self._active = [effect for effect in self._effects if effect.active]
        if any(effect.active and effect.ends_when_removed for effect in known.values()):
            self.end()
        else:
            self.pump()

    @property
    def hides_end(self) -> bool:
        return any(effect.hides_end for effect in self._active)

    @property
    def _swallowing(self) -> bool:
        return any(effect.swallows for effect in self._active)

    # --- the pump -----------------------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Pass on everything that may go now, and come back when the next piece is due."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._sink is None:
            return
        now = self._loop.time()
        again = now
        for _ in range(_STEPS_PER_TURN):
            if self.ended or self._sink_full:
                return
            again = self._step(now)
            if again > now:
                break
        if again != NEVER:
            self._timer = self._loop.call_at(again, self.pump)

    def _step(self, now: float) -> float:
        """Do one thing. Returns when to go on: `now` for at once, `NEVER` for when something changes."""
        if self._swallowing:
            return self._swallow(now)
        if self._queue:
            return self._step_data(now, self._queue[0])
        if self._source_ended_at is not None:
            return self._step_end(now, self._source_ended_at)
        return NEVER

    def _swallow(self, now: float) -> float:
        if self._queue:
            self._discard_queue()
            for effect in self._active:
                effect.swallowed(now)
        over = self._source_ended_at is not None and not self.hides_end
        deadline = min(effect.deadline for effect in self._active)
        if over or deadline <= now:
            self.end()
        return deadline

    def _step_data(self, now: float, chunk: Chunk) -> float:
        if any(effect.exhausted for effect in self._active):
            self.end()
            return NEVER
        size = len(chunk.data)
        for effect in self._active:
            size = effect.portion(size)
        due = chunk.arrived
        resets = False
        for effect in self._active:
            due = effect.due(chunk, size, due)
            resets = resets or effect.resets
        if due > now:
            return due
        if resets:
            self._on_reset()
            return NEVER
        self._pass(chunk, size, due, now)
        if any(effect.exhausted for effect in self._active):
            self.end()
        return now

    def _step_end(self, now: float, ready: float) -> float:
        due = ready
        for effect in self._active:
            due = effect.due_end(due)
        if due > now:
            return due
        if any(effect.resets for effect in self._active):
            self._on_reset()
        else:
            self.end()
        return NEVER

    def _pass(self, chunk: Chunk, size: int, due: float, now: float) -> None:
        piece = chunk.data[:size]
        if size == len(chunk.data):
            self._queue.popleft()
        else:
            chunk.data = chunk.data[size:]
        self.queued_bytes -= size
        if self.queued_bytes < BUFFER_BYTES // 2:
            self._release("queue")
        for effect in self._active:
            effect.passed(size, due, now)
        self._write(piece)

    def _write(self, data: bytes | memoryview) -> None:
        assert self._sink is not None
        if self._sink.is_closing():
            self._counters.dropped_bytes += len(data)
            return
        self._counters.passed_bytes += len(data)
        self._sink.write(data)

    # --- the end ------------------------------------------------------------------------------------------------------

    def end(self) -> None:
        """Let the sink know, after what was written to it, that nothing more will come."""
        if self.ended:
            return
        self.stop()
        if self._sink is not None:
            self._sink.close()
        self._on_end()

    def stop(self) -> None:
        """Pass nothing more and tell nobody; what still comes is thrown away."""
        self.ended = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._discard_queue()
        self._effects = []
        self._active = []
        for reason in tuple(self._holds):
            self._release(reason)

    def _discard_queue(self) -> None:
        self._counters.dropped_bytes += self.queued_bytes
        self._queue.clear()
        self.queued_bytes = 0
        self._release("queue")

    # --- back-pressure ------------------------------------------------------------------------------------------------

    def _hold(self, reason: _Reason) -> None:
        self._holds.add(reason)
        if self._source is not None:
            self._source.pause_reading()

    def _release(self, reason: _Reason) -> None:
        if reason not in self._holds:
            return
        self._holds.discard(reason)
        if not self._holds and self._source is not None and not self._source.is_closing():
            self._source.resume_reading()
