"""The echo experiment: one client, the servers, with and without a CPU thread beside them.

Everything here runs inside the process that is measured, on any interpreter the user has. It
therefore needs only the standard library (pyzmq for the two 0MQ servers, imported when one of
them is used) and keeps to the syntax of Python 3.9, so that PyPy can run it too.

    from giltrace.scenarios import names, run

    for name in names():
        print(run(name, load=1, requests=300).to_dict())
"""

from __future__ import annotations

from giltrace.scenarios.errors import ScenarioError
from giltrace.scenarios.registry import names
from giltrace.scenarios.result import ScenarioResult

# Last, so that the function and not the submodule is what `giltrace.scenarios.run` names.
from giltrace.scenarios.run import run

__all__ = ["ScenarioError", "ScenarioResult", "names", "run"]
