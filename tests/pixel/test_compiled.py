"""Compilation of the kernels: ahead of time, and with the same results as from numba's cache."""

import importlib
import inspect
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest
from numba.core.dispatcher import Dispatcher

import pixelpersona.pixel

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


def _kernels() -> list[Dispatcher]:
    modules = pkgutil.iter_modules(pixelpersona.pixel.__path__, "pixelpersona.pixel.")
    objects = [value for module in modules for value in vars(importlib.import_module(module.name)).values()]
    return list({id(value): value for value in objects if isinstance(value, Dispatcher)}.values())


def test_no_kernel_calls_one_whose_sums_may_be_reordered() -> None:
    """numba would compile the called kernel twice, and which of the two runs depends on the cache."""
    kernels = _kernels()
    reordered = [k for k in kernels if k.targetoptions.get("fastmath")]
    called = [k for k in reordered if k.targetoptions.get("inline") != "always"]
    assert len(kernels) > 20
    assert called
    for kernel in kernels:
        callees = inspect.getclosurevars(kernel.py_func).globals.values()
        wrong = [k.py_func.__name__ for k in called if any(value is k for value in callees)]
        assert not wrong, f"{kernel.py_func.__name__} calls {wrong}: inline them, or call them from Python"


# Raw palettes of 14 pictures, with both fits and with a given palette.
FITTED = """
import hashlib
import sys
import numpy as np
sys.path.insert(0, "benchmarks")
from pictures import PICTURES
from pixelpersona.pixel.pyxelate_fit import find_palette, fit_pixels, transfer_palette
given = np.random.default_rng(3).integers(0, 256, (16, 3), dtype=np.uint8)
for name, make in PICTURES.items():
    for exact in (False, True):
        pixels = fit_pixels(make(), 0.6, exact)
        for fitted in (find_palette(pixels, 32, exact), transfer_palette(pixels, given, exact)):
            content = b"".join(part.tobytes() for part in (fitted.means, fitted.linear, fitted.offset))
            print(name, exact, hashlib.sha256(content).hexdigest())
"""


@pytest.mark.slow
def test_a_compiled_and_a_cached_kernel_give_the_same_bytes(tmp_path: Path) -> None:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", FITTED]
    compiled, cached = (
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True) for _ in range(2)
    )
    assert len(compiled.stdout.splitlines()) == 14 * 4
    assert cached.stdout == compiled.stdout
    assert list(tmp_path.rglob("*.nbc"))
