"""``python -m tests.bench [NAME]...``: print what giltrace costs, each figure beside its aim."""

from __future__ import annotations

import platform
import sys

from tests.bench import (
    calls,
    cycle,
    export,
    flight,
    keystroke,
    live,
    portable,
    program,
    reading,
    report,
    sched,
    server,
    tui,
    whatif,
)

BENCHES = {
    "cycle": cycle.run,
    "program": program.run,
    "calls": calls.run,
    "server": server.run,
    "keystroke": keystroke.run,
    "flight": flight.run,
    "portable": portable.run,
    "sched": sched.run,
    "reading": reading.run,
    "export": export.run,
    "report": report.run,
    "tui": tui.run,
    "live": live.run,
    "whatif": whatif.run,
}


def main() -> int:
    """Run the named benchmarks, or all."""
    wanted = sys.argv[1:] or list(BENCHES)
    if unknown := [name for name in wanted if name not in BENCHES]:
        print(f"no such benchmark: {', '.join(unknown)}; there are: {', '.join(BENCHES)}")
        return 2
    print(f"{platform.python_implementation()} {platform.python_version()}, {platform.platform()}")
    print(f"{'figure':58} {'measured':>16}   aim")
    for name in wanted:
        for figure, measured, aim in BENCHES[name]():
            print(f"{figure:58} {measured:>16}   {aim}", flush=True)
    return 0


sys.exit(main())
