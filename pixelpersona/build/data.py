"""`dataset`, `pixelate` and `augment`: where photos come from and what pairs they give."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from pixelpersona.pixel.pixelation import Pixelation

if TYPE_CHECKING:
    from pixelpersona.build.models import ModelConfig
    from pixelpersona.data.pairset import PairSet
    from pixelpersona.data.recipe import PairRecipe
    from pixelpersona.data.sources import PhotoSource


class DatasetKind(Enum):
    portraits = "portraits"
    folder = "folder"
    celeba = "celeba"


@dataclass(kw_only=True, slots=True)
class DatasetConfig:
    """path: folder or zip of photos; null only for the packaged portraits. limit: photos taken, null for all.

    heldout_share: share kept out of training when the data set itself names no split.
    num_tuning: null, or how many training photos are held out instead, to choose settings by: the held-out
    photos are then not touched.
    framing: tight or wide face crop, or center. variants: pairs per training photo, the first plain.
    mirror: show every training pair mirrored in half of its epochs.
    """

    kind: DatasetKind = DatasetKind.portraits
    path: Path | None = None
    limit: int | None = None
    heldout_share: float = 0.1
    num_tuning: int | None = None
    framing: str = "tight"
    variants: int = 1
    mirror: bool = False
    num_workers: int | None = None


@dataclass(kw_only=True, slots=True)
class AugmentConfig:
    """Ranges drawn from for every variant but the first; see data/augment.py for units."""

    flip: float = 0.5
    degrees: float = 5.0
    translate: float = 0.05
    scale: float = 0.05
    brightness: float = 0.1
    contrast: float = 0.1
    saturation: float = 0.1


def make_source(dataset: DatasetConfig) -> "PhotoSource":
    """The photos that the configuration names. Raises ValueError naming dataset.path when it is needed."""
    from pixelpersona.data.tuning import TuningSource

    source = _source(dataset)
    return source if dataset.num_tuning is None else TuningSource(source, dataset.num_tuning)


def _source(dataset: DatasetConfig) -> "PhotoSource":
    from pixelpersona.assets.locate import path as asset
    from pixelpersona.data.sources import CelebASource, FolderSource

    match dataset.kind:
        case DatasetKind.portraits:
            return FolderSource(asset("portraits"), heldout_share=dataset.heldout_share)
        case DatasetKind.folder:
            if dataset.path is None:
                raise ValueError(
                    "dataset.path: dataset=folder needs a folder or zip of photos, dataset.path=DIR"
                )
            return FolderSource(dataset.path, heldout_share=dataset.heldout_share)
        case DatasetKind.celeba:
            return CelebASource(dataset.path or Path("data/celeba"), heldout_share=dataset.heldout_share)


def make_recipe(
    dataset: DatasetConfig, pixelate: Pixelation, augment: AugmentConfig, model: "ModelConfig", seed: int
) -> "PairRecipe":
    """Everything that decides what pairs a photo gives, at the model's image size."""
    from dataclasses import asdict

    from pixelpersona.data.augment import Augmentation
    from pixelpersona.data.recipe import PairRecipe

    return PairRecipe(
        size=model.image_size,
        framing=dataset.framing,
        pixelate=_with_colors(pixelate),
        augment=Augmentation(**asdict(augment)),
        variants=dataset.variants,
        caption=model.prompt,
        seed=seed,
    )


def _with_colors(pixelate: Pixelation) -> Pixelation:
    """A palette file by its colours: they decide what the pairs look like, not where the file lies."""
    from dataclasses import replace

    palette = pixelate.given_palette() if pixelate.palette_file is not None else None
    if palette is None:
        return pixelate
    colors = ["#" + bytes(color).hex() for color in palette.rgb]
    return replace(pixelate, palette=colors, palette_file=None)


@dataclass(kw_only=True, slots=True)
class PathsConfig:
    """runs: run folders and reports. cache: pairs and latents, named by the hash of their contents."""

    runs: Path = Path("runs")
    cache: Path = Path(".cache")


def make_pairs(
    dataset: DatasetConfig,
    pixelate: Pixelation,
    augment: AugmentConfig,
    model: "ModelConfig",
    paths: PathsConfig,
    seed: int = 0,
    *,
    thorough: bool = False,
) -> "PairSet":
    """The pair set of this configuration, prepared now when it is missing.

    thorough: one that is there is checked byte by byte and mended.
    """
    from pixelpersona.data.pairs import prepare_pairs

    recipe = make_recipe(dataset, pixelate, augment, model, seed)
    return prepare_pairs(
        make_source(dataset),
        recipe,
        paths.cache,
        limit=dataset.limit,
        num_workers=dataset.num_workers,
        thorough=thorough,
    )
