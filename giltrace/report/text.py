"""Text for documents that strict readers refuse if a single character of it is none."""

from __future__ import annotations

import re
from typing import Final

_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def unicode(raw: str) -> str:
    """``raw`` with what is no Unicode text replaced by U+FFFD.

    JSON can escape a lone surrogate, but strict readers then refuse the whole document; in UTF-8
    there is no way to write one.
    """
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", raw)
