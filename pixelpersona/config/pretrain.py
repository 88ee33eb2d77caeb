"""Schemas of the command `pretrain`."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from pixelpersona.config.command import CommandConfig
from pixelpersona.config.dataset import DatasetConfig
from pixelpersona.config.field_kinds import NOT_NEGATIVE, SEED, SHARE
from pixelpersona.config.loop import Precision
from pixelpersona.config.model import ModelConfig
from pixelpersona.config.paths import PathsConfig
from pixelpersona.config.pixelate import PixelationConfig
from pixelpersona.config.postprocess import PostprocessConfig
from pixelpersona.config.tracker import TrackerConfig

Stage = StrEnum("Stage", ["all", "autoencoder", "unet", "portraits", "features", "landmarks", "measure"])
StageLrSchedule = StrEnum("StageLrSchedule", ["cosine", "constant"])


@dataclass(kw_only=True, slots=True)
class StageConfig:
    """Training of one stage with AdamW.

    num_steps: optimizer steps.
    batch_size: samples per step.
    lr: peak learning rate.
    lr_schedule: cosine (to zero), or constant with a linear decay at the end, which can be extended later.
    decay_share: share of num_steps over which a constant learning rate decays to zero, 0 to 1.
    num_warmup_steps: steps of linear warm-up.
    beta1: decay of AdamW's first moment.
    beta2: decay of AdamW's second moment.
    eps: AdamW's term in the denominator.
    weight_decay: AdamW's decoupled weight decay.
    max_grad_norm: gradients are clipped to this norm.
    ema_decay: largest decay of the exponential moving average of the weights, which the stage keeps.
    ema_power: its decay after n steps is 1 - (1 + n) ** -ema_power, up to ema_decay.
    checkpoint_every_steps: interval of the checkpoints.
    precision: fp32, bf16 or fp16.
    """

    num_steps: int
    batch_size: int
    lr: float = field(metadata=NOT_NEGATIVE)
    lr_schedule: StageLrSchedule
    decay_share: float
    num_warmup_steps: int
    beta1: float
    beta2: float
    eps: float
    weight_decay: float = field(metadata=NOT_NEGATIVE)
    max_grad_norm: float
    ema_decay: float
    ema_power: float
    checkpoint_every_steps: int
    precision: Precision


@dataclass(kw_only=True, slots=True)
class AutoencoderLossConfig:
    """Weights of the terms of the autoencoder's loss, and settings of its batches; all 0 or more.

    l1: absolute error of the pixels.
    squared_error: squared error of the pixels.
    gradient: absolute error of the differences of neighbouring pixels.
    edge: error of the mean brightness steps at cell borders and inside cells.
    colour: error of the mean colour of every cell.
    chroma: weight of chroma against luma in the colour error.
    taught: error of the three latent channels that are the colours of the cells.
    kl: KL divergence of the latents to the standard normal.
    block_share: share of every batch that becomes block images, 0 to 1.
    latent_noise: largest noise on the latents, in standard deviations.
    """

    l1: float = field(metadata=NOT_NEGATIVE)
    squared_error: float = field(metadata=NOT_NEGATIVE)
    gradient: float = field(metadata=NOT_NEGATIVE)
    edge: float = field(metadata=NOT_NEGATIVE)
    colour: float = field(metadata=NOT_NEGATIVE)
    chroma: float = field(metadata=NOT_NEGATIVE)
    taught: float = field(metadata=NOT_NEGATIVE)
    kl: float = field(metadata=NOT_NEGATIVE)
    block_share: float = field(metadata=SHARE)
    latent_noise: float = field(metadata=NOT_NEGATIVE)


@dataclass(kw_only=True, slots=True)
class AutoencoderConfig(StageConfig):
    """Training of the autoencoder.

    keep_encoder: with warm_start, train the decoder alone, so that latents keep their meaning.
    crop: side of the square crops it is trained on, pixels; a multiple of model.cell.
    art_share: share of the crops that are taken from pixel art (`pixelate`) instead of photos, 0 to 1.
    num_art_photos: training photos that are made into pixel art for this; the first ones.
    num_statistics_photos: training photos over which the latents are normalised.
    num_psnr_photos: val photos over which the PSNR is printed.
    """

    keep_encoder: bool
    crop: int
    art_share: float = field(metadata=SHARE)
    num_art_photos: int
    num_statistics_photos: int
    num_psnr_photos: int
    loss: AutoencoderLossConfig


@dataclass(kw_only=True, slots=True)
class DenoiserConfig(StageConfig):
    """Training of the UNet and the text encoder.

    snr_gamma: min-SNR weighting of the loss.
    caption_shares: shares of the plain caption, the style prompt, and the style prompt with the person.
    caption_dropout: share of empty captions, for classifier-free guidance.
    new_text_encoder: with warm_start, train a new tokenizer and text encoder on the captions.
    """

    snr_gamma: float
    caption_shares: list[float]
    caption_dropout: float
    new_text_encoder: bool


@dataclass(kw_only=True, slots=True)
class LandmarkCropConfig:
    """Random square crops of an aligned photo.

    min_side: smallest side of the crop, as a multiple of the photo's width.
    max_side: largest side.
    max_rotation_rad: largest rotation, in both directions, radians.
    max_shift: largest shift along each axis, as a fraction of the side.
    mirror_share: share of mirrored crops, 0 to 1.
    """

    min_side: float = field(metadata=NOT_NEGATIVE)
    max_side: float = field(metadata=NOT_NEGATIVE)
    max_rotation_rad: float = field(metadata=NOT_NEGATIVE)
    max_shift: float = field(metadata=NOT_NEGATIVE)
    mirror_share: float = field(metadata=SHARE)


@dataclass(kw_only=True, slots=True)
class LandmarkAugmentationConfig:
    """Random changes of the crops that move no landmark.

    max_log_gamma: largest logarithm of the gamma, in both directions.
    max_log_color: largest logarithm of the factor of each colour channel, in both directions.
    grey_share: share of grey crops, 0 to 1.
    blur_share: share of crops blurred by a 3x3 mean, 0 to 1.
    max_noise: largest standard deviation of the noise, for pixels in 0 to 1.
    box_share: share of crops that a box of one colour hides a part of, 0 to 1.
    min_box: smallest side of the box, as a fraction of the crop's, 0 to 1.
    max_box: largest side, 0 to 1.
    """

    max_log_gamma: float = field(metadata=NOT_NEGATIVE)
    max_log_color: float = field(metadata=NOT_NEGATIVE)
    grey_share: float = field(metadata=SHARE)
    blur_share: float = field(metadata=SHARE)
    max_noise: float = field(metadata=NOT_NEGATIVE)
    box_share: float = field(metadata=SHARE)
    min_box: float = field(metadata=SHARE)
    max_box: float = field(metadata=SHARE)


@dataclass(kw_only=True, slots=True)
class LandmarkLossConfig:
    """Weights of the loss's terms, and the target of the second.

    coordinates: absolute error of the coordinates, in fractions of the picture.
    heatmap: cross entropy of the heatmaps.
    target_std: standard deviation of the target heatmaps, as a fraction of the picture.
    """

    coordinates: float = field(metadata=NOT_NEGATIVE)
    heatmap: float = field(metadata=NOT_NEGATIVE)
    target_std: float = field(metadata=NOT_NEGATIVE)


@dataclass(kw_only=True, slots=True)
class LandmarksConfig(StageConfig):
    """Training of the landmark network on CelebA's aligned photos.

    num_statistics_batches: batches over which the statistics of batch norm are taken after training.
    crop: crops of the train photos.
    val_crop: crops of the val photos, for the error that is printed.
    augmentation: further changes of the train photos.
    loss: weights of the loss.
    """

    num_statistics_batches: int
    crop: LandmarkCropConfig
    val_crop: LandmarkCropConfig
    augmentation: LandmarkAugmentationConfig
    loss: LandmarkLossConfig


@dataclass(kw_only=True, slots=True)
class PortraitsConfig:
    """Synthetic portraits that the base draws from captions.

    num_kept: portraits to keep.
    num_drawn: portraits to draw and choose from.
    num_steps: sampling steps.
    num_val: kept portraits in the split val.
    num_test: kept portraits in the split test.
    guidance: scale of classifier-free guidance.
    copy_percentile: a portrait is dropped as a copy when it is at least as similar to a training photo as the
        most similar photos, this percentage of them, are to another photo.
    precision: fp32, bf16 or fp16.
    """

    num_kept: int
    num_drawn: int
    num_steps: int
    num_val: int
    num_test: int
    guidance: float
    copy_percentile: float
    precision: Precision


@dataclass(kw_only=True, slots=True)
class MeasureConfig:
    """What is measured of a base, on test photos.

    num_photos: photos for the autoencoder.
    num_faces: photos for the feature network.
    num_losses: photos for the loss by noise level.
    num_text_to_image: pictures drawn from captions, for KID.
    num_portraits: photos for img2img.
    num_steps: sampling steps.
    text_to_image_guidance: guidance of the pictures drawn from captions.
    strength: strength of img2img.
    guidance: guidance of img2img.
    card: Markdown file whose part between the "measured" comments is replaced; null for none.
    study: folder for numbers, losses and sheets of every stage; null for none.
    """

    num_photos: int
    num_faces: int
    num_losses: int
    num_text_to_image: int
    num_portraits: int
    num_steps: int
    text_to_image_guidance: float
    strength: float
    guidance: float
    card: Path | None
    study: Path | None


@dataclass(kw_only=True, slots=True)
class PretrainConfig(CommandConfig):
    """Make a base from photos: autoencoder, UNet and text encoder, portraits, feature and landmark networks.

    name: folder below paths.runs.
    stage: one stage, or all for autoencoder, unet and portraits.
    warm_start: start from the weights of `model`; see autoencoder.keep_encoder and unet.new_text_encoder.
    seed: random seed.
    """

    stage: Stage
    warm_start: bool
    seed: int = field(metadata=SEED)
    dataset: DatasetConfig
    pixelate: PixelationConfig
    model: ModelConfig
    autoencoder: AutoencoderConfig
    unet: DenoiserConfig
    features: StageConfig
    landmarks: LandmarksConfig
    portraits: PortraitsConfig
    measure: MeasureConfig
    postprocess: PostprocessConfig
    tracker: TrackerConfig
    paths: PathsConfig
