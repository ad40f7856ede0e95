"""How the server says no."""

from __future__ import annotations


class Refusal(Exception):
    """A request that can't be carried out; nothing was changed. `status` is the HTTP status it is answered with."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
