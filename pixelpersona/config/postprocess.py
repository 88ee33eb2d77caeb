"""Schema of the group `postprocess`."""

from dataclasses import dataclass


@dataclass(kw_only=True, slots=True)
class PostprocessConfig:
    """What is done to every portrait after it is drawn; see `pixel.postprocess.Postprocess`.

    num_colors: largest number of colours, 2 to 256.
    detail: strength of the photo's own features (eyes, mouth, glasses), 0 to 4; 0 keeps the drawing's.
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

    num_colors: int
    detail: float
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
