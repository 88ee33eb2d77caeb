"""The Stable Diffusion bundle: one loader for SD 1.5 and for the packaged tiny base."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionImg2ImgPipeline, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextModel, CLIPTokenizer

_PARTS = ("tokenizer", "text_encoder", "vae", "unet", "scheduler")


@dataclass(frozen=True, slots=True)
class BaseModel:
    """Everything that one Stable Diffusion model is, all parts frozen and in eval mode.

    sha256 covers every weight and configuration that changes a picture; caches and results carry it.
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


def load_base(path: Path | str, *, name: str, dtype: torch.dtype = torch.float32) -> BaseModel:
    """Load a folder in diffusers' layout, or a hub id such as stable-diffusion-v1-5/stable-diffusion-v1-5.

    Raises ValueError naming the path when it is neither, or when a part is missing.
    """
    source = str(path)
    folder = Path(path)
    if folder.is_dir():
        missing = [part for part in _PARTS if not (folder / part).is_dir()]
        if missing:
            raise ValueError(
                f"model.path={source}: no {', '.join(missing)} folder; expected diffusers' layout"
            )
    elif source.count("/") != 1 or folder.is_absolute() or source.startswith("."):
        raise ValueError(f"model.path={source}: no such folder (a folder in diffusers' layout, or a hub id)")
    try:
        base = BaseModel(
            tokenizer=CLIPTokenizer.from_pretrained(source, subfolder="tokenizer"),
            text_encoder=CLIPTextModel.from_pretrained(source, subfolder="text_encoder", dtype=dtype),
            vae=AutoencoderKL.from_pretrained(source, subfolder="vae", torch_dtype=dtype),
            unet=UNet2DConditionModel.from_pretrained(source, subfolder="unet", torch_dtype=dtype),
            noise_schedule=DDIMScheduler.from_pretrained(source, subfolder="scheduler"),
            name=name,
            sha256="",
        )
    except OSError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"model.path={source}: cannot be loaded ({reason})") from error
    for module in (base.text_encoder, base.vae, base.unet):
        module.requires_grad_(False).eval()
    for module in (base.vae, base.unet):  # the layout convolutions are fastest in: a sixth less time on a CPU
        module.to(memory_format=torch.channels_last)
    return _sealed(base)


def save_base(base: BaseModel, folder: Path, *, dtype: torch.dtype = torch.float16) -> None:
    """Write diffusers' folder layout that StableDiffusionImg2ImgPipeline.from_pretrained loads and runs.

    The text encoder's configuration names float32 whatever the file holds: transformers would keep
    fp16 weights in fp16 while diffusers loads VAE and UNet in fp32, and calling the pipeline would fail.
    """
    pipeline = StableDiffusionImg2ImgPipeline(
        vae=base.vae,
        text_encoder=base.text_encoder,
        tokenizer=base.tokenizer,
        unet=base.unet,
        scheduler=base.noise_schedule,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.to(dtype=dtype)
    pipeline.save_pretrained(folder)
    pipeline.to(dtype=torch.float32)
    base.tokenizer.backend_tokenizer.model.save(
        str(folder / "tokenizer")
    )  # vocab.json, merges.txt: older readers
    for part in ("text_encoder", "unet", "vae"):
        config_file = folder / part / "config.json"
        config = json.loads(config_file.read_text())
        config.pop("_name_or_path", None)  # where it was loaded from: a folder of this machine
        if part == "text_encoder":
            config["dtype"] = "float32"
        config_file.write_text(json.dumps(config, indent=2) + "\n")


def weights_sha256(*modules: nn.Module) -> str:
    """Digest of every parameter and buffer (name, shape, fp32 values), independent of how it was stored."""
    digest = hashlib.sha256()
    for module in modules:
        for name, tensor in sorted(module.state_dict().items()):
            digest.update(f"{name}{tuple(tensor.shape)}".encode())
            if not tensor.is_meta:
                digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _sealed(base: BaseModel) -> BaseModel:
    schedule = json.dumps(
        {k: v for k, v in base.noise_schedule.config.items() if not k.startswith("_")},
        sort_keys=True,
        default=str,
    )
    digest = hashlib.sha256(weights_sha256(base.text_encoder, base.vae, base.unet).encode())
    digest.update(json.dumps(base.tokenizer.get_vocab(), sort_keys=True).encode())
    digest.update(schedule.encode())
    return BaseModel(
        tokenizer=base.tokenizer,
        text_encoder=base.text_encoder,
        vae=base.vae,
        unet=base.unet,
        noise_schedule=base.noise_schedule,
        name=base.name,
        sha256=digest.hexdigest(),
    )
