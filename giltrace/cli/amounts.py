"""A number on the command line that may have a fraction."""

from __future__ import annotations

import math
from typing import Any, Final

import click

_MOST: Final = 1e9


class Amount(click.FloatRange):
    """`click.FloatRange` without ``nan``, ``inf`` and what no clock can count."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number, or a usage error."""
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is no number.", param, ctx)
        if number > _MOST:
            self.fail(f"{value} is too large.", param, ctx)
        return number
