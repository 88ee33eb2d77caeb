"""Schema of the group `postprocess`."""

from dataclasses import dataclass


@dataclass(kw_only=True, slots=True)
class PostprocessConfig:
    """What is done to every portrait after it is drawn; see `pixel.postprocess.Postprocess`.

    num_colors: largest number of colours, 2 to 256.
    detail: strength of the photo's own features (eyes, mouth, glasses), 0 to 4; 0 keeps the drawing's.
    levels: tone stretching, 0 to 1.
    flatness: total-variation denoising weight, 0 to 1.
    local_contrast: strength of the local contrast, 0 to 4.
    saturation: factor on the saturation, 0 to 4.
    min_distance: palette colours closer than this (OKLab) are merged, 0 to 1.
    coherence: spatial smoothing strength of the Potts model, 0 to 1.
    cleanup: reassign isolated cells, except strong accents.
    """

    num_colors: int
    detail: float
    levels: float
    flatness: float
    local_contrast: float
    saturation: float
    min_distance: float
    coherence: float
    cleanup: bool
