"""Errors that a user sees as one sentence, without a traceback, and the exit code that goes with each."""

from __future__ import annotations

EXIT_AS_EXPECTED = 0
EXIT_VIOLATION = 1
EXIT_UNKNOWN = 2
EXIT_BAD_INPUT = 3
EXIT_RUN_FAILED = 4
EXIT_INTERRUPTED = 130


class RashomonError(Exception):
    """Base of the two below; the message is one sentence: what is wrong, where, what to do."""

    exit_code = EXIT_RUN_FAILED


class BadInput(RashomonError):
    """What the user gave can't be used: a malformed campaign, an unknown name, an impossible combination."""

    exit_code = EXIT_BAD_INPUT


class RunFailed(RashomonError):
    """The run itself failed: a port is taken, the engine isn't there, the disk is full."""

    exit_code = EXIT_RUN_FAILED
