"""What the Perfetto UI is told to do with a trace once it is open, in its own commands."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final, TypeAlias
from urllib.parse import quote

Command: TypeAlias = dict[str, str | list[str]]

# Groups open collapsed. Command ids are kept by Perfetto for months after it announces a change.
_QUERY: Final = """\
select thread.name as thread, slice.name as state, count(*) as times,
  sum(slice.dur) / 1e6 as ms, max(slice.dur) / 1e6 as longest_ms
from slice
join thread_track on slice.track_id = thread_track.id
join thread using (utid)
where slice.depth = 0 and slice.name in ('holds GIL', 'waiting for GIL', 'off GIL', 'switching')
group by thread.utid, state order by thread.utid, ms desc"""


# What the kernel did, CPU by CPU: above all else, and mostly not what one looks for.
_CLOSED: Final = "System|CPU Scheduling|Scheduler"


def startup_commands() -> list[Command]:
    """Show all rows, keep the holder and the findings in sight, and tell each thread's times."""
    return [
        {"id": "dev.perfetto.ExpandTracksByRegex", "args": [f"^(?!({_CLOSED})$).*"]},
        {"id": "dev.perfetto.PinTracksByRegex", "args": ["^findings$"]},
        {"id": "dev.perfetto.PinTracksByRegex", "args": ["^GIL holder$"]},
        {"id": "dev.perfetto.RunQueryAndShowTab", "args": [_QUERY, "Time by thread"]},
    ]


def fragment(commands: Sequence[Command], trace_url: str = "") -> str:
    """The part of the UI's address behind ``#``.

    Args:
        commands: see `startup_commands`.
        trace_url: where the UI gets the trace; ``""`` if it is handed over.
    """
    given = quote(json.dumps(commands, separators=(",", ":")))
    url = f"url={quote(trace_url, safe='')}&" if trace_url else ""
    return f"!/?{url}hideSidebar=true&startupCommands={given}"
