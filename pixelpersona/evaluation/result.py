"""Plain results of a comparison, their intervals and their JSON. No torch: reports read this too."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pixelpersona.writing import write_whole


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with the bounds of its 95 % interval, all in the metric's own unit."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class EvalResult:
    """One variant, measured.

    metrics: metric name → value with interval. per_photo: metric name → one value per photo, in the
    order of photo_ids; metrics of the whole set (KID, FID) have no entry there.
    adapter_sha256 is None and num_parameters 0 when nothing was trained for the variant.
    Raises ValueError when a per-photo list is not as long as photo_ids.
    """

    variant: str
    metrics: dict[str, Estimate]
    per_photo: dict[str, list[float]]
    photo_ids: list[str]
    seeds: list[int]
    base_sha256: str
    adapter_sha256: str | None
    features_sha256: str
    num_parameters: int

    def __post_init__(self) -> None:
        for name, values in self.per_photo.items():
            if len(values) != len(self.photo_ids):
                raise ValueError(
                    f"{self.variant}: per_photo[{name!r}] has {len(values)} values for "
                    f"{len(self.photo_ids)} photos"
                )

    @property
    def is_fine_tune(self) -> bool:
        """Trained weights of a model that predicts noise, by any name: a LoRA, and not the translator."""
        return self.adapter_sha256 is not None and "val_loss" in self.metrics


@dataclass(frozen=True, slots=True)
class Difference:
    """variant minus baseline in one metric, paired over the same photos."""

    variant: str
    baseline: str
    metric: str
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class EvalResults:
    """Everything one evaluation says. settings: sampler, prompt, data set hash, versions."""

    variants: list[EvalResult]
    differences: list[Difference]
    settings: dict[str, object] = field(default_factory=dict)

    def variant(self, name: str) -> EvalResult:
        """The result of that name. Raises ValueError listing the names there are."""
        for result in self.variants:
            if result.variant == name:
                return result
        names = ", ".join(result.variant for result in self.variants)
        raise ValueError(f"no variant {name!r} in the results; there are: {names}")


@dataclass(frozen=True, slots=True)
class Metric:
    """What a metric is called, which way is better, its range (infinite where unbounded), what it says."""

    name: str
    title: str
    better: Literal["higher", "lower"]
    low: float
    high: float
    meaning: str

    @property
    def stage(self) -> Literal["raw", "snapped", ""]:
        """Measured on the sampler's picture ("raw") or after the grid and palette ("snapped")."""
        if self.name.endswith("_raw"):
            return "raw"
        return "snapped" if self.name.endswith("_snapped") else ""

    @property
    def stem(self) -> str:
        """The name without its stage: grid_contrast_raw and grid_contrast_snapped share one."""
        return self.name.removesuffix(f"_{self.stage}") if self.stage else self.name

    @property
    def range(self) -> str:
        """In words: "−1 to 1", "≥ 0", "≤ 1", "any number"."""
        low, high = (f"{bound:g}".replace("-", "\N{MINUS SIGN}") for bound in (self.low, self.high))
        if math.isfinite(self.low) and math.isfinite(self.high):
            return f"{low} to {high}"
        if math.isfinite(self.low):
            return f"≥ {low}"
        return f"≤ {high}" if math.isfinite(self.high) else "any number"


_STAGED: tuple[Metric, ...] = (
    Metric("grid_contrast", "grid contrast", "higher", -math.inf, 1.0,
           "how much the picture is made of this grid's cells: 1 is pixel art, near 0 a photo or a blur"),
    Metric("palette_error", "palette error", "lower", 0.0, math.inf,
           "colour distance to the best palette of 16 colours; 0 is exactly such a palette"),
    Metric("structure", "structure", "higher", -1.0, 1.0,
           "structural similarity of brightness to the photo, one value per cell"),
    Metric("delta_e", "colour difference", "lower", 0.0, math.inf,
           "CIEDE2000 to the photo, mean over the cells; about 1 is just visible, 0 the same colours"),
    Metric("likeness", "likeness", "higher", -1.0, 1.0,
           "cosine between the features of portrait and photo, after centring"),
    Metric("likeness_top1", "likeness top-1", "higher", 0.0, 1.0,
           "share of portraits whose own photo, altered, is the nearest of all by features"),
    Metric("layout_top1", "layout top-1", "higher", 0.0, 1.0,
           "the same share for a ranker that sees only 12x12 colour blobs: the floor for likeness"),
    Metric("kid_persona", "KID persona", "lower", -math.inf, math.inf,
           "kernel distance to the reference pixel art in our own features; 0 is the same distribution"),
    Metric("fid_persona", "FID persona", "lower", 0.0, math.inf,
           "Fréchet distance to the reference pixel art in our own features; biased on few pictures"),
    Metric("kid_inception", "KID Inception", "lower", -math.inf, math.inf,
           "kernel distance to the reference pixel art in Inception's features"),
    Metric("fid_inception", "FID Inception", "lower", 0.0, math.inf,
           "Fréchet distance in Inception's features; large and biased on fewer than 2,048 pictures"),
)  # fmt: skip


def _metric_table() -> dict[str, Metric]:
    """Every staged metric twice (raw first, snapped after all raw ones), then the unstaged."""
    table = {}
    for stage in ("raw", "snapped"):
        for m in _STAGED:
            name = f"{m.name}_{stage}"
            table[name] = Metric(name, f"{m.title}, {stage}", m.better, m.low, m.high, m.meaning)
    table["val_loss"] = Metric(
        "val_loss", "validation loss", "lower", 0.0, math.inf,
        "squared error of the predicted noise on held-out pixel art at fixed noise, all noise levels",
    )  # fmt: skip
    table["path_loss"] = Metric(
        "path_loss", "path loss", "lower", 0.0, math.inf,
        "the same along img2img's path from photo to art, where the noise carries the photo",
    )  # fmt: skip
    return table


METRICS: dict[str, Metric] = _metric_table()
"""Every metric an evaluation may report, in the order tables show them."""

STYLE, LIKENESS = "grid_contrast_raw", "likeness_raw"
"""What a fine-tune is judged by: is it pixel art, and is it the person; both before any snapping."""


def metric_of(name: str) -> Metric:
    """The metric of that name: one of `METRICS`, or the same measure with another number.

    "palette_error_8_raw" is palette_error_raw with 8 colours, "grid_contrast_6_raw" is grid_contrast_raw
    for cells of 6 pixels. An unknown name is a metric of which nothing is known.
    """
    if name in METRICS:
        return METRICS[name]
    if found := re.fullmatch(r"(palette_error|grid_contrast)_(\d+)_(raw|snapped)", name):
        known = METRICS[f"{found[1]}_{found[3]}"]
        colors = found[1] == "palette_error"
        variation = f"{found[2]} colours" if colors else f"cells of {found[2]} pixels"
        title = known.title.replace(",", f" ({variation}),")
        meaning = (
            known.meaning.replace("16 colours", variation) if colors else f"{known.meaning}; {variation}"
        )
        return replace(known, name=name, title=title, meaning=meaning)
    return Metric(name, name, "higher", -math.inf, math.inf, "")


def bootstrap_mean(values: Sequence[float], seed: int = 0, num_resamples: int = 2000) -> Estimate:
    """Mean with a 95 % percentile bootstrap interval (Efron & Tibshirani 1993, chapter 13).

    values: one per photo, at least 2, finite. The same values and seed give the same interval.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size < 2:
        raise ValueError(f"an interval needs a list of at least 2 values, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"an interval needs finite values, got {array[~np.isfinite(array)][0]}")
    rng = np.random.default_rng(seed)
    # A block of resamples at a time keeps the index table small for any number of photos.
    block = max(1, 2**20 // array.size)
    means = np.concatenate(
        [
            array[rng.integers(0, array.size, (min(block, num_resamples - start), array.size))].mean(axis=1)
            for start in range(0, num_resamples, block)
        ]
    )
    low, high = np.quantile(means, (0.025, 0.975))
    return Estimate(float(array.mean()), float(low), float(high))


def paired_difference(
    a: Sequence[float], b: Sequence[float], seed: int = 0, num_resamples: int = 2000
) -> Estimate:
    """Mean of a - b over the same photos with its 95 % interval: photos are resampled, not values.

    Raises ValueError when the lists differ in length, are shorter than 2 or not finite.
    """
    if len(a) != len(b):
        raise ValueError(f"a paired difference needs the same photos twice, got {len(a)} and {len(b)} values")
    return bootstrap_mean(np.subtract(a, b, dtype=np.float64).tolist(), seed, num_resamples)


def require_same_features(results: Iterable[EvalResult]) -> str:
    """The one feature hash of all results; metrics made of different features are not comparable.

    Raises ValueError when two hashes differ or there is no result.
    """
    found: dict[str, str] = {}
    for result in results:
        found.setdefault(result.features_sha256, result.variant)
    if len(found) != 1:
        described = ", ".join(f"{variant} has {sha[:12]}" for sha, variant in found.items())
        raise ValueError(
            f"features_sha256 must be the same for all variants: {described or 'there is no variant'}"
        )
    return next(iter(found))


def save_results(results: EvalResults, path: Path) -> None:
    """Write result.json, whole or not at all; settings hold JSON values only.

    Raises ValueError naming the variant and metric for a number that is not finite.
    """
    _require_finite(results)
    text = json.dumps(asdict(results), indent=1, ensure_ascii=False, allow_nan=False)
    write_whole(path, text + "\n")


def load_results(path: Path) -> EvalResults:
    """Read what save_results wrote. Raises ValueError naming the file and what is wrong in it."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; `evaluate` writes it") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: not a readable result file ({error})") from None
    try:
        return EvalResults(
            variants=[_decode_variant(v) for v in raw["variants"]],
            differences=[
                Difference(str(d["variant"]), str(d["baseline"]), str(d["metric"]), _decode(d["estimate"]))
                for d in raw["differences"]
            ],
            settings=dict(raw["settings"]),
        )
    except KeyError as error:
        raise ValueError(f"{path}: the key {error} is missing") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path}: not a result file ({error})") from None


def _require_finite(results: EvalResults) -> None:
    estimates = [(f"{r.variant}: {name}", e) for r in results.variants for name, e in r.metrics.items()]
    estimates += [(f"{d.variant} - {d.baseline}: {d.metric}", d.estimate) for d in results.differences]
    for where, estimate in estimates:
        if not all(map(math.isfinite, (estimate.mean, estimate.low, estimate.high))):
            raise ValueError(f"{where} is not finite: {estimate}")
    for result in results.variants:
        for name, values in result.per_photo.items():
            if not all(map(math.isfinite, values)):
                raise ValueError(f"{result.variant}: per_photo[{name!r}] is not finite")


def _decode(raw: Mapping[str, Any]) -> Estimate:
    return Estimate(float(raw["mean"]), float(raw["low"]), float(raw["high"]))


def _decode_variant(raw: Mapping[str, Any]) -> EvalResult:
    adapter = raw["adapter_sha256"]
    return EvalResult(
        variant=str(raw["variant"]),
        metrics={str(name): _decode(estimate) for name, estimate in raw["metrics"].items()},
        per_photo={str(name): [float(v) for v in values] for name, values in raw["per_photo"].items()},
        photo_ids=[str(i) for i in raw["photo_ids"]],
        seeds=[int(s) for s in raw["seeds"]],
        base_sha256=str(raw["base_sha256"]),
        adapter_sha256=None if adapter is None else str(adapter),
        features_sha256=str(raw["features_sha256"]),
        num_parameters=int(raw["num_parameters"]),
    )
