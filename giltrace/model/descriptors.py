"""What file descriptors stood for."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping

from giltrace.capture.records import Descriptor


class Descriptors:
    """What is on record about file descriptors; ``len()`` says how many records there are."""

    def __init__(self, records: Iterable[Descriptor], index: Mapping[int, int]) -> None:
        """Take the records of a capture.

        Args:
            records: in any order.
            index: for each process number of the capture its index in the trace; records of other
                processes are left out.
        """
        self._known: defaultdict[tuple[int, int], list[tuple[int, str]]] = defaultdict(list)
        for record in records:
            if record.process in index:
                key = index[record.process], record.fd
                self._known[key].append((record.ts_ns, record.what))
        for known in self._known.values():
            known.sort(key=lambda since_and_what: since_and_what[0])

    def __len__(self) -> int:
        return sum(map(len, self._known.values()))

    def describe_fd(self, process: int, fd: int, ts_ns: int) -> str:
        """What a descriptor stood for at that time; ``""`` if that is not on record.

        A descriptor is looked at a moment after its first use, so what it turned out to be then is
        taken for what it was before. The text may come from the target: see `Thread.name`.

        Args:
            process: index into ``trace.processes``.
            fd: the descriptor.
            ts_ns: when.
        """
        known = self._known.get((process, fd))
        if not known:
            return ""
        at = bisect_right(known, ts_ns, key=lambda since_and_what: since_and_what[0])
        return known[max(0, at - 1)][1]
