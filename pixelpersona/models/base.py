"""A Stable Diffusion base model: SD 1.5 and the packaged tiny base load through the same function."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionImg2ImgPipeline, UNet2DConditionModel
from diffusers.utils import logging as diffusers_logging
from torch import nn
from transformers import CLIPTextModel, CLIPTokenizer
from transformers.utils import logging as transformers_logging

from pixelpersona.assets.locate import path as asset
from pixelpersona.models.base_files import Parts, check_parts, check_source, check_weights, reading, try_parts


@dataclass(frozen=True, slots=True)
class BaseModel:
    """The parts of one Stable Diffusion model.

    sha256: digest of everything that changes a picture: weights, vocabulary and noise schedule. Caches and
    results record it.
    """

    tokenizer: CLIPTokenizer
    text_encoder: CLIPTextModel
    vae: AutoencoderKL
    unet: UNet2DConditionModel
    noise_schedule: DDIMScheduler
    name: str
    sha256: str

    @property
    def cell(self) -> int:
        """Pixels per latent cell and side: 4 for the tiny base, 8 for SD 1.5."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def image_size(self) -> int:
        """Side of the square pictures it was trained on, pixels."""
        return int(self.unet.config.sample_size) * self.cell

    @property
    def device(self) -> torch.device:
        return torch.device(self.unet.device)


def load_base(
    path: Path | str | None,
    *,
    name: str,
    image_size: int | None = None,
    cell: int | None = None,
    prediction_type: str | None = None,
    device: str | None = None,
) -> BaseModel:
    """Load a base model, frozen and in eval mode, and silence the libraries' progress bars and advice.

    path: a folder in diffusers' layout, a hub id such as stable-diffusion-v1-5/stable-diffusion-v1-5, or None
    for the packaged base, which exists for name="tiny" only.
    image_size, cell: sizes in pixels that the base must have; None accepts any.
    prediction_type: what its UNet must predict, "epsilon" for a loss on the noise; None accepts any.
    device: None for the GPU if there is one, else the CPU.
    Raises ValueError naming model.path when the path is neither, a part is missing, cannot be read or does
    not fit the others, a weight is missing, unknown, of another shape or not finite, or the UNet predicts
    something else, and naming model.image_size and model.cell when the base has other sizes.
    """
    quiet_libraries()
    if path is None and name != "tiny":
        raise ValueError(f"model.path: model={name} needs a hub id or a folder, model.path=...")
    source = str(asset("tiny") if path is None else path)
    check_source(source)
    with reading(source, "tokenizer"):
        tokenizer = CLIPTokenizer.from_pretrained(source, subfolder="tokenizer")
    with reading(source, "scheduler"):
        noise_schedule = DDIMScheduler.from_pretrained(source, subfolder="scheduler")
    models = []
    for part, kind, options in (
        ("text_encoder", CLIPTextModel, {"dtype": torch.float32, "ignore_mismatched_sizes": True}),
        ("vae", AutoencoderKL, {"torch_dtype": torch.float32}),
        ("unet", UNet2DConditionModel, {"torch_dtype": torch.float32}),
    ):
        with reading(source, part):
            model, report = kind.from_pretrained(source, subfolder=part, output_loading_info=True, **options)
        check_weights(source, part, model, report)
        models.append(model)
    text_encoder, vae, unet = models
    parts = Parts(tokenizer, text_encoder, vae, unet, noise_schedule)
    check_parts(source, parts)
    try_parts(source, parts)
    if prediction_type not in (None, noise_schedule.config.prediction_type):
        found = noise_schedule.config.prediction_type
        raise ValueError(f"model.path={source}: prediction_type={found}: accepted {prediction_type}")
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    for module in (text_encoder, vae, unet):
        module.requires_grad_(False).eval().to(device)
    for module in (vae, unet):  # the fastest layout for convolutions: saves a sixth of the time on a CPU
        module.to(memory_format=torch.channels_last)
    schedule = {key: value for key, value in noise_schedule.config.items() if not key.startswith("_")}
    digest = hashlib.sha256(weights_sha256(text_encoder, vae, unet).encode())
    digest.update(json.dumps(tokenizer.get_vocab(), sort_keys=True).encode())
    digest.update(json.dumps(schedule, sort_keys=True, default=str).encode())
    base = BaseModel(*parts, name=name, sha256=digest.hexdigest())
    if image_size not in (None, base.image_size) or cell not in (None, base.cell):
        raise ValueError(
            f"model.image_size={image_size}, model.cell={cell}: "
            f"the base at {path or 'assets'} has {base.image_size} and {base.cell}"
        )
    return base


def quiet_libraries() -> None:
    """Silence diffusers' and transformers' progress bars and their advice about optional packages."""
    for library in (diffusers_logging, transformers_logging):
        library.set_verbosity_error()
        library.disable_progress_bar()


def make_pipeline(kind: type[Any], base: BaseModel, scheduler: Any) -> Any:
    """A Stable Diffusion pipeline of this class that shares the base's modules, without a progress bar."""
    pipeline = kind(
        vae=base.vae,
        text_encoder=base.text_encoder,
        tokenizer=base.tokenizer,
        unet=base.unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def save_base(base: BaseModel, folder: Path, *, dtype: torch.dtype = torch.float16) -> None:
    """Write a folder in diffusers' layout that StableDiffusionImg2ImgPipeline.from_pretrained loads and runs.

    The text encoder's configuration always says float32: with fp16 there, transformers would keep the text
    encoder in fp16 while diffusers loads VAE and UNet in fp32, and calling the pipeline would fail.
    """
    pipeline = make_pipeline(StableDiffusionImg2ImgPipeline, base, base.noise_schedule)
    pipeline.to(dtype=dtype)
    pipeline.save_pretrained(folder)
    pipeline.to(dtype=torch.float32)
    # vocab.json and merges.txt, for older readers.
    base.tokenizer.backend_tokenizer.model.save(str(folder / "tokenizer"))
    for part in ("text_encoder", "unet", "vae"):
        for weights in (folder / part).glob("*.safetensors"):
            weights.chmod(0o644)  # safetensors writes 0600
        config_file = folder / part / "config.json"
        config = json.loads(config_file.read_text())
        config.pop("_name_or_path", None)  # a folder of this machine
        if part == "text_encoder":
            config["dtype"] = "float32"
        config_file.write_text(json.dumps(config, indent=2) + "\n")


def weights_sha256(*modules: nn.Module) -> str:
    """Digest of names, shapes and float32 values of all parameters and buffers; the dtype does not matter."""
    digest = hashlib.sha256()
    for module in modules:
        for name, tensor in sorted(module.state_dict().items()):
            digest.update(f"{name}{tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
