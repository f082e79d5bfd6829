"""Questions worth asking of a trace: plain SQL files in ``giltrace/viewer/sql``.

The first line of each is a comment that says what it answers. ``views.sql`` is none of them: it
makes the tables that they use.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from giltrace.errors import GiltraceError

# In the order in which one would ask.
NAMES: Final = (
    *("findings", "holders", "waiters", "blame", "stalls", "calls", "handoffs", "worst", "idle"),
    "sched",
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """One question.

    Attributes:
        name: what it is called.
        help: what it answers, a sentence.
        sql: the query.
    """

    name: str
    help: str
    sql: str


def get(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        GiltraceError: there is none.
    """
    if name not in NAMES:
        raise GiltraceError(f"there is no recipe {name!r}", f"Choose one of: {', '.join(NAMES)}.")
    sql = files("giltrace.viewer").joinpath(f"sql/{name}.sql").read_text("utf-8")
    head, _, _ = sql.partition("\n")
    return Recipe(name, head.removeprefix("--").strip(), sql)


def all_recipes() -> list[Recipe]:
    """All of them."""
    return [get(name) for name in NAMES]


def tables() -> list[tuple[str, str]]:
    """The tables that ``views.sql`` makes, each with what it holds."""
    found = []
    about = ""
    for line in files("giltrace.viewer").joinpath("sql/views.sql").read_text("utf-8").splitlines():
        if line.startswith("--"):
            about = line.removeprefix("--").strip()
        elif line.startswith("create perfetto view gil_"):
            found.append((line.split()[3], about))
    return found
