"""`pretrain stage=features`: the feature network that portraits are scored with."""

from dataclasses import asdict

import numpy as np
import torch

from pixelpersona.config.pretrain import PretrainConfig
from pixelpersona.data.attributes import read_attributes
from pixelpersona.data.drawings import drawn_cells
from pixelpersona.data.views import ViewBatches
from pixelpersona.models.persona_net import ETHNICITIES, GENDERS, IMAGE_SIZE, PersonaNet, save_persona_net
from pixelpersona.pixel.pixelation import Pixelation
from pixelpersona.recipes.pretraining.stage import Photos, train_stage
from pixelpersona.terminal import say
from pixelpersona.training.objectives.contrastive import FeaturesObjective


def train_features(config: PretrainConfig, photos: Photos) -> None:
    """Write <run>/persona/persona.safetensors in fp16, trained on photos, drawings of them and captions.

    The network sees 128x128 pixels whatever the base's size, and as many cells as the base's pixel art has.
    `pixelate` is the style of the drawings that are not made in simpler ways (see `drawn_cells`).
    """
    stage, folder = config.features, photos.folder
    file = photos.train_file(IMAGE_SIZE)
    images = np.load(file, mmap_mode="c")
    style = Pixelation(**asdict(config.pixelate))
    cell = config.model.cell * IMAGE_SIZE // config.model.image_size
    batches = ViewBatches(
        images,
        drawn_cells(file, style, cell, folder / "drawings.npy"),
        [read_attributes(photos.source.caption(photo_id)) for photo_id in photos.ids],
        genders=GENDERS,
        ethnicities=ETHNICITIES,
        batch_size=stage.batch_size,
        seed=config.seed,
    )
    torch.manual_seed(config.seed)
    net = PersonaNet()
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    identity = {"num_photos": len(images)}
    train_stage(FeaturesObjective(net), batches, stage, config, name="features", identity=identity)
    say(f"wrote {save_persona_net(net, folder / 'persona')}")
