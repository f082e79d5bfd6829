"""The threads in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, NamedTuple

from rich.text import Text
from textual.binding import BindingType
from textual.coordinate import Coordinate
from textual.message import Message
from textual.widgets import DataTable

from giltrace.tui.bindings import THREADS, bindings
from giltrace.wording.human import duration, share


class Row(NamedTuple):
    """One thread.

    Attributes:
        lane: where it is in the timeline; -1 if it has no lane.
        name: its label.
        held_ns: how long it held the GIL.
        waited_ns: how long it waited for it.
        waits: how often.
        longest_ns: its longest wait.
        off_ns: how long it was off the GIL.
        forced: how often it was forced to let go.
    """

    lane: int
    name: str
    held_ns: int
    waited_ns: int
    waits: int
    longest_ns: int
    off_ns: int
    forced: int


_COLUMNS: Final = (
    ("thread", "name"),
    ("held", "held_ns"),
    ("waited", "waited_ns"),
    ("waits", "waits"),
    ("longest", "longest_ns"),
    ("off GIL", "off_ns"),
    ("forced out", "forced"),
)
_FIRST: Final = 2


class Threads(DataTable[Text]):
    """A row for each thread, sorted by any column."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(THREADS)]

    @dataclass
    class Chosen(Message):
        """A thread was chosen."""

        lane: int

    def __init__(self) -> None:
        super().__init__(cursor_type="row", zebra_stripes=True)
        self._rows: list[Row] = []
        self._wall_ns = 0
        self._column = _FIRST
        self._reverse = True

    def tell(self, rows: Sequence[Row], wall_ns: int) -> None:
        """Show these threads of a recording of a length."""
        self._rows, self._wall_ns = list(rows), wall_ns
        self._fill()

    def action_sort(self, step: int) -> None:
        """By the next column, or the one before."""
        self._column = (self._column + step) % len(_COLUMNS)
        self._reverse = self._column > 0
        self._fill()

    def action_reverse(self) -> None:
        """The other way round."""
        self._reverse = not self._reverse
        self._fill()

    def on_data_table_header_selected(self, event: DataTable.HeaderSelected) -> None:
        """A click on a heading sorts by it; another one turns the order round."""
        event.stop()
        if event.column_index == self._column:
            self._reverse = not self._reverse
        else:
            self._column, self._reverse = event.column_index, event.column_index > 0
        self._fill()

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Go to its lane."""
        event.stop()
        if event.row_key.value is not None and int(event.row_key.value) >= 0:
            self.post_message(self.Chosen(int(event.row_key.value)))

    def _fill(self) -> None:
        chosen = self._chosen()
        self.clear(columns=True)
        for number, (head, _) in enumerate(_COLUMNS):
            arrow = ("▼" if self._reverse else "▲") if number == self._column else ""
            self.add_column(Text(head + arrow, justify="right" if number else "left"))
        key = _COLUMNS[self._column][1]
        self._rows.sort(key=lambda row: row.name)
        self._rows.sort(key=lambda row: _order(getattr(row, key)), reverse=self._reverse)
        for number, row in enumerate(self._rows):
            # Threads without a lane have keys of their own, too.
            self.add_row(*self._cells(row), key=str(row.lane if row.lane >= 0 else -1 - number))
        if chosen is not None:
            at = next((i for i, row in enumerate(self._rows) if row.name == chosen), 0)
            self.cursor_coordinate = Coordinate(at, 0)

    def _chosen(self) -> str | None:
        at = self.cursor_coordinate.row
        return self._rows[at].name if self.row_count and at < len(self._rows) else None

    def _cells(self, row: Row) -> list[Text]:
        numbers = (
            f"{duration(row.held_ns)} {share(row.held_ns, self._wall_ns):>5}",
            f"{duration(row.waited_ns)} {share(row.waited_ns, self._wall_ns):>5}",
            f"{row.waits:,}",
            duration(row.longest_ns),
            duration(row.off_ns),
            f"{row.forced:,}",
        )
        return [Text(row.name), *(Text(number, justify="right") for number in numbers)]


def _order(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else value
