"""Scores every variant on the same photos and seeds, then their differences, paired over photos and seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pixelpersona.evaluation.distribution import MIN_PICTURES, fid_estimate, kid
from pixelpersona.evaluation.fidelity import altered_photo, layout_similarities, top1
from pixelpersona.evaluation.intervals import Estimate, bootstrap_mean, proportion
from pixelpersona.evaluation.result import (
    Difference,
    EvalResult,
    EvalResults,
    metric_of,
    require_same_features,
)
from pixelpersona.evaluation.training_seeds import compare_variants
from pixelpersona.inference.portrait import Portrait
from pixelpersona.models.features import FeatureExtractor, SetFeatures, similarities
from pixelpersona.pixel.grid import Grid
from pixelpersona.pixel.score import delta_e, grid_contrast, palette_error, structure

_Images = NDArray[np.uint8]


@dataclass(slots=True, eq=False)
class Benchmark:
    """What every variant is measured on and compared with.

    photos: at least MIN_PICTURES photos of one size, with unique ids. others: id → photo of the same size,
    further photos from which the portraits have to be told apart. seeds: one random seed per photo, used
    for every variant. reference_art: the pixel art of these photos, in their order and size. cell: pixels
    per cell and side. also_cells, also_colors: further cell sizes and numbers of colours at which raw
    pictures are measured. inception: Inception features for a second KID and FID, or None.
    Computed: the gallery, altered photos and then altered others; people, its likeness features [M, L]; art,
    features [N, D] of the reference art, and inception_art. Raises ValueError when lengths or sizes differ,
    or an id is not unique.
    """

    photos: list[Image.Image]
    photo_ids: list[str]
    seeds: list[int]
    reference_art: list[Image.Image]
    features: FeatureExtractor
    cell: int
    num_colors: int
    base_sha256: str
    others: Mapping[str, Image.Image] = field(default_factory=dict)
    also_cells: Sequence[int] = ()
    also_colors: Sequence[int] = ()
    inception: SetFeatures | None = None
    gallery: list[Image.Image] = field(init=False)
    people: Tensor = field(init=False)
    art: Tensor = field(init=False)
    inception_art: Tensor | None = field(init=False)

    def __post_init__(self) -> None:
        photos, ids, num = [photo.convert("RGB") for photo in self.photos], self.photo_ids, len(self.photos)
        if not num == len(ids) == len(self.seeds):
            raise ValueError(
                f"{num} photos, {len(ids)} ids, {len(self.seeds)} seeds: accepted one of each per photo"
            )
        if len({*ids, *self.others}) != num + len(self.others):
            raise ValueError("photo_ids: an id occurs twice; accepted one photo per id")
        if len(self.reference_art) != num:
            raise ValueError(
                f"{len(self.reference_art)} reference pictures for {num} photos: accepted one each"
            )
        if num < MIN_PICTURES:
            raise ValueError(f"{num} photos: accepted {MIN_PICTURES} or more")
        art = _stack(self.reference_art)
        self.photos = photos
        named = [*zip(ids, photos, strict=True), *self.others.items()]
        self.gallery = [altered_photo(photo, name, self.features.framing) for name, photo in named]
        self.people = self.features.likeness_features(_stack(self.gallery))
        self.art = self.features.features(art)
        self.inception_art = None if self.inception is None else self.inception.features(art)


def score_variant(
    name: str,
    raw: Sequence[Image.Image],
    snapped: Sequence[Image.Image],
    benchmark: Benchmark,
    *,
    adapter_sha256: str | None = None,
    num_parameters: int = 0,
    training_seed: int | None = None,
    losses: Mapping[str, Sequence[float]] | None = None,
) -> EvalResult:
    """Measure every metric of a variant's portraits, with 95 % intervals over the photos.

    raw, snapped: one RGB picture per photo, in the order and size of the photos. losses: metric name → one
    fixed-noise loss per photo, for variants that predict noise. adapter_sha256, num_parameters: see
    `EvalResult`. training_seed: of its run, None where it is not recorded.
    Raises ValueError naming the variant when pictures are missing or of another size.
    """
    per_photo: dict[str, list[float]] = {}
    metrics: dict[str, Estimate] = {}
    for stage, pictures in (("raw", raw), ("snapped", snapped)):
        sizes = [picture.size for picture in pictures]
        if sizes != [photo.size for photo in benchmark.photos]:
            raise ValueError(f"{name}, {stage}: accepted one picture per photo, of the photo's size")
        arrays = _stack(pictures)
        surface, people = benchmark.features.views(arrays)
        values = _pixel_scores(arrays, benchmark)
        by_network = similarities(benchmark.people, people)
        values["likeness"] = by_network.diagonal().tolist()
        values["likeness_top1"] = top1(by_network)
        by_layout = layout_similarities(benchmark.gallery, pictures, benchmark.features.framing)
        values["layout_top1"] = top1(by_layout)
        if stage == "raw":  # snapped pictures are on one grid and palette by construction
            values |= _other_grids(arrays, benchmark)
        per_photo |= {f"{key}_{stage}": value for key, value in values.items()}
        metrics |= {f"{key}_{stage}": _over_photos(f"{key}_{stage}", value) for key, value in values.items()}
        metrics |= {f"{key}_{stage}": value for key, value in _set_scores(arrays, surface, benchmark).items()}
    for key, loss_of_photos in (losses or {}).items():
        per_photo[key] = [float(value) for value in loss_of_photos]
        metrics[key] = bootstrap_mean(per_photo[key])
    return EvalResult(
        variant=name,
        metrics=metrics,
        per_photo=per_photo,
        photo_ids=benchmark.photo_ids,
        seeds=benchmark.seeds,
        base_sha256=benchmark.base_sha256,
        adapter_sha256=adapter_sha256,
        features_sha256=benchmark.features.sha256,
        num_parameters=num_parameters,
        training_seeds=[] if training_seed is None else [training_seed],
    )


def style_and_likeness(
    portraits: Sequence[Portrait], benchmark: Benchmark
) -> tuple[list[float], list[float]]:
    """Raw grid contrast and raw likeness per photo, as `score_variant` measures them.

    portraits: one per photo of the benchmark, in order. Raises ValueError when their sizes differ.
    """
    arrays = _stack([portrait.image for portrait in portraits])
    grid = Grid.of(arrays.shape[2], arrays.shape[1], benchmark.cell)
    people = benchmark.features.likeness_features(arrays)
    alike = similarities(benchmark.people, people).diagonal().tolist()
    return [grid_contrast(array, grid) for array in arrays], alike


def differences(
    results: EvalResults, baseline: str = "base", variants: Sequence[EvalResult] | None = None
) -> list[Difference]:
    """Each variant minus the baseline, in every metric that both have per photo.

    variants: results in `results`; None for all runs and groups.
    Raises ValueError when the baseline is missing, or photos, seeds or features differ.
    """
    base = results.variant(baseline)
    variants = [*results.variants, *results.groups] if variants is None else variants
    require_same_features([base, *variants])
    made = []
    for result in variants:
        if result.variant == baseline:
            continue
        if (result.photo_ids, result.seeds) != (base.photo_ids, base.seeds):
            raise ValueError(f"{result.variant}, {baseline}: different photos or seeds, so not comparable")
        found = (compare_variants(results, result.variant, baseline, metric) for metric in result.metrics)
        made += [difference for difference in found if difference is not None]
    return made


def _over_photos(metric: str, values: Sequence[float]) -> Estimate:
    return proportion(values) if metric_of(metric).is_share else bootstrap_mean(values)


def _pixel_scores(arrays: _Images, benchmark: Benchmark) -> dict[str, list[float]]:
    grid = Grid.of(arrays.shape[2], arrays.shape[1], benchmark.cell)
    photos = [np.asarray(photo) for photo in benchmark.photos]
    return {
        "grid_contrast": [grid_contrast(array, grid) for array in arrays],
        "palette_error": [palette_error(array, benchmark.num_colors) for array in arrays],
        "structure": [structure(photo, array, grid) for photo, array in zip(photos, arrays, strict=True)],
        "delta_e": [delta_e(photo, array, grid) for photo, array in zip(photos, arrays, strict=True)],
    }


def _other_grids(arrays: _Images, benchmark: Benchmark) -> dict[str, list[float]]:
    """Measured on grids and palettes other than the benchmark's, for models that were trained on those.

    For a cell size that does not divide the picture's size, `pixelator.pixelize` resizes a picture of whole
    cells by nearest neighbour; here that is undone first.
    """
    values: dict[str, list[float]] = {}
    for cell in benchmark.also_cells:
        height, width = (side // cell * cell for side in arrays.shape[1:3])
        sized = [Image.fromarray(a).resize((width, height), Image.Resampling.NEAREST) for a in arrays]
        grid = Grid.of(width, height, cell)
        values[f"grid_contrast_{cell}"] = [grid_contrast(np.asarray(picture), grid) for picture in sized]
    for number in benchmark.also_colors:
        values[f"palette_error_{number}"] = [palette_error(array, number) for array in arrays]
    return values


def _set_scores(arrays: _Images, surface: Tensor, benchmark: Benchmark) -> dict[str, Estimate]:
    """KID and FID. surface: `features` of the pictures."""
    found = {"persona": (surface, benchmark.art)}
    if benchmark.inception is not None and benchmark.inception_art is not None:
        found["inception"] = (benchmark.inception.features(arrays), benchmark.inception_art)
    scores = {}
    for name, (drawn, art) in found.items():
        scores[f"kid_{name}"] = kid(drawn, art, paired=True)
        scores[f"fid_{name}"] = fid_estimate(drawn, art, paired=True)
    return scores


def _stack(pictures: Sequence[Image.Image]) -> _Images:
    """RGB pictures of one size → uint8 [N, H, W, 3]. Raises ValueError when the sizes differ."""
    if len({picture.size for picture in pictures}) != 1:
        sizes = sorted({f"{picture.width}x{picture.height}" for picture in pictures})
        raise ValueError(f"pictures must be of one size, got {', '.join(sizes) or 'none'}")
    return np.stack([np.asarray(picture.convert("RGB")) for picture in pictures])
