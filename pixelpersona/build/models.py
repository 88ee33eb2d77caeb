"""`model`, `lora`: which Stable Diffusion, and the adapter that is put on it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pixelpersona.models.base import BaseModel


@dataclass(kw_only=True, slots=True)
class ModelConfig:
    """name: tiny or sd15. path: null for the packaged base, else a hub id or a folder in diffusers' layout.

    image_size: side of its pictures, pixels. cell: pixels per latent cell. prompt: the words that stand
    for the style, in training and in use. strength, guidance: its defaults for img2img; portrait_strength:
    that of `stylize`, where the finish sees to the grid and the person counts. framing: how tightly its
    faces are cropped: tight, wide or center. lora_lr, lora_num_steps, lora_batch_size, lora_targets,
    lora_max_timestep: the learning rate, the steps of so many samples, the modules (ends of names) and the
    range of noise levels its LoRAs learn well with. lora_start_strength, lora_photo_probability,
    lora_timestep_power: see `loss`.
    """

    name: str = "tiny"
    path: str | None = field(default=None, metadata={"path": True})
    image_size: int = 128
    cell: int = 4
    prompt: str = "pixel art portrait, 16-color style"
    strength: float = 0.5
    portrait_strength: float = 0.5
    guidance: float = 3.0
    framing: str = "tight"
    lora_lr: float = 2e-3
    lora_num_steps: int = 250
    lora_batch_size: int = 8
    lora_targets: list[str] = field(default_factory=lambda: ["to_q", "to_k", "to_v", "to_out.0"])
    lora_max_timestep: int = 1000
    lora_start_strength: float = 0.0
    lora_photo_probability: float = 1.0
    lora_timestep_power: float = 1.0


@dataclass(kw_only=True, slots=True)
class AdapterConfig:
    """path: a LoRA file or the folder that holds it; null for the packaged one (tiny) or none (others)."""

    path: Path | None = None

    def file(self, model: ModelConfig) -> Path | None:
        from pixelpersona.assets.locate import path as asset

        if self.path is None and model.name == "tiny" and model.path is None:
            return asset("lora")
        return self.path


@dataclass(kw_only=True, slots=True)
class LoraConfig:
    """rank: 1 or more. alpha: scale times rank, by default the rank. targets: ends of module names.

    text_encoder: a LoRA of the same rank on the text encoder's attention, too.
    """

    rank: int = 4
    alpha: float = 4.0
    dropout: float = 0.0
    targets: list[str] = field(default_factory=lambda: ["to_q", "to_k", "to_v", "to_out.0"])
    text_encoder: bool = False


def base_stamp(model: ModelConfig) -> str:
    """What changes when the base's files do, without loading it; a hub id stands for itself."""
    from pixelpersona.assets.locate import path as asset
    from pixelpersona.build.finished import files_stamp

    folder = asset("tiny") if model.path is None else Path(model.path)
    return files_stamp(folder) if folder.is_dir() else str(model.path)


def make_base(model: ModelConfig) -> "BaseModel":
    """Load the base, frozen, in float32, on the GPU if there is one. Raises ValueError naming model.path."""
    import torch

    from pixelpersona.assets.locate import path as asset
    from pixelpersona.models.base import load_base

    quiet_libraries()
    if model.path is None and model.name != "tiny":
        raise ValueError(f"model.path: model={model.name} needs a hub id or a folder, model.path=...")
    base = load_base(model.path or asset("tiny"), name=model.name)
    if (base.image_size, base.cell) != (model.image_size, model.cell):
        raise ValueError(
            f"model.image_size={model.image_size}, model.cell={model.cell}: "
            f"the base at {model.path or 'assets'} has {base.image_size} and {base.cell}"
        )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    for module in (base.text_encoder, base.vae, base.unet):
        module.to(device)
    return base


def quiet_libraries() -> None:
    """No progress bar for reading a file, no advice about packages that are left out on purpose."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for logging in (diffusers_logging, transformers_logging):
        logging.set_verbosity_error()
        logging.disable_progress_bar()
