"""`pretrain stage=autoencoder`: the autoencoder of a base, from crops of the training photos."""

from dataclasses import asdict

import torch

from pixelpersona.config.pretrain import PretrainConfig
from pixelpersona.data.drawings import drawn_cells
from pixelpersona.data.photo_batches import CropBatches
from pixelpersona.evaluation.reconstruction import reconstruction
from pixelpersona.models import tiny
from pixelpersona.models.codec import normalise_latents, to_unit
from pixelpersona.pixel.pixelation import Pixelation
from pixelpersona.recipes.model import load_model
from pixelpersona.recipes.pretraining.stage import Photos, train_stage
from pixelpersona.terminal import say
from pixelpersona.training.objectives.autoencoder import AutoencoderLoss, AutoencoderObjective, fit_colours


def train_autoencoder(config: PretrainConfig, photos: Photos) -> None:
    """Write <run>/vae in diffusers' layout: the moving average, with latents of mean 0 and std 1 per channel.

    With warm_start it starts from the autoencoder of `model`; autoencoder.keep_encoder then trains only
    the decoder, so that the UNet's latents keep their meaning. Prints the PSNR on val photos.
    Raises ValueError when a new autoencoder is asked for another cell size than 4, or the crop does not fit.
    """
    stage, model, cell = config.autoencoder, config.model, config.model.cell
    if not config.warm_start and cell != tiny.CELL:
        raise ValueError(f"model.cell={cell}: accepted {tiny.CELL} for a new autoencoder")
    if stage.crop % cell or not cell <= stage.crop <= model.image_size:
        accepted = f"multiples of {cell} up to {model.image_size}"
        raise ValueError(f"autoencoder.crop={stage.crop}: accepted {accepted}")

    torch.manual_seed(config.seed)
    vae = load_model(model, any_size=True).vae if config.warm_start else tiny.build_vae(model.image_size)
    vae.to(memory_format=torch.channels_last)
    vae.requires_grad_(True)
    keep_encoder = config.warm_start and stage.keep_encoder
    for part in (vae.encoder, vae.quant_conv):
        part.requires_grad_(not keep_encoder)

    # The pictures: crops of photos and, if asked for, of pixel art.
    images, folder = photos.train(), photos.folder
    art = None
    if stage.art_share > 0.0:
        style, limit = Pixelation(**asdict(config.pixelate)), stage.num_art_photos
        drawings = drawn_cells(photos.train_file(), style, cell, folder / "art.npy", limit=limit)
        art = drawings.reshape(-1, *drawings.shape[2:])
    batches = CropBatches(
        images,
        art,
        art_share=stage.art_share,
        batch_size=stage.batch_size,
        crop=stage.crop,
        cell=cell,
        seed=config.seed,
    )
    sample = to_unit(images[: stage.num_statistics_photos])

    colours = fit_colours(vae, sample[:64].to(vae.device), cell) if config.warm_start else None
    objective = AutoencoderObjective(vae, AutoencoderLoss(**asdict(stage.loss)), cell=cell, colours=colours)
    identity = {"num_photos": len(images), "keep_encoder": keep_encoder}
    train_stage(objective, batches, stage, config, name="autoencoder", identity=identity)
    if not keep_encoder:
        with torch.no_grad():
            parts = [vae.encode(p.to(vae.device)).latent_dist.mode() for p in torch.split(sample, 32)]
        latents = torch.cat(parts)
        normalise_latents(vae, latents.mean(dim=(0, 2, 3)), latents.std(dim=(0, 2, 3)))

    target = folder / "vae"
    vae.save_pretrained(target)
    if photos.val_ids:
        quality = reconstruction(vae, photos.load(photos.val_ids[: stage.num_psnr_photos]))
        say(f"autoencoder: {quality.psnr:.2f} dB PSNR on val photos")
    say(f"wrote {target}")
