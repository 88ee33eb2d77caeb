"""`pretrain stage=autoencoder`: the autoencoder of a base, from crops of the training photos."""

import torch

from pixelpersona.config.pretrain import PretrainConfig
from pixelpersona.data.photo_batches import CropBatches
from pixelpersona.evaluation.reconstruction import reconstruction
from pixelpersona.models import tiny
from pixelpersona.models.codec import normalise_latents, to_unit
from pixelpersona.recipes.model import load_model
from pixelpersona.recipes.pretraining.stage import Photos, train_stage
from pixelpersona.training.objectives.autoencoder import AutoencoderObjective


def train_autoencoder(config: PretrainConfig, photos: Photos) -> None:
    """Write <run>/vae in diffusers' layout: the moving average, with latents of mean 0 and std 1 per channel.

    With warm_start the encoder of `model` is kept and only its decoder is trained, so that the UNet's latents
    keep their meaning. Prints the PSNR on val photos.
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
    for part in (vae.encoder, vae.quant_conv):
        part.requires_grad_(not config.warm_start)

    images = photos.train()
    batches = CropBatches(images, batch_size=stage.batch_size, crop=stage.crop, cell=cell, seed=config.seed)
    identity = {"num_photos": len(images), "keep_encoder": config.warm_start}
    objective = AutoencoderObjective(vae, cell=cell)
    train_stage(objective, batches, stage, config, name="autoencoder", identity=identity)
    if not config.warm_start:
        sample = images[: stage.num_statistics_photos]
        with torch.no_grad():
            parts = [to_unit(sample[i : i + 32]).to(vae.device) for i in range(0, len(sample), 32)]
            latents = torch.cat([vae.encode(part).latent_dist.mode() for part in parts])
        normalise_latents(vae, latents.mean(dim=(0, 2, 3)), latents.std(dim=(0, 2, 3)))

    target = photos.folder / "vae"
    vae.save_pretrained(target)
    if photos.val_ids:
        quality = reconstruction(vae, photos.load(photos.val_ids[: stage.num_psnr_photos]))
        print(f"autoencoder: {quality.psnr:.2f} dB PSNR on val photos")
    print(f"wrote {target}")
