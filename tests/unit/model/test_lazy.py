"""What an import costs: nothing that is not used."""

from __future__ import annotations

import pytest

import giltrace
from giltrace import model
from tests.support.python import run_python


def test_importing_giltrace_imports_nothing_else() -> None:
    """The package is imported inside targets: it brings nothing but its version."""
    run_python(
        """
        import sys
        before = set(sys.modules)
        import giltrace
        new = {name for name in set(sys.modules) - before if name != "__future__"}
        assert new <= {"giltrace", "giltrace._version"}, new
        assert giltrace.__version__
        assert "load" in dir(giltrace)
        """
    )


def test_the_models_text_needs_no_numpy() -> None:
    """Making text printable does not cost an import of numpy."""
    run_python("import sys, giltrace.model.text; assert 'numpy' not in sys.modules")


def test_public_names() -> None:
    """Everything in ``__all__`` is there, and nothing else is made up."""
    for module in (giltrace, model):
        for name in module.__all__:
            assert getattr(module, name)
        with pytest.raises(AttributeError, match="frobnicate"):
            _ = module.frobnicate
