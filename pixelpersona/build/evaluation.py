"""`eval`: which variants are compared, and on which photos."""

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from pixelpersona.build.inference import SamplerConfig, make_sampler
from pixelpersona.build.models import ModelConfig
from pixelpersona.build.trained import Trained, base_of, best_of, trained_below
from pixelpersona.pixel.finish import Finish
from pixelpersona.pixel.pixelation import Pixelation

if TYPE_CHECKING:
    from pixelpersona.data.latents import LatentSet
    from pixelpersona.data.pairset import PairSet
    from pixelpersona.evaluation.compare import Benchmark
    from pixelpersona.inference.portrait import PortraitMaker
    from pixelpersona.models.base import BaseModel


class Features(Enum):
    persona = "persona"
    inception = "inception"


@dataclass(kw_only=True, slots=True)
class EvalConfig:
    """num_photos: held-out photos, null for all. seed: the first photo's.

    sheet_rows: photos on a contact sheet. also_cells, also_colors: cell sizes in pixels and numbers of
    colours that raw pictures are measured with beside the base's grid and the finish's palette: for LoRAs
    that were trained on other pairs than the data set they are compared on. strengths, guidances: with them,
    each pair of the two is drawn by the base and every LoRA, in place of the comparison; samplers: by each
    of these, "dpm-20" for kind and steps, none for the configured one.
    features: inception measures KID and FID in Inception's features, too, which features_path holds.
    """

    num_photos: int | None = None
    seed: int = 0
    sheet_rows: int = 8
    also_cells: list[int] = field(default_factory=list)
    also_colors: list[int] = field(default_factory=list)
    strengths: list[float] = field(default_factory=list)
    guidances: list[float] = field(default_factory=list)
    samplers: list[str] = field(default_factory=list)
    features: Features = Features.persona
    features_path: Path | None = None

    def check(self, image_size: int) -> None:
        """Raises ValueError naming the key of a value that cannot be measured."""
        if (self.features is Features.inception) != (self.features_path is not None):
            raise ValueError(
                "eval.features_path: eval.features=inception needs the file of its weights, persona none"
            )
        if bool(self.strengths) != bool(self.guidances):
            missing = "guidances" if self.strengths else "strengths"
            raise ValueError(f"eval.{missing}=[]: accepted one or more, as the other list has")
        if wrong_strength := [value for value in self.strengths if not 0.0 < value <= 1.0]:
            raise ValueError(f"eval.strengths={wrong_strength[0]}: accepted above 0, up to 1")
        if wrong_guidance := [value for value in self.guidances if not 1.0 <= value < float("inf")]:
            raise ValueError(f"eval.guidances={wrong_guidance[0]}: accepted 1 (off) or more")
        if wrong_sampler := [
            name for name in self.samplers if not re.fullmatch(r"(ddim|dpm)-[1-9]\d*", name)
        ]:
            raise ValueError(f"eval.samplers={wrong_sampler[0]}: accepted as dpm-20 or ddim-50")
        for key in ("strengths", "guidances", "samplers"):
            if len(set(getattr(self, key))) < len(getattr(self, key)):
                raise ValueError(f"eval.{key}={getattr(self, key)}: accepted each value once")
        if wrong := [cell for cell in self.also_cells if not 2 <= cell <= image_size // 2]:
            raise ValueError(f"eval.also_cells={wrong[0]}: accepted 2 to {image_size // 2} pixels")
        if wrong := [number for number in self.also_colors if not 1 <= number <= 256]:
            raise ValueError(f"eval.also_colors={wrong[0]}: accepted 1 to 256")


@dataclass(frozen=True, slots=True)
class Variant:
    """One row of the comparison. losses: fixed-noise losses per held-out photo, by metric."""

    name: str
    maker: "PortraitMaker"
    weights: Trained | None = None
    num_parameters: int = 0
    losses: dict[str, list[float]] = field(default_factory=dict)


def make_benchmark(
    base: "BaseModel", pair_set: "PairSet", evaluation: EvalConfig, finish: Finish
) -> "Benchmark":
    """The held-out photos with the teacher's drawings of these very photos as reference art."""
    from pixelpersona.evaluation import compare
    from pixelpersona.models.features import PersonaFeatures
    from pixelpersona.models.inception import InceptionFeatures

    evaluation.check(base.image_size)
    path = evaluation.features_path
    inception = None if path is None else InceptionFeatures(path)
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
        also_cells=evaluation.also_cells,
        also_colors=evaluation.also_colors,
        inception=inception,
    )


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
    from pixelpersona.inference.direct import TranslatorStylizer
    from pixelpersona.models.translator import TRANSLATOR_FILE, load_translator

    yield from _references(base, pair_set, evaluation, finish)
    sampler_of_1 = replace(sampler, guidance=1.0)
    yield Variant("base", make_stylizer(base, model, sampler, finish), losses=_losses(base, heldout, model))
    if sampler.guidance != 1.0:
        yield Variant("base-g1", make_stylizer(base, model, sampler_of_1, finish))
    for trained in _of_this_base(base, trained_below(runs, TRANSLATOR_FILE)):
        # Of a baseline the best it ever was; of a LoRA the last, which are what a user receives.
        trained = best_of(trained)
        translator = load_translator(trained.file)
        yield Variant(
            trained.name,
            TranslatorStylizer(translator, cell=base.cell, finish=finish),
            weights=trained,
            num_parameters=sum(p.numel() for p in translator.parameters()),
        )
    for trained, tuned, num_parameters in fine_tunes(base, runs):
        yield Variant(
            trained.name,
            make_stylizer(tuned, model, sampler, finish, trained.name),
            weights=trained,
            num_parameters=num_parameters,
            losses=_losses(tuned, heldout, model),
        )


def fine_tunes(base: "BaseModel", runs: Path) -> Iterator[tuple[Trained, "BaseModel", int]]:
    """Every LoRA of this base below `runs`: its file, the base with it merged, its number of parameters."""
    from pixelpersona.models.adapter import ADAPTER_FILE, merge_lora

    for trained in _of_this_base(base, trained_below(runs, ADAPTER_FILE)):
        yield trained, *merge_lora(base, trained.file)


def make_stylizer(
    drawer: "BaseModel", model: ModelConfig, sampler: SamplerConfig, finish: Finish, name: str | None = None
) -> "PortraitMaker":
    """Portraits by img2img. name: of the LoRA that is merged into `drawer`."""
    from pixelpersona.inference.stylizer import Stylizer

    return Stylizer(drawer, sampler=make_sampler(sampler), prompt=model.prompt, finish=finish, adapter=name)


def _references(
    base: "BaseModel", pair_set: "PairSet", evaluation: EvalConfig, finish: Finish
) -> Iterator[Variant]:
    """What needs no training: the photo, shrinking, the algorithm to beat, the teacher and its ceiling."""
    from pixelpersona.inference.direct import DirectStylizer, unchanged

    cell, teacher = base.cell, Teacher(pair_set, evaluation)
    nearest = Pixelation(factor=cell, palette=finish.num_colors, fit="kmeans", downsample="nearest")
    pyxelate = Pixelation(factor=cell, palette=finish.num_colors)
    for name, draw in (
        ("photo", unchanged),
        ("nearest", _Recipe(nearest)),
        ("pyxelate", _Recipe(pyxelate)),
        ("teacher", teacher),
        ("teacher-vae", Through(base, teacher)),
    ):
        yield Variant(name, DirectStylizer(draw, cell=cell, finish=finish))


def _of_this_base(base: "BaseModel", found: Sequence[Trained]) -> Iterator[Trained]:
    """Without runs on another base: below one folder there may be some of SD 1.5 and of the tiny base."""
    for trained in found:
        sha256 = base_of(trained)
        if sha256 is None or sha256 == base.sha256:
            yield trained
        else:
            told = f"trained on another base ({sha256[:12]}) than the one compared ({base.sha256[:12]})"
            print(f"{trained.name}: left out, {told}", file=sys.stderr)


class _Recipe:
    """Photo → what a recipe without a model makes of it on the grid."""

    def __init__(self, recipe: Pixelation) -> None:
        self._recipe = recipe

    def __call__(self, photos: np.ndarray) -> np.ndarray:
        from pixelpersona.data.recipe import pixelize

        return np.stack([pixelize(photo, self._recipe)[0] for photo in photos])


class Teacher:
    """Photo → the pair's pixel art, looked up by the photo's bytes: the teacher draws nothing twice."""

    def __init__(self, pair_set: "PairSet", evaluation: EvalConfig) -> None:
        pairs = pair_set.pairs("heldout")[: evaluation.num_photos]
        self._pictures = {pair_set.photo(pair.id).tobytes(): pair_set.pixel(pair.id) for pair in pairs}

    def __call__(self, photos: np.ndarray) -> np.ndarray:
        return np.stack([self._pictures[photo.tobytes()] for photo in photos])


class Through:
    """What the autoencoder makes of another function's pictures: the best any LoRA could do."""

    def __init__(self, base: "BaseModel", draw: Teacher) -> None:
        from pixelpersona.models.codec import Codec

        self._codec, self._draw = Codec(base), draw

    def __call__(self, photos: np.ndarray) -> np.ndarray:
        return self._codec.decode_latents(self._codec.encode_images(self._draw(photos)))


def _losses(base: "BaseModel", heldout: "LatentSet", model: ModelConfig) -> dict[str, list[float]]:
    """Over all noise levels, and along the path of the base's LoRAs where they learn one."""
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
