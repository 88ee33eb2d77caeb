"""`pretrain stage=unet`: UNet and text encoder of a base, on latents of the training photos."""

from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from transformers import CLIPTokenizer

from pixelpersona.config.pretrain import PretrainConfig
from pixelpersona.data.photo_batches import CaptionedLatentBatches, encode_photos, read_captions
from pixelpersona.models import tiny
from pixelpersona.models.base import BaseModel, save_base
from pixelpersona.models.codec import Codec, tokenize
from pixelpersona.models.tokenizer import train_tokenizer
from pixelpersona.recipes.model import load_model
from pixelpersona.recipes.pretraining.stage import Photos, train_stage
from pixelpersona.terminal import say
from pixelpersona.training.checkpoints import list_checkpoints
from pixelpersona.training.objectives.diffusion import DiffusionObjective


def train_denoiser(config: PretrainConfig, photos: Photos) -> None:
    """Write <run>/base in diffusers' layout: the autoencoder of the run with a trained UNet and text encoder.

    Trains on the latents of every photo and of its mirror image, encoded once, and saves the moving average
    in fp16. With warm_start it starts from `model`, with unet.new_text_encoder except for its tokenizer and
    text encoder.
    Raises ValueError when there is no autoencoder, or when the tokenizer would truncate a caption.
    """
    stage, folder = config.unet, photos.folder
    captions = read_captions(photos.source, photos.ids, config.model.prompt)
    base = _initial_base(config, folder, captions)
    texts = sorted({text for spellings in captions for text in spellings})
    lengths = [len(ids) for ids in base.tokenizer(texts).input_ids]
    longest, accepted = max(lengths), base.tokenizer.model_max_length
    if longest > accepted:
        is_new = not config.warm_start or stage.new_text_encoder
        advice = "" if is_new else ", or unet.new_text_encoder=true"
        text = texts[lengths.index(longest)]
        raise ValueError(f'caption "{text}" has {longest} tokens: accepted up to {accepted}{advice}')

    latents = encode_photos(photos.train(), Codec(base, batch_size=64), folder / "latents.npy")
    ids = dict(zip(texts, tokenize(base, texts), strict=True))
    tokens = torch.stack([torch.stack([ids[text] for text in spellings]) for spellings in captions])
    batches = CaptionedLatentBatches(
        latents,
        torch.cat([tokens, tokens]),  # mirror images have the same captions
        tokenize(base, [""])[0],
        batch_size=stage.batch_size,
        seed=config.seed,
        caption_shares=stage.caption_shares,
        dropout=stage.caption_dropout,
    )
    unet, text_encoder = base.unet, base.text_encoder
    unet.to(memory_format=torch.channels_last)
    unet.requires_grad_(True)
    text_encoder.requires_grad_(True)
    objective = DiffusionObjective(
        unet, base.noise_schedule, text_encoder=text_encoder, snr_gamma=stage.snr_gamma
    )
    identity = {"num_photos": len(latents), "new_text_encoder": stage.new_text_encoder}
    train_stage(objective, batches, stage, config, name="unet", identity=identity)
    save_base(base, folder / "base")
    say(f"wrote {folder / 'base'}")


def _initial_base(config: PretrainConfig, folder: Path, captions: Sequence[Sequence[str]]) -> BaseModel:
    """The base before training: the run's autoencoder with new parts, or with those of `model`."""
    model = config.model
    start = load_model(model, prediction_type="epsilon", any_size=True) if config.warm_start else None
    torch.manual_seed(config.seed + 1)
    if (folder / "vae").is_dir():
        vae = AutoencoderKL.from_pretrained(folder / "vae")
    elif start is not None:
        vae = start.vae
    else:
        raise ValueError(f"{folder / 'vae'}: no autoencoder yet; run stage=autoencoder first")
    if start is None or config.unet.new_text_encoder:
        files = folder / "tokenizer" / "vocab.json", folder / "tokenizer" / "merges.txt"
        # Training it again numbers the tokens differently, and a checkpoint's text encoder would not fit.
        if not (list_checkpoints(folder / "unet" / "checkpoints") and files[1].is_file()):
            train_tokenizer((text for spellings in captions for text in spellings), folder / "tokenizer")
        tokenizer = CLIPTokenizer(*map(str, files), model_max_length=tiny.TEXT_LENGTH)
        text_encoder = tiny.build_text_encoder(len(tokenizer), tokenizer.bos_token_id, tokenizer.eos_token_id)
    else:
        tokenizer, text_encoder = start.tokenizer, start.text_encoder
    unet = tiny.build_unet(model.image_size // model.cell) if start is None else start.unet
    noise_schedule = tiny.build_noise_schedule() if start is None else start.noise_schedule
    device = "cuda" if torch.cuda.is_available() else "cpu"
    for module in (vae, text_encoder, unet):
        module.requires_grad_(False).eval().to(device)
    return BaseModel(tokenizer, text_encoder, vae, unet, noise_schedule, name=model.name, sha256="")
