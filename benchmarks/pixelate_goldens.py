"""Write tests/pixel/goldens/dithers.npz: upstream Pyxelate's results for the tests' synthetic portrait.

    python benchmarks/pixelate_goldens.py --upstream DIR

DIR is a checkout of github.com/sedthh/pyxelate.
"""

import argparse
import importlib.util
import sys
import warnings
from pathlib import Path

import numpy as np

GOLDENS = Path(__file__).parents[1] / "tests" / "pixel" / "goldens"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upstream", type=Path, required=True)
    sys.path.insert(0, str(parser.parse_args().upstream))
    from pyxelate import Pyx  # from the checkout added to sys.path above

    spec = importlib.util.spec_from_file_location("tests_pyxelate", GOLDENS.parent / "test_pyxelate.py")
    tests = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tests)
    warnings.simplefilter("ignore")
    image = tests.drawn_portrait()
    goldens = {}
    model = Pyx(factor=4, palette=8).fit(image)
    goldens["means"] = model.model.means_
    for dither in ("none", "naive", "bayer", "floyd", "atkinson"):
        model.dither = dither
        goldens[dither] = model.transform(image)
    given = Pyx(width=30, palette=tests.GIVEN[:, None] / 255.0).fit(image)
    goldens["given_means"], goldens["given"] = given.model.means_, given.transform(image)
    two = Pyx(height=24, palette=2, dither="bayer", upscale=(2, 1)).fit(image)
    goldens["two_means"], goldens["two"] = two.model.means_, two.transform(image)
    np.savez_compressed(GOLDENS / "dithers.npz", **goldens)


if __name__ == "__main__":
    main()
