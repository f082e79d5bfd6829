"""Names that a program under test might choose, for everything that shows names."""

from __future__ import annotations

from typing import Final

NAMES: Final = (
    "plain",
    'quote " comma , semicolon ; tab \t end',
    "line\nbreak\r\n",
    "\x1b[31mred\x1b[0m",
    "nul \0 byte",
    "not \udc80\udcff utf-8",
    "half \ud800 surrogate",
    "<script>alert(1)</script>",
    "[red]markup[/red]",
    "=1+1",
    " spaces around ",
    "\u202eright to left",
    "日本 \N{PILE OF POO}",
    "'; drop table slice; --",
    '}],"traceEvents":[{',
    "%s %d {} \\ \\n",
    "x" * 10_000,
    "",
)
