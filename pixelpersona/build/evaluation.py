"""`eval`: which variants are compared, on which photos, and the sheets that show them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from pixelpersona.build.inference import SamplerConfig, make_sampler
from pixelpersona.build.models import ModelConfig
from pixelpersona.pixel.finish import Finish
from pixelpersona.pixel.pixelation import Pixelation

if TYPE_CHECKING:
    from pixelpersona.data.latents import LatentSet
    from pixelpersona.data.pairset import PairSet
    from pixelpersona.evaluation.compare import Benchmark
    from pixelpersona.inference.portrait import Portrait, PortraitMaker
    from pixelpersona.models.base import BaseModel


@dataclass(kw_only=True, slots=True)
class EvalConfig:
    """num_photos: held-out photos, null for all. seed: the first photo's.

    sheet_rows: photos on a contact sheet. also_cells, also_colors: cell sizes in pixels and numbers of
    colours that raw pictures are measured with beside the base's grid and the finish's palette: for LoRAs
    that were trained on other pairs than the data set they are compared on.
    """

    num_photos: int | None = None
    seed: int = 0
    sheet_rows: int = 8


    also_cells: list[int] = field(default_factory=list)
    also_colors: list[int] = field(default_factory=list)

    def check(self, image_size: int) -> None:
        """Raises ValueError naming the key of a value that cannot be measured."""
        if wrong := [cell for cell in self.also_cells if not 2 <= cell <= image_size // 2]:
            raise ValueError(f"eval.also_cells={wrong[0]}: accepted 2 to {image_size // 2} pixels")
        if wrong := [number for number in self.also_colors if not 1 <= number <= 256]:
            raise ValueError(f"eval.also_colors={wrong[0]}: accepted 1 to 256")
@dataclass(frozen=True, slots=True)
class Variant:
    """One column of the comparison. losses: fixed-noise losses per held-out photo, by metric."""

    name: str
    maker: "PortraitMaker"
    adapter_sha256: str | None = None
    num_parameters: int = 0
    losses: dict[str, list[float]] = field(default_factory=dict)


def make_benchmark(
    base: "BaseModel", pair_set: "PairSet", evaluation: EvalConfig, finish: Finish
) -> "Benchmark":
    """The held-out photos with the teacher's drawings of these very photos as reference art."""
    from pixelpersona.evaluation import compare
    from pixelpersona.models.features import PersonaFeatures

    pairs = pair_set.pairs("heldout")[: evaluation.num_photos]
    return compare.make_benchmark(
        [Image.fromarray(pair_set.photo(pair.id)) for pair in pairs],
        [pair.id for pair in pairs],
        [evaluation.seed + number for number in range(len(pairs))],
        [Image.fromarray(pair_set.pixel(pair.id)) for pair in pairs],
        PersonaFeatures(),
        cell=base.cell,
        base_sha256=base.sha256,
        paired=True,
        num_colors=finish.num_colors,
    )


        also_cells=evaluation.also_cells,
        also_colors=evaluation.also_colors,
def variants(
    base: "BaseModel",
    pair_set: "PairSet",
    heldout: "LatentSet",
    runs: Path,
    model: ModelConfig,
    sampler: SamplerConfig,
    evaluation: EvalConfig,
    finish: Finish,
) -> Iterator[Variant]:
    """References, the base, and every trained run below `runs`, in the order of the table."""
    from dataclasses import replace

    from pixelpersona.inference.direct import DirectStylizer, TranslatorStylizer, unchanged
    from pixelpersona.inference.stylizer import Stylizer
    from pixelpersona.models.adapter import ADAPTER_FILE, merge_lora
    from pixelpersona.models.translator import TRANSLATOR_FILE, load_translator

    cell = base.cell
    teacher = _Teacher(pair_set, evaluation)
    yield Variant("photo", DirectStylizer(unchanged, cell=cell, finish=finish))
    pyxelate = _Pyxelate(cell, finish.num_colors)
    yield Variant("pyxelate", DirectStylizer(pyxelate, cell=cell, finish=finish))
    yield Variant("teacher", DirectStylizer(teacher, cell=cell, finish=finish))
    yield Variant("teacher-vae", DirectStylizer(_Through(base, teacher), cell=cell, finish=finish))

    def stylizer(drawer: "BaseModel", guidance: float, adapter: str | None = None) -> "PortraitMaker":
        settings = replace(make_sampler(sampler), guidance=guidance)
        return Stylizer(drawer, sampler=settings, prompt=model.prompt, finish=finish, adapter=adapter)

    yield Variant("base", stylizer(base, sampler.guidance), losses=_losses(base, heldout, model))
    if sampler.guidance != 1.0:
        yield Variant("base-g1", stylizer(base, 1.0))
    for file in sorted(runs.glob(f"*/{TRANSLATOR_FILE}")):
        translator = load_translator(file)
        yield Variant(
            file.parent.name,
            TranslatorStylizer(translator, cell=cell, finish=finish),
            adapter_sha256=_sha256(file),
            num_parameters=sum(p.numel() for p in translator.parameters()),
        )
    for file in sorted(runs.glob(f"*/{ADAPTER_FILE}"), key=_natural):
        tuned, num_parameters = merge_lora(base, file)
        yield Variant(
            file.parent.name,
            stylizer(tuned, sampler.guidance, file.parent.name),
            adapter_sha256=_sha256(file),
            num_parameters=num_parameters,
            losses=_losses(tuned, heldout, model),
        )


def save_sheets(
    folder: Path, portraits: dict[str, list["Portrait"]], order: Sequence[int], rows: int
) -> list[Path]:
    """raw.png, snapped.png and worst.png: the same photos in rows, one column per variant.

    order: photo indices, worst likeness of the LoRAs first; raw and snapped take evenly spread photos.
    """
    from pixelpersona.pixel.sheet import contact_sheet

    folder.mkdir(parents=True, exist_ok=True)
    names = list(portraits)
    num_photos = len(next(iter(portraits.values())))
    spread = sorted({round(i) for i in np.linspace(0, num_photos - 1, min(rows, num_photos))})
    files = []
    for file_name, chosen, snapped in (
        ("raw", spread, False),
        ("snapped", spread, True),
        ("worst", order[:rows], False),
    ):
        tiles = [[_picture(portraits[name][index], snapped) for name in names] for index in chosen]
        sheet = contact_sheet(tiles, column_titles=names)
        files.append(folder / f"{file_name}.png")
        sheet.quantize(256).save(files[-1], optimize=True)
    return files


def _picture(portrait: "Portrait", snapped: bool) -> Image.Image:
    return Image.fromarray(portrait.snapped.image()) if snapped else portrait.image


class _Pyxelate:
    """Photo → what Pyxelate with its own defaults makes of it on the grid: the algorithm to beat."""

    def __init__(self, cell: int, num_colors: int) -> None:
        self._recipe = Pixelation(factor=cell, palette=num_colors)

    def __call__(self, photos: np.ndarray) -> np.ndarray:
        from pixelpersona.data.recipe import pixelize

        return np.stack([pixelize(photo, self._recipe)[0] for photo in photos])


class _Teacher:
    """Photo → the pair's pixel art, looked up by the photo's bytes: the teacher draws nothing twice."""

    def __init__(self, pair_set: "PairSet", evaluation: EvalConfig) -> None:
        pairs = pair_set.pairs("heldout")[: evaluation.num_photos]
        self._pictures = {pair_set.photo(pair.id).tobytes(): pair_set.pixel(pair.id) for pair in pairs}

    def __call__(self, photos: np.ndarray) -> np.ndarray:
        return np.stack([self._pictures[photo.tobytes()] for photo in photos])


class _Through:
    """What the autoencoder makes of another function's pictures: the best any LoRA could do."""

    def __init__(self, base: "BaseModel", draw: _Teacher) -> None:
        from pixelpersona.models.codec import Codec

        self._codec, self._draw = Codec(base), draw

    def __call__(self, photos: np.ndarray) -> np.ndarray:
        return self._codec.decode_latents(self._codec.encode_images(self._draw(photos)))


def _losses(base: "BaseModel", heldout: "LatentSet", model: ModelConfig) -> dict[str, list[float]]:
    """Over all noise levels, and along the path of the base's LoRAs where they learn one."""
    from dataclasses import replace

    from pixelpersona.models.codec import Codec
    from pixelpersona.training.objectives.diffusion import DiffusionObjective
    from pixelpersona.training.validation import fixed_noise_loss

    # Of a text encoder with a LoRA the cached states are not the ones it gives.
    heldout = replace(heldout, text=Codec(base).encode_text(heldout.captions))
    objective = DiffusionObjective(base.unet, base.noise_schedule, start_strength=model.lora_start_strength)
    losses = {"val_loss": fixed_noise_loss(objective, heldout).tolist()}
    if model.lora_start_strength:
        losses["path_loss"] = fixed_noise_loss(objective, heldout, on_path=True).tolist()
    return losses


def _sha256(file: Path) -> str:
    import hashlib

    return hashlib.sha256(file.read_bytes()).hexdigest()


def _natural(file: Path) -> list[object]:
    import re

    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", file.parent.name)]
