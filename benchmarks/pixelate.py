"""Compare our Pyxelate with upstream's on the same images, alternating in one process on one core.

    python benchmarks/pixelate.py --upstream DIR [--quick] [parity dithers speed folder memory]

DIR is a checkout of github.com/sedthh/pyxelate (MIT), which is not part of this project. Times are CPU times,
median and range of the repetitions; `folder` measures wall-clock time.
"""

import argparse
import os
import platform
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from pictures import PICTURES, Picture
from threadpoolctl import threadpool_limits

from pixelpersona.pixel.pyxelate import Pyx

SETTINGS = ((6, 32), (8, 16))
DITHERS = ("none", "naive", "bayer", "floyd", "atkinson")
PARTS = ("parity", "dithers", "speed", "folder", "memory")
QUICK = ("astronaut", "face", "tiles")
SPEED_PICTURES = ("astronaut", "tissue", "hubble")


def seconds(run: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    result = run()
    return time.process_time() - start, result


def quantisation_error(image: Picture, means: np.ndarray) -> float:
    """Root mean square distance of the pixels, after the fit's contrast increase, to the nearest mean."""
    pixels = (image.reshape(-1, 3)[::7] / 255.0 - 0.5) * 1.07 + 0.5
    return float(np.sqrt(((pixels[:, None] - means[None]) ** 2).sum(axis=2).min(axis=1).mean()))


def parity(upstream: Any, names: list[str], dithers: tuple[str, ...]) -> None:
    """Palette differences in 1/255, ratio of the quantisation errors, and share of identical cells."""
    print("| picture | factor, colours | fit | mean | max | error | " + " | ".join(dithers) + " |")
    print("|---" * (6 + len(dithers)) + "|")
    for name in names:
        image = PICTURES[name]()
        for factor, palette in SETTINGS:
            theirs = upstream(factor=factor, palette=palette).fit(image)
            means, cells = theirs.model.means_, {}
            for dither in dithers:
                theirs.dither = dither
                cells[dither] = theirs.transform(image)
            for fit in ("exact", "fast"):
                ours = Pyx(factor=factor, palette=palette, fit=fit).fit(image)
                apart = np.abs(ours.means - means) * 255
                error = quantisation_error(image, ours.means) / quantisation_error(image, means)
                row = [name, f"{factor}, {palette}", fit, f"{apart.mean():.3f}", f"{apart.max():.3f}"]
                row.append(f"{error:.4f}")
                for dither in dithers:
                    ours.dither = dither
                    same = (ours.transform(image) == cells[dither]).all(axis=2).mean()
                    row.append(f"{100 * same:.2f} %")
                print("| " + " | ".join(row) + " |", flush=True)


def compilation() -> None:
    """Time of the first call with an empty and with a filled numba cache."""
    code = "import numpy as np; from pixelpersona.pixel.pyxelate import Pyx; import time; t = time.time(); "
    code += (
        "Pyx(palette=4).fit_transform(np.random.RandomState(0).randint(0, 256, (90, 90, 3)).astype('u1')); "
    )
    code += "print(f'{time.time() - t:.1f}')"
    cache = Path(os.environ.get("TMPDIR", "/tmp")) / f"pixelate-numba-{os.getpid()}"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    for state in ("empty", "filled"):
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        print(f"first call, cache {state}: {done.stdout.strip()} s")


def speed(upstream: Any, names: list[str], repetitions: int) -> None:
    """CPU time of fit and transform at factor 6 and 32 colours, alternating, without compilation."""
    print("| picture | upstream s | exact ms | ratio | fast ms | ratio |\n|---|---|---|---|---|---|")
    for name in names:
        image = PICTURES[name]()
        times: dict[str, list[float]] = {"upstream": [], "exact": [], "fast": []}
        for fit in ("exact", "fast"):
            Pyx(palette=4, fit=fit).fit_transform(image)
        for _ in range(repetitions):
            theirs = upstream(factor=6, palette=32)
            times["upstream"].append(seconds(lambda p=theirs, i=image: p.fit(i).transform(i))[0])
            for fit in ("exact", "fast"):
                ours = Pyx(factor=6, palette=32, fit=fit)
                for _ in range(3):
                    times[fit].append(seconds(lambda p=ours, i=image: p.fit_transform(i))[0])
        row = [name, _spread(times["upstream"], 1.0, 1)]
        for fit in ("exact", "fast"):
            ratio = np.median(times["upstream"]) / np.median(times[fit])
            worst, best = min(times["upstream"]) / max(times[fit]), max(times["upstream"]) / min(times[fit])
            row += [_spread(times[fit], 1000.0, 0), f"{ratio:.0f} ({worst:.0f}-{best:.0f})"]
        print("| " + " | ".join(row) + " |", flush=True)


def _spread(values: list[float], scale: float, digits: int) -> str:
    median, low, high = (f"{scale * v:.{digits}f}" for v in (np.median(values), min(values), max(values)))
    return f"{median} ({low}-{high})"


def _cells(name: str) -> bytes:
    return Pyx(factor=6, palette=32).fit_transform(PICTURES[name]()).tobytes()


def folder(names: list[str], repetitions: int) -> None:
    """Wall-clock time of the same images in one process and in two, and whether the bytes are the same."""
    work = (names * 16)[:64]
    times: dict[int, list[float]] = {1: [], 2: []}
    results: dict[int, list[bytes]] = {}
    for _ in range(repetitions):
        for workers in (1, 2):
            with ProcessPoolExecutor(workers, initializer=threadpool_limits, initargs=(1,)) as pool:
                list(pool.map(_cells, names[:2] * workers))  # warm-up: imports and compiled code
                start = time.perf_counter()
                results[workers] = list(pool.map(_cells, work))
                times[workers].append(time.perf_counter() - start)
    ratios = [one / two for one, two in zip(times[1], times[2], strict=True)]
    print(f"{len(work)} pictures: one process {_spread(times[1], 1, 1)} s, two {_spread(times[2], 1, 1)} s")
    same = results[1] == results[2]
    print(f"ratio {_spread(ratios, 1, 2)}, same bytes: {same}, load average {os.getloadavg()[0]:.1f}")


def memory() -> None:
    """Peak memory of a process that pixelates a 12-megapixel photo."""
    x = np.random.default_rng(0).integers(0, 256, (250, 334, 3), dtype=np.uint8)
    photo = np.ascontiguousarray(x.repeat(12, axis=0).repeat(12, axis=1)[:3000, :4000])
    for fit in ("fast", "exact"):
        taken, cells = seconds(lambda f=fit: Pyx(factor=6, palette=32, fit=f).fit_transform(photo))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"12 megapixels, {fit}: {cells.shape[:2]} cells, {taken:.1f} s, peak so far {peak:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--upstream", type=Path)
    parser.add_argument("--quick", action="store_true", help="three pictures, two repetitions")
    parser.add_argument("parts", nargs="*", help=f"any of {', '.join(PARTS)}; default: all")
    options = parser.parse_args()
    parts = set(options.parts or PARTS)
    if parts - set(PARTS):
        parser.error(f"parts are {', '.join(PARTS)}")
    if options.upstream is None or not (options.upstream / "pyxelate" / "pyx.py").is_file():
        print("pixelate: --upstream needs a checkout of github.com/sedthh/pyxelate", file=sys.stderr)
        sys.exit(2)
    sys.path.insert(0, str(options.upstream.resolve()))
    from pyxelate import Pyx as Upstream  # from the checkout added to sys.path above

    warnings.simplefilter("ignore")
    threadpool_limits(1)
    names = list(QUICK if options.quick else PICTURES)
    libraries = ", ".join(f"{n} {version(n)}" for n in ("numpy", "numba", "scikit-learn", "scikit-image"))
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {libraries}")
    if "memory" in parts:  # first, because the peak is that of the process so far
        memory()
    if "speed" in parts:
        compilation()
        speed(Upstream, names[:1] if options.quick else list(SPEED_PICTURES), 2 if options.quick else 3)
    if "folder" in parts:
        folder(names, 2 if options.quick else 3)
    if "parity" in parts or "dithers" in parts:
        parity(Upstream, names, DITHERS if "dithers" in parts else DITHERS[:1])


if __name__ == "__main__":
    main()
