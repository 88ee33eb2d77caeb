"""`pretrain stage=landmarks dataset=celeba`: the network that finds facial landmarks in a photo."""

from dataclasses import asdict

import torch
from torch import Tensor
from torch.optim.swa_utils import update_bn

from pixelpersona.config.pretrain import PretrainConfig
from pixelpersona.data.aligned_photos import LandmarkCrop, aligned_file, aligned_photos, random_crops
from pixelpersona.data.generators import step_rng
from pixelpersona.data.landmark_batches import LandmarkAugmentation, LandmarkBatches
from pixelpersona.models.landmark_net import (
    INPUT_SIZE,
    LANDMARKS,
    WEIGHTS_FILE,
    LandmarkNet,
    save_landmark_net,
    soft_argmax,
)
from pixelpersona.recipes.pretraining.stage import Photos, train_stage
from pixelpersona.terminal import say
from pixelpersona.training.objectives.heatmaps import LandmarkLoss, LandmarksObjective

_NUM_VAL_BATCH = 64


def train_landmarks(config: PretrainConfig, photos: Photos) -> None:
    """Write <run>/landmarks.npz, float16, trained on CelebA's aligned photos; the labels are their alignment.

    Prints the mean error on val photos, per landmark in distances between the eyes.
    Raises ValueError naming a photo that is not 178x218 pixels.
    """
    stage, folder = config.landmarks, photos.folder
    if stage.num_statistics_batches < 1:
        raise ValueError(
            f"landmarks.num_statistics_batches={stage.num_statistics_batches}: accepted 1 or more"
        )
    images = aligned_file(photos.source, photos.ids, folder / "aligned.npy")
    batches = LandmarkBatches(
        images,
        LandmarkCrop(**asdict(stage.crop)),
        LandmarkAugmentation(**asdict(stage.augmentation)),
        size=INPUT_SIZE,
        batch_size=stage.batch_size,
        seed=config.seed,
    )
    torch.manual_seed(config.seed)
    net = LandmarkNet()
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    objective = LandmarksObjective(net, LandmarkLoss(**asdict(stage.loss)))
    train_stage(objective, batches, stage, config, name="landmarks", identity={"num_photos": len(images)})

    # The statistics of batch norm belong to the weights of training, not to their moving average, and
    # checkpoints do not contain them.
    steps = range(stage.num_steps, stage.num_steps + stage.num_statistics_batches)
    update_bn((batches.at(step).images for step in steps), net, device=net.heads.weight.device)

    file = folder / WEIGHTS_FILE
    save_landmark_net(net, file)
    if photos.val_ids:
        errors = landmark_errors(net, photos, LandmarkCrop(**asdict(stage.val_crop)))
        each = ", ".join(f"{name} {error:.3f}" for name, error in zip(LANDMARKS, errors.mean(0), strict=True))
        say(f"landmarks: mean error in eye distances on {len(errors)} val photos: {each}")
    say(f"wrote {file}")


@torch.no_grad()
def landmark_errors(net: LandmarkNet, photos: Photos, crop: LandmarkCrop) -> Tensor:
    """Errors on one crop of every val photo, the same in every run: float32 [N, 5], in eye distances."""
    device = net.heads.weight.device
    errors = []
    for start in range(0, len(photos.val_ids), _NUM_VAL_BATCH):
        pictures = aligned_photos(photos.source, photos.val_ids[start : start + _NUM_VAL_BATCH])
        shown = random_crops(pictures, crop, size=INPUT_SIZE, rng=step_rng(0, start, "val landmarks"))
        found = soft_argmax(net(shown.images.to(device))).cpu()
        eye_distance = (shown.landmarks[:, 0] - shown.landmarks[:, 1]).norm(dim=1, keepdim=True)
        errors.append((found - shown.landmarks).norm(dim=2) / eye_distance)
    return torch.cat(errors)
