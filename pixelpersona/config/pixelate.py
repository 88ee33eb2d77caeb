"""Schemas of the command `pixelate` and of the group `pixelate`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pixelpersona.config.command import CommandConfig
from pixelpersona.config.field_kinds import TEXT
from pixelpersona.config.paths import PathsConfig


@dataclass(kw_only=True, slots=True)
class PixelationConfig:
    """How a picture becomes pixel art; see `pixel.pixelation.Pixelation`.

    factor: source pixels per cell; null with height or width.
    height: number of cells; null to follow from width or factor.
    width: number of cells; null to follow from height or factor.
    palette: number of colours (2 to 256), auto, a palette's name, or a list, [#3a7bd5,ff0000].
    palette_file: .hex .gpl .pal .act .png in place of palette; null for none.
    fit: pyxelate, exact (as upstream, slower), kmeans (OKLab) or median_cut.
    locked: colours that a fitted palette must contain, [#3a7bd5,ff0000].
    dither: none, naive, bayer, floyd, atkinson or blue_noise.
    downsample: gradient (Pyxelate's), detail, outline, k_centroid, dominant, median, mean, inner or nearest.
    svd: Pyxelate's low-rank filter.
    sobel: side of Pyxelate's gradient blocks, pixels.
    depth: number of Pyxelate's reduction passes.
    alpha: opacity from which a cell is drawn, 0 to 1.
    features: find a face's landmarks and keep its eyes and mouth clear.
    skin_tones: with features, how many of the colours are for skin, which gets no others; null for any.
    levels: tone stretching, 0 to 1.
    max_gain: largest factor by which levels spreads the tones, 1 to 100.
    midtone_shift: share of the way from the middle of the tones to that of the full range, 0 to 1.
    flatness: total-variation denoising weight, 0 to 1.
    local_contrast: strength of the local contrast, 0 to 4.
    feature_contrast: strength of the contrast of small features, without rings around edges, 0 to 8.
    evenness: how far light and shadow on the face are evened out, 0 to 1.
    sharpness: strength of the contrast between neighbouring cells of the head, 0 to 4.
    skin_contrast: with a face's landmarks, share of both contrasts that its skin gets, 0 to 1.
    skin_flatness: with a face's landmarks, factor on flatness on its skin, 1 to 8.
    feature_color: with a face's landmarks, factor on the colour of its eyes and lips, 0 to 4.
    saturation: factor on the saturation, 0 to 4.
    focus: how much more the head of a portrait counts than the rest, 1 to 8.
    min_distance: palette colours closer than this (OKLab) are merged, 0 to 1.
    coherence: spatial smoothing strength of the Potts model, 0 to 1.
    cleanup: reassign isolated cells, except strong accents.
    """

    factor: int | None
    height: int | None
    width: int | None
    palette: Any
    palette_file: Path | None
    fit: str
    locked: list[str]
    dither: str
    downsample: str
    svd: bool
    sobel: int
    depth: int
    alpha: float
    features: bool
    skin_tones: int | None
    levels: float
    max_gain: float
    midtone_shift: float
    flatness: float
    local_contrast: float
    feature_contrast: float
    evenness: float
    sharpness: float
    skin_contrast: float
    skin_flatness: float
    feature_color: float
    saturation: float
    focus: float
    min_distance: float
    coherence: float
    cleanup: bool


@dataclass(kw_only=True, slots=True)
class PixelateConfig(CommandConfig):
    """Turn a picture, a GIF or a folder into pixel art, without a model.

    photo: a picture, a GIF, or a folder of both.
    out: .png, .gif, or a folder.
    framing: null for the whole picture; portrait (head and shoulders) or tight around the face, or center.
    face: with framing, main, all, or the number of a face from left to right.
    scale: pixels per cell in the output, 1 to 64; a file has 64 million pixels at most.
    overwrite: whether out may replace the photo itself.
    shared: one palette for a whole folder.
    palette_out: file the palette is written to (.hex .gpl .pal .act .png); null for none.
    num_workers: processes for a folder; null for all cores.
    """

    photo: Path
    out: Path = field(metadata=TEXT)
    framing: str | None
    face: Any
    scale: int
    overwrite: bool
    shared: bool
    palette_out: Path | None
    num_workers: int | None
    pixelate: PixelationConfig
    paths: PathsConfig
