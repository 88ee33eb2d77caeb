"""The stages of `pretrain` that make the base: photos → autoencoder → UNet and text encoder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pixelpersona.build.training import Precision
from pixelpersona.writing import whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pixelpersona.data.sources import PhotoSource
    from pixelpersona.models.base import BaseModel
    from pixelpersona.training.pretraining import OpenTracker, StageRun

_NUM_FOR_STATISTICS = 512
_HELDOUT_FOR_PSNR = 256


@dataclass(kw_only=True, slots=True)
class StageConfig:
    """One stage's training. lr: peak learning rate of its cosine.

    precision: bf16 halves the time on a CPU with AMX or AVX-512 bf16 and on a GPU; weights stay fp32.
    """

    num_steps: int = 2000
    batch_size: int = 16
    lr: float = 1e-3
    checkpoint_every_steps: int = 100
    precision: Precision = Precision.fp32


class Photos:
    """The training photos of a source, read once and kept as one array beside the runs."""

    def __init__(self, source: "PhotoSource", folder: Path, size: int) -> None:
        self.source, self.folder, self.size = source, folder, size
        self.ids = [photo_id for photo_id in source.ids() if source.split(photo_id) == "train"]
        self.heldout_ids = [photo_id for photo_id in source.ids() if source.split(photo_id) == "heldout"]

    def train(self) -> "NDArray[np.uint8]":
        """uint8 [N, size, size, 3], memory-mapped; what is written to it never reaches the file."""
        from pixelpersona.data.pretraining import photo_array

        file = self.folder / "photos.npy"
        if not file.is_file():
            made = photo_array(self.source, self.ids, self.size)
            with whole(file) as draft, draft.open("wb") as opened:
                np.save(opened, made)
        photos: NDArray[np.uint8] = np.load(file, mmap_mode="c")
        if len(photos) != len(self.ids):
            raise ValueError(f"{file}: made from other photos; delete it or choose another paths.runs")
        return photos

    def heldout(self, limit: int) -> "NDArray[np.uint8]":
        from pixelpersona.data.pretraining import photo_array

        return photo_array(self.source, self.heldout_ids[:limit], self.size)


def stage_run(stage: StageConfig, folder: Path, open_tracker: "OpenTracker", seed: int) -> "StageRun":
    """One stage's settings as its training takes them. folder: of this stage."""
    from pixelpersona.training.pretraining import StageRun

    return StageRun(
        folder=folder,
        open_tracker=open_tracker,
        num_steps=stage.num_steps,
        batch_size=stage.batch_size,
        lr=stage.lr,
        checkpoint_every_steps=stage.checkpoint_every_steps,
        precision=stage.precision.value,
        seed=seed,
    )


def train_autoencoder_stage(
    photos: Photos,
    folder: Path,
    stage: StageConfig,
    open_tracker: "OpenTracker",
    seed: int,
    start: "BaseModel | None" = None,
) -> None:
    """Writes folder/vae: trained, EMA, latents of mean 0 and deviation 1 per channel.

    start: a base whose encoder is kept and whose decoder trains on.
    """
    import torch

    from pixelpersona.evaluation.reconstruction import reconstruction
    from pixelpersona.models import tiny
    from pixelpersona.models.codec import normalise_latents, to_unit
    from pixelpersona.training.pretraining import train_autoencoder

    torch.manual_seed(seed)
    vae = start.vae if start else tiny.build_vae()
    images = photos.train()
    run = stage_run(stage, folder / "autoencoder", open_tracker, seed)
    train_autoencoder(vae, images, run, keep_encoder=start is not None)
    if start is None:
        with torch.no_grad():
            parts = [to_unit(images[i : i + 32]) for i in range(0, min(len(images), _NUM_FOR_STATISTICS), 32)]
            latents = torch.cat([vae.encode(part).latent_dist.mode() for part in parts])
        normalise_latents(vae, latents.mean(dim=(0, 2, 3)), latents.std(dim=(0, 2, 3)))
    vae.save_pretrained(folder / "vae")
    if photos.heldout_ids:
        quality = reconstruction(vae, photos.heldout(_HELDOUT_FOR_PSNR))
        print(f"autoencoder: {quality.psnr:.2f} dB PSNR on held-out photos")
    print(f"wrote {folder / 'vae'}")


def train_unet_stage(
    photos: Photos,
    folder: Path,
    stage: StageConfig,
    open_tracker: "OpenTracker",
    seed: int,
    prompt: str,
    start: "BaseModel | None" = None,
) -> None:
    """Writes folder/base in diffusers' layout, weights in fp16. start: a base to train on from."""
    from pixelpersona.data.pretraining import encode_photos, read_captions
    from pixelpersona.models.base import save_base
    from pixelpersona.models.codec import Codec
    from pixelpersona.training.pretraining import train_denoiser

    captions = read_captions(photos.source, photos.ids, prompt)
    base = _untrained_base(folder, captions, seed) if start is None else _with_newer_vae(start, folder)
    latents = encode_photos(photos.train(), Codec(base, batch_size=64), folder / "latents.npy")
    run = stage_run(stage, folder / "unet", open_tracker, seed)
    train_denoiser(base, latents, [*captions, *captions], run)
    save_base(base, folder / "base")
    print(f"wrote {folder / 'base'}")


def _untrained_base(folder: Path, captions: Sequence[tuple[str, ...]], seed: int) -> "BaseModel":
    """The autoencoder of folder/vae with a new tokenizer, text encoder and UNet."""
    import torch
    from diffusers import AutoencoderKL

    from pixelpersona.models import tiny
    from pixelpersona.models.base import BaseModel
    from pixelpersona.models.tokenizer import train_tokenizer

    if not (folder / "vae").is_dir():
        raise ValueError(f"{folder / 'vae'}: no autoencoder yet; run stage=autoencoder first")
    tokenizer = train_tokenizer((text for spellings in captions for text in spellings), folder / "tokenizer")
    torch.manual_seed(seed + 1)
    vae: AutoencoderKL = AutoencoderKL.from_pretrained(folder / "vae").requires_grad_(False).eval()
    return BaseModel(
        tokenizer=tokenizer,
        text_encoder=tiny.build_text_encoder(len(tokenizer), tokenizer.bos_token_id, tokenizer.eos_token_id),
        vae=vae,
        unet=tiny.build_unet(),
        noise_schedule=tiny.build_noise_schedule(),
        name="tiny",
        sha256="",
    )


def _with_newer_vae(start: "BaseModel", folder: Path) -> "BaseModel":
    """`start` with the autoencoder that this run trained on from start's, if it did."""
    from dataclasses import replace

    from diffusers import AutoencoderKL

    if not (folder / "vae").is_dir():
        return start
    vae: AutoencoderKL = AutoencoderKL.from_pretrained(folder / "vae").requires_grad_(False).eval()
    return replace(start, vae=vae)
