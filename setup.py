"""The one thing that pyproject.toml cannot say: how giltrace._core is compiled."""

from __future__ import annotations

import sys
from glob import glob

from setuptools import Extension, setup

CORE = Extension(
    "giltrace._core",
    sources=sorted(glob("giltrace/_core/*.c")),
    depends=sorted(glob("giltrace/_core/*.h")),
    # Every call bound when we are loaded: never for the first time inside the GIL's mutex.
    extra_link_args=["-Wl,-z,now"],
    extra_compile_args=["-std=c11", "-O2", "-fvisibility=hidden", "-Wall", "-Wextra"],
)

# Elsewhere there is no GIL to tap, but captures can still be read, explained and exported.
CAN_TAP = sys.platform == "linux" and sys.implementation.name == "cpython"

setup(ext_modules=[CORE] if CAN_TAP else [])
