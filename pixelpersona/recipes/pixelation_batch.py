"""Pixel art without a model: a picture, a GIF, or a folder of both. No torch."""

import os
from dataclasses import asdict, replace

import numpy as np

from pixelpersona.config.pixelate import PixelateConfig
from pixelpersona.files import check_targets, whole
from pixelpersona.pixel.batch import (
    REJECTED,
    FileJob,
    FilePixelator,
    fit_file,
    fit_shared,
    pixelate_folder,
    plan_folder,
)
from pixelpersona.pixel.exposure import expose
from pixelpersona.pixel.framing import crop_framed, needs_face
from pixelpersona.pixel.palette_files import PALETTE_SUFFIXES, write_palette
from pixelpersona.pixel.photo import PhotoError, open_photo
from pixelpersona.pixel.photo_formats import CLIP_SUFFIXES
from pixelpersona.pixel.pixelation import Pixelation
from pixelpersona.pixel.pixelator import Pixelator
from pixelpersona.pixel.snap import save_png
from pixelpersona.recipes.face_choice import ALL_FACES, check_face, choose_faces, numbered_files
from pixelpersona.terminal import say, warn

_PIXELS_PER_CELL = 8  # of a cropped face


def pixelate(config: PixelateConfig) -> None:
    """Check all settings, then draw. Raises ValueError, or PhotoError for a file that cannot be read."""
    if not 1 <= config.scale <= 64:
        raise ValueError(f"scale={config.scale}: accepted 1 to 64")
    if config.palette_out is not None and config.palette_out.suffix.lower() not in PALETTE_SUFFIXES:
        raise ValueError(f"palette_out={config.palette_out}: accepted {', '.join(sorted(PALETTE_SUFFIXES))}")
    recipe = Pixelation(**asdict(config.pixelate))
    recipe.check()
    check_face(config.face, config.framing)
    if not config.photo.exists():
        raise ValueError(f"photo={config.photo}: no such file or folder")
    is_clip = config.photo.suffix.lower() in CLIP_SUFFIXES
    if config.framing is not None and (config.photo.is_dir() or is_clip):
        raise ValueError(f"framing={config.framing}: accepted null for a {'GIF' if is_clip else 'folder'}")
    if config.photo.is_dir():
        _pixelate_folder(config, recipe)
    elif config.framing is not None:
        _pixelate_faces(config, recipe, config.framing)
    else:
        _pixelate_file(config, recipe)


def _pixelate_file(config: PixelateConfig, recipe: Pixelation) -> None:
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


def _pixelate_faces(config: PixelateConfig, recipe: Pixelation, framing: str) -> None:
    """Crop the photo around its faces, and draw each as a square."""
    has_face = needs_face(framing)
    side = recipe.width or recipe.height
    if side is None or recipe.factor is not None:
        raise ValueError(f"framing={framing}: needs pixelate.width, the number of cells, and no factor")
    if recipe.height not in (None, side):
        raise ValueError(
            f"pixelate.height={recipe.height}: accepted pixelate.width={side}; a face is a square"
        )
    if config.out.suffix.lower() != ".png":
        raise ValueError(f"out={config.out}: accepted a name that ends in .png")
    if config.palette_out is not None and config.face == ALL_FACES:
        raise ValueError("palette_out: each face has its own; accepted with another face than all")
    targets = {"out": config.out, "palette_out": config.palette_out}
    check_targets(config.photo, targets, overwrite=config.overwrite)
    photo = open_photo(config.photo)
    faces = choose_faces(config.photo, photo, config.face) if has_face else [None]
    outs = [config.out] if config.face != ALL_FACES else numbered_files(config.out, len(faces))
    for out in outs:
        check_targets(config.photo, {"out": out}, overwrite=config.overwrite)
    for face, out in zip(faces, outs, strict=True):
        square = expose(crop_framed(photo, side * _PIXELS_PER_CELL, framing, face))
        snapped = Pixelator(replace(recipe, width=side, height=side)).fit_apply(np.asarray(square)).snapped
        with whole(out) as draft:
            save_png(snapped, draft, config.scale)
        say(f"wrote {out}")
        if config.palette_out is not None:
            write_palette(snapped.palette, config.palette_out)
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
