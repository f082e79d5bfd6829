"""The tasks of the three measures."""

from __future__ import annotations

import sys

import pytest

from giltrace.scenarios import ScenarioError, tasks


def test_pidigits() -> None:
    """The digits are those of pi, not merely work."""
    assert "31415926535897932384626433832795028841" == tasks.pidigits(38)
    assert "" == tasks.pidigits(0)


def test_text() -> None:
    """Work on words must be the same work each time."""
    assert tasks.text(50) == tasks.text(50)
    assert 50 == len(tasks.text(50).split())
    assert tasks.text(100).startswith(tasks.text(50))


@pytest.mark.parametrize("task", tasks.TASKS)
def test_every_task_has_a_step(task: str) -> None:
    """A step does the same each time, and something."""
    step = tasks.step(task)
    assert step() == step()


def test_no_such_task() -> None:
    """A task that does not exist is refused with the list of those that do."""
    with pytest.raises(ScenarioError) as caught:
        tasks.step("sort")
    assert "there is no task named 'sort'" == caught.value.message
    assert "Choose one of: pidigits, regex, bz2." == caught.value.hint


def test_without_bz2(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interpreter that was built without bz2 says so."""
    monkeypatch.setitem(sys.modules, "bz2", None)
    with pytest.raises(ScenarioError, match="needs the bz2 module"):
        tasks.step("bz2")
