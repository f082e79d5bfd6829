"""Sphinx configuration; every warning is an error (``make docs``)."""

from __future__ import annotations

from giltrace import __version__

project = "giltrace"
author = "The giltrace authors"
project_copyright = author
release = __version__

extensions = ["myst_parser", "sphinx_click"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"giltrace {release}"

nitpicky = True
smartquotes = False  # they would turn --options into dashes
myst_heading_anchors = 3
