"""`python -m pixelpersona.pixelate photo=IN out=OUT`: a picture, a GIF or a folder to pixel art, no model."""

from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import MISSING

from pixelpersona.build.data import PathsConfig
from pixelpersona.door import door
from pixelpersona.pixel.pixelation import Pixelation


@dataclass(kw_only=True, slots=True)
class PixelateConfig:
    """photo: a picture, a GIF or a folder of both. out: .png, .gif or a folder. scale: pixels per cell, 1-64.

    shared: one palette over a whole folder. palette_out: a file the palette is written to (.hex .gpl .pal
    .act .png; of one picture, or shared). num_workers: processes for a folder, null for all cores.
    """

    name: str = "pixelate"
    timing: Path | None = None
    photo: Path = MISSING
    out: Path = MISSING
    scale: int = 1
    shared: bool = False
    palette_out: Path | None = None
    num_workers: int | None = None
    pixelate: Pixelation = field(default_factory=Pixelation)
    paths: PathsConfig = field(default_factory=PathsConfig)


@door("pixelate", PixelateConfig)
def main(config: PixelateConfig) -> None:
    """Check everything, then draw."""
    from pixelpersona.pixel.palette_files import PALETTE_SUFFIXES

    if not 1 <= config.scale <= 64:
        raise ValueError(f"scale={config.scale}: accepted 1 to 64")
    if config.palette_out is not None and config.palette_out.suffix.lower() not in PALETTE_SUFFIXES:
        accepted = ", ".join(sorted(PALETTE_SUFFIXES))
        raise ValueError(f"palette_out={config.palette_out}: accepted {accepted}")
    config.pixelate.check()
    if config.photo.is_dir():
        _folder(config)
    else:
        _file(config)


def _file(config: PixelateConfig) -> None:
    from pixelpersona.pixel.batch import FileJob, FilePixelator, fit_file
    from pixelpersona.pixel.palette_files import write_palette
    from pixelpersona.pixel.photo import CLIP_SUFFIXES, PhotoError

    suffix = ".gif" if config.photo.suffix.lower() in CLIP_SUFFIXES else ".png"
    if config.out.suffix.lower() != suffix:
        raise ValueError(f"out={config.out}: accepted a name that ends in {suffix}")
    config.out.parent.mkdir(parents=True, exist_ok=True)
    fitted = fit_file(config.pixelate, config.photo) if config.palette_out is not None else None
    reason = FilePixelator(config.pixelate, config.scale, fitted)(FileJob(config.photo, config.out))
    if reason is not None:
        raise PhotoError(reason, str(config.photo))
    print(f"wrote {config.out}")
    if fitted is not None and config.palette_out is not None:
        write_palette(fitted.palette, config.palette_out)
        print(f"wrote {config.palette_out}")


def _folder(config: PixelateConfig) -> None:
    from pixelpersona.pixel.batch import REJECTED, FilePixelator, fit_shared, pixelate_folder, plan_folder
    from pixelpersona.pixel.palette_files import write_palette

    if config.out.exists() and not config.out.is_dir():
        raise ValueError(f"out={config.out}: is a file; a folder of photos needs a folder")
    if config.palette_out is not None and not config.shared:
        raise ValueError("palette_out: each picture of a folder has its own; accepted with shared=true")
    jobs = plan_folder(config.photo, config.out)
    fitted = fit_shared(config.pixelate, jobs) if config.shared else None
    pixelate = FilePixelator(config.pixelate, config.scale, fitted)
    rejected = pixelate_folder(jobs, pixelate, config.out, num_workers=config.num_workers)
    if len(rejected) == len(jobs):
        file, reason = next(iter(rejected.items()))
        raise ValueError(
            f"{config.photo}: none of {len(jobs)} pictures can be used; the first: {file}: {reason}"
        )
    if fitted is not None and config.palette_out is not None:
        write_palette(fitted.palette, config.palette_out)
    told = f"; {len(rejected)} cannot be used, see {config.out / REJECTED}" if rejected else ""
    print(f"wrote {len(jobs) - len(rejected)} pictures to {config.out}{told}")


if __name__ == "__main__":
    main()
