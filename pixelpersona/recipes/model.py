"""The base model of a configuration: loading it, and recognising it without loading."""

from pathlib import Path

from pixelpersona.assets.locate import path as asset
from pixelpersona.config.dataset import DatasetConfig
from pixelpersona.config.model import ModelConfig
from pixelpersona.models.base import BaseModel, load_base
from pixelpersona.runs.digests import files_stamp


def load_model(
    model: ModelConfig, *, prediction_type: str | None = None, any_size: bool = False
) -> BaseModel:
    """The base, in the sizes of the configuration. prediction_type, errors: see `load_base`.

    any_size: accept a base of another image size, and set the UNet's to that of the configuration. The UNet
    works at any size, but draws well only at those that it was trained at.
    """
    base = load_base(
        model.path,
        name=model.name,
        image_size=None if any_size else model.image_size,
        cell=model.cell,
        prediction_type=prediction_type,
    )
    base.unet.register_to_config(sample_size=model.image_size // model.cell)
    return base


def base_stamp(model: ModelConfig) -> str:
    """Changes when the files of the base do, without loading it; a hub id stands for itself."""
    folder = asset("tiny") if model.path is None else Path(model.path)
    return files_stamp(folder) if folder.is_dir() else str(model.path)


def picture_framing(dataset: DatasetConfig, model: ModelConfig) -> str:
    """How the faces of a data set are framed, one of `framing.FRAMINGS`.

    Photos of which the centre is taken (`dataset.framing=center`) count as framed for the model already.
    """
    return model.framing if dataset.framing == "center" else dataset.framing
