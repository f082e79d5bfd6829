"""What an exporter is."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from giltrace.model import Trace


class Exporter(Protocol):
    """Writes a trace in one format. Its options are arguments of its own constructor.

    Attributes:
        name: what the user calls the format, as in ``giltrace export --format NAME``.
        suffix: what its files are called by default, with the dot.
    """

    @property
    def name(self) -> str:
        """See above."""

    @property
    def suffix(self) -> str:
        """See above."""

    def write(self, trace: Trace, out: BinaryIO) -> None:
        """Write all of ``trace`` to ``out``, in pieces: memory does not grow with the trace.

        Raises:
            OSError: ``out`` could not be written.
        """
