"""What a user does to a running command: Ctrl-C, SIGTERM, the end of the terminal."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """Let SIGTERM, and the end of the terminal, do what Ctrl-C does: so that what was started is stopped."""

    def on_signal(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with _handling((signal.SIGTERM, signal.SIGHUP), on_signal):
        yield


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C, SIGTERM or end of the terminal sets; the second one raises KeyboardInterrupt."""
    interrupt = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if interrupt.is_set():
            raise KeyboardInterrupt
        interrupt.set()

    with _handling((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), on_signal):
        yield interrupt


@contextmanager
def _handling(numbers: Iterable[signal.Signals], handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle these signals so within the block."""
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        if before.get(signal.SIGHUP) is signal.SIG_IGN:  # as `nohup` wants it
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
