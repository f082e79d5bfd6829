"""The recorder process behind `Recorder`: ``python -m giltrace.record.collect SESSION OUTPUT``.

Says ``ready`` on standard output, records until standard input ends, and ends with status 0 if
the capture is whole.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from pathlib import Path

from giltrace.capture import CaptureWriter
from giltrace.errors import GiltraceError
from giltrace.record.collector import Collector
from giltrace.record.output import CaptureFile
from giltrace.record.run import session_info
from giltrace.record.session import Session
from giltrace.record.settings import Settings


def main(session_path: str, output: str) -> int:
    """Record the session at ``session_path`` into ``output``."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with CaptureFile(Path(output)) as file:
            session = Path(session_path)
            about = session_info(list(sys.orig_argv), Settings.read(session))
            writer = CaptureWriter(file.stream, about)
            collector = Collector(Session.at(session), writer)
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            pause = 0.0
            while not select.select([sys.stdin], [], [], pause)[0]:
                pause = collector.poll()
            collector.finish(None, None, "the recorder was stopped")
        return 0
    except (OSError, GiltraceError) as error:
        sys.stderr.write(f"cannot write {output}: {error}\n")
        return 1


if __name__ == "__main__":
    # Not through the interpreter's own exit: nothing of ours is left to tidy up.
    code = main(*sys.argv[1:3])
    sys.stderr.flush()
    os._exit(code)
