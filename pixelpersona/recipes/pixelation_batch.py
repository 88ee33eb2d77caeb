"""Pixel art without a model: a picture, a GIF, or a folder of both. No torch."""

import os
from dataclasses import asdict

from pixelpersona.config.pixelate import PixelateConfig
from pixelpersona.files import check_targets
from pixelpersona.pixel.batch import (
    REJECTED,
    FileJob,
    FilePixelator,
    fit_file,
    fit_shared,
    pixelate_folder,
    plan_folder,
)
from pixelpersona.pixel.palette_files import PALETTE_SUFFIXES, write_palette
from pixelpersona.pixel.photo import PhotoError
from pixelpersona.pixel.photo_formats import CLIP_SUFFIXES
from pixelpersona.pixel.pixelation import Pixelation
from pixelpersona.terminal import say, warn


def pixelate(config: PixelateConfig) -> None:
    """Check all settings, then draw. Raises ValueError, or PhotoError for a file that cannot be read."""
    if not 1 <= config.scale <= 64:
        raise ValueError(f"scale={config.scale}: accepted 1 to 64")
    if config.palette_out is not None and config.palette_out.suffix.lower() not in PALETTE_SUFFIXES:
        raise ValueError(f"palette_out={config.palette_out}: accepted {', '.join(sorted(PALETTE_SUFFIXES))}")
    recipe = Pixelation(**asdict(config.pixelate))
    recipe.check()
    if config.photo.is_dir():
        _pixelate_folder(config, recipe)
    else:
        _pixelate_file(config, recipe)


def _pixelate_file(config: PixelateConfig, recipe: Pixelation) -> None:
    if not config.photo.exists():
        raise ValueError(f"photo={config.photo}: no such file or folder")
    targets = {"out": config.out, "palette_out": config.palette_out}
    check_targets(config.photo, targets, overwrite=config.overwrite)
    suffix = ".gif" if config.photo.suffix.lower() in CLIP_SUFFIXES else ".png"
    if config.out.suffix.lower() != suffix:
        raise ValueError(f"out={config.out}: accepted a name that ends in {suffix}")
    fitted = fit_file(recipe, config.photo) if config.palette_out is not None else None
    reason = FilePixelator(recipe, config.scale, fitted)(FileJob(config.photo, config.out))
    if reason is not None:
        raise PhotoError(reason, str(config.photo))
    say(f"wrote {config.out}")
    if fitted is not None and config.palette_out is not None:
        write_palette(fitted.palette, config.palette_out)
        say(f"wrote {config.palette_out}")


def _pixelate_folder(config: PixelateConfig, recipe: Pixelation) -> None:
    """Files that cannot be read are counted, and listed in rejected.jsonl."""
    if config.out.exists() and not config.out.is_dir():
        raise ValueError(f"out={config.out}: is a file; a folder of photos needs a folder")
    if config.palette_out is not None and not config.shared:
        raise ValueError("palette_out: each picture of a folder has its own; accepted with shared=true")
    jobs, left_out = plan_folder(config.photo, config.out)
    if left_out:
        warn(f"{config.photo}: {left_out}")
    if config.palette_out is not None:
        pictures = {os.path.realpath(file) for job in jobs for file in (job.source, job.target)}
        if os.path.realpath(config.palette_out) in pictures:
            raise ValueError(
                f"palette_out={config.palette_out}: is a picture of the folder; accepted another name"
            )
    fitted = fit_shared(recipe, jobs) if config.shared else None
    pixelator = FilePixelator(recipe, config.scale, fitted)
    rejected = pixelate_folder(jobs, pixelator, config.out, num_workers=config.num_workers)
    if len(rejected) == len(jobs):
        file, reason = next(iter(rejected.items()))
        raise ValueError(
            f"{config.photo}: none of {len(jobs)} pictures can be used; the first: {file}: {reason}"
        )
    if fitted is not None and config.palette_out is not None:
        write_palette(fitted.palette, config.palette_out)
    note = f"; {len(rejected)} cannot be used, see {config.out / REJECTED}" if rejected else ""
    say(f"wrote {len(jobs) - len(rejected)} pictures to {config.out}{note}")
