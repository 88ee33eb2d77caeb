"""Ahead-of-time compilation covers all kernels that the presets need."""

import subprocess
import sys

# In a process of its own, because other tests have already compiled kernels in this one.
PROGRAM = """
import sys
from pathlib import Path
import numpy as np
import yaml
from numba.core.dispatcher import Dispatcher
from pixelpersona.pixel.compiled import compile_kernels
from pixelpersona.pixel.pixelation import Pixelation
from pixelpersona.pixel.pixelator import Pixelator

def compiled():
    modules = [module for name, module in sys.modules.items() if name.startswith("pixelpersona.pixel")]
    kernels = {id(k): k for m in modules for k in vars(m).values() if isinstance(k, Dispatcher)}
    return {f"{k.py_func.__module__}.{k.py_func.__name__}": len(k.signatures) for k in kernels.values()}

compile_kernels()
before = compiled()
assert sum(before.values()) > 10, before
picture = np.random.default_rng(1).integers(0, 256, (96, 128, 3), dtype=np.uint8)
for preset in ("drawn", "classic"):
    settings = yaml.safe_load(Path(f"conf/pixelate/{preset}.yaml").read_text())
    settings["factor"] = 8  # an interpolation in the file
    Pixelator(Pixelation(**settings)).fit_apply(picture)
assert compiled() == before, (before, compiled())
"""


def test_the_presets_compile_no_further_kernel() -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
