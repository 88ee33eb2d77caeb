"""Schema of the group `eval`."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from pixelpersona.config.field_kinds import SEED

EvalSplit = StrEnum("EvalSplit", ["val", "test"])
EvalFeatures = StrEnum("EvalFeatures", ["persona", "inception"])


@dataclass(kw_only=True, slots=True)
class EvalConfig:
    """What an evaluation measures, and on which photos.

    split: test, or val to choose settings by, so that test photos are used only for the final comparison.
    num_photos: number of photos; null for the whole split.
    seed: random seed of the first photo; photo i is drawn with seed + i.
    damage: what is done to every photo before it is drawn: null, dark, overexposed, blurred, small, hidden,
        noisy or compressed. Portraits are compared with the photo as it was.
    sheet_rows: photos on a contact sheet.
    also_cells: further cell sizes, pixels, at which raw pictures are measured.
    also_colors: further numbers of colours with which raw pictures are measured.
    strengths: with guidances: measure every pair of both (tradeoff.json) instead of comparing variants
        (result.json).
    guidances: see strengths.
    samplers: samplers of the trade-offs, each as dpm-20 (kind and steps); [] for the configured one.
    features: persona, or inception to compute KID and FID in Inception's features as well.
    features_path: file of Inception's weights; null with features=persona.
    """

    split: EvalSplit
    num_photos: int | None
    seed: int = field(metadata=SEED)
    damage: str | None
    sheet_rows: int
    also_cells: list[int]
    also_colors: list[int]
    strengths: list[float]
    guidances: list[float]
    samplers: list[str]
    features: EvalFeatures
    features_path: Path | None
