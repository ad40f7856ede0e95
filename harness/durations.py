"""How long something may take, as an option of a command."""

from __future__ import annotations

import math
from typing import Any

import click


class Duration(click.FloatRange):
    """A number of these units above 0; to click's own range `nan` is one too."""

    def __init__(self, unit: str, most: float | None = None) -> None:
        super().__init__(min=0, min_open=True, max=most)
        self.unit = unit

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"nan is not a number of {self.unit}.", param, ctx)
        return number


SECONDS = Duration("seconds")
A_DAY_IN_SECONDS = Duration("seconds", most=86_400)
A_WEEK_IN_MINUTES = Duration("minutes", most=60 * 24 * 7)
