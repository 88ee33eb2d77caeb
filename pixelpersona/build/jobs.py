"""One training job, ready to run: objective, batches, hooks, and how to keep what was learned."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixelpersona.build.data import PathsConfig
from pixelpersona.build.inference import SamplerConfig, make_sampler
from pixelpersona.build.models import LoraConfig, ModelConfig, make_base
from pixelpersona.build.training import LoopConfig, LossConfig, MethodConfig

if TYPE_CHECKING:
    from torch import nn

    from pixelpersona.data.latents import LatentSet
    from pixelpersona.data.pairset import PairSet
    from pixelpersona.inference.portrait import PortraitMaker
    from pixelpersona.models.base import BaseModel
    from pixelpersona.training.loop import Batches


@dataclass(frozen=True, slots=True)
class Job:
    """base: the model whose autoencoder gives the features, also for the translator.

    validate: mean validation loss at fixed noise. maker: portraits by the model as it stands.
    untouched: while its context is open, maker draws as the base that was there before; None where there is
    no such base. save: writes the learned weights into a folder and returns the file.
    """

    base: "BaseModel"
    objective: "nn.Module"
    batches: "Batches"
    steps_per_epoch: int
    validate: Callable[[], float]
    maker: "PortraitMaker"
    untouched: Callable[[], AbstractContextManager[None]] | None
    save: Callable[[Path], Path]
    identity: dict[str, object]


def make_lora_job(
    model: ModelConfig,
    lora: LoraConfig,
    loss: LossConfig,
    loop: LoopConfig,
    sampler: SamplerConfig,
    paths: PathsConfig,
    pair_set: "PairSet",
    *,
    mirror: bool = False,
) -> Job:
    """LoRA on the UNet, noise prediction on the latents of the pixel art."""
    from pixelpersona.data.latents import encode_pairs
    from pixelpersona.data.loader import LatentBatches
    from pixelpersona.inference.stylizer import Stylizer
    from pixelpersona.models.adapter import add_lora, add_text_lora, save_lora, without_adapters
    from pixelpersona.models.codec import Codec
    from pixelpersona.training.objectives.diffusion import DiffusionObjective
    from pixelpersona.training.validation import fixed_noise_loss

    base = make_base(model)
    codec = Codec(base)
    train_set = encode_pairs(
        pair_set, "train", codec, paths.cache, mirrored=mirror, photos=loss.start_strength > 0.0
    )
    heldout_set = encode_pairs(pair_set, "heldout", codec, paths.cache, photos=loss.start_strength > 0.0)
    options: dict[str, Any] = {
        "rank": lora.rank,
        "alpha": lora.alpha,
        "dropout": lora.dropout,
        "seed": loop.seed,
    }
    add_lora(base.unet, targets=lora.targets, **options)
    text_encoder = base.text_encoder if lora.text_encoder else None
    if text_encoder is not None:
        add_text_lora(text_encoder, **options)
        train_set, heldout_set = (_with_tokens(base, latents) for latents in (train_set, heldout_set))
    objective = DiffusionObjective(
        base.unet,
        base.noise_schedule,
        text_encoder=text_encoder,
        snr_gamma=loss.snr_gamma,
        max_timestep=loss.max_timestep,
        kind=loss.kind,
        huber_delta=loss.huber_delta,
        noise_offset=loss.noise_offset,
        start_strength=loss.start_strength,
        photo_probability=loss.photo_probability,
        timestep_power=loss.timestep_power,
    )
    batches = LatentBatches(train_set, loop.batch_size, loop.seed, loss.caption_dropout)
    return Job(
        base=base,
        objective=objective,
        batches=batches,
        steps_per_epoch=len(batches),
        validate=lambda: float(fixed_noise_loss(objective, heldout_set).mean()),
        maker=Stylizer(base, sampler=make_sampler(sampler), prompt=model.prompt),
        untouched=lambda: without_adapters(base.unet, *([] if text_encoder is None else [text_encoder])),
        save=lambda folder: save_lora(base.unet, folder, text_encoder=text_encoder),
        identity={
            "rank": lora.rank,
            "alpha": lora.alpha,
            "targets": sorted(lora.targets),
            "text_encoder": lora.text_encoder,
            "base": base.sha256,
        },
    )


def _with_tokens(base: "BaseModel", latents: "LatentSet") -> "LatentSet":
    """Token ids in place of the cached text states: a text encoder that learns gives others every step."""
    from dataclasses import replace

    from pixelpersona.models.codec import tokenize

    return replace(latents, text=tokenize(base, latents.captions), empty_text=tokenize(base, [""])[0])


def make_translator_job(
    model: ModelConfig,
    method: MethodConfig,
    loss: LossConfig,
    loop: LoopConfig,
    pair_set: "PairSet",
    *,
    mirror: bool = False,
) -> Job:
    """The trained baseline: photo → pixel art directly, error on the pairs."""
    import torch

    from pixelpersona.data.loader import PairBatches
    from pixelpersona.inference.direct import TranslatorStylizer
    from pixelpersona.models.translator import Translator, save_translator
    from pixelpersona.training.objectives.translation import TranslationObjective
    from pixelpersona.training.validation import translation_loss

    if len(method.widths) != 3:
        raise ValueError(f"method.widths={method.widths}: accepted three numbers, multiples of 8")
    base = make_base(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(loop.seed)
        translator = Translator(
            cell=model.cell, widths=(method.widths[0], method.widths[1], method.widths[2])
        )
    objective = TranslationObjective(translator, kind=loss.kind)
    batches = PairBatches(pair_set, "train", loop.batch_size, loop.seed, mirror=mirror)
    heldout = PairBatches(pair_set, "heldout", loop.batch_size, loop.seed)
    return Job(
        base=base,
        objective=objective,
        batches=batches,
        steps_per_epoch=len(batches),
        validate=lambda: float(translation_loss(objective, heldout).mean()),
        maker=TranslatorStylizer(translator, cell=model.cell),
        untouched=None,
        save=lambda folder: save_translator(translator, folder),
        identity={"translator": list(method.widths), "loss": loss.kind, "base": base.sha256},
    )
