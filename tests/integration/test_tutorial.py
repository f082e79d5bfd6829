"""The tutorial's program shows what the tutorial says that it does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from giltrace.analysis.compare import Status, compare
from giltrace.analysis.findings.finding import Kind
from giltrace.analysis.findings.registry import find_all
from giltrace.model import load
from tests.support.recorder import record

PAGE = Path(__file__).parents[2] / "docs/tutorials/first-recording.md"


@pytest.mark.repo
def test_a_first_recording(tmp_path: Path) -> None:
    """A convoy behind the loop, which a policy ends; both recordings have the same iterations."""
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "convoy.py").write_text(program)
    before, after = tmp_path / "convoy.giltrace", tmp_path / "auto.giltrace"
    for output, options in ((before, ()), (after, ("--policy", "auto"))):
        done = record(output, "convoy.py", options=("-q", *options))
        assert done.returncode == 0, done.stderr
    trace = load(before)
    (convoy,) = (finding for finding in find_all(trace) if finding.kind is Kind.CONVOY)
    victim, hog = convoy.victims[0], convoy.hogs[0]
    assert trace.threads[victim.thread].name == "MainThread"
    assert trace.threads[hog.thread].name == "compute"
    loop = 1 + program.splitlines().index("    while not done:")
    place = trace.places[hog.places[0].place]
    assert place.qualname == "compute" and place.line in {loop, loop + 1}
    comparison = compare(trace, load(after))
    (change,) = comparison.rounds
    assert (change.call, change.where) == ("time.sleep", ("convoy.py", "serve"))
    assert change.before is not None and change.after is not None
    assert change.before.iterations == change.after.iterations == 399
    became = {change.before.kind: change.status for change in comparison.findings if change.before}
    assert became[Kind.CONVOY] in {Status.GONE, Status.LESS}
