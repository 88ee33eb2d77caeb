"""Stylization: one photo → one pixel-art portrait."""

from dataclasses import asdict
from pathlib import Path

from PIL import Image

from pixelpersona.config.stylize import StylizeConfig
from pixelpersona.files import check_targets, whole
from pixelpersona.inference.portrait import Portrait
from pixelpersona.inference.sampler import Sampler
from pixelpersona.inference.search import best_portrait, most_alike
from pixelpersona.inference.stylizer import Stylizer
from pixelpersona.models.adapter import adapter_file, merge_lora
from pixelpersona.pixel.exposure import expose
from pixelpersona.pixel.faces import Face, find_face, find_others
from pixelpersona.pixel.framing import crop_framed, needs_face
from pixelpersona.pixel.photo import open_photo
from pixelpersona.pixel.postprocess import Postprocess
from pixelpersona.pixel.snap import save_png
from pixelpersona.recipes.model import load_model
from pixelpersona.terminal import say, warn


def stylize(config: StylizeConfig) -> None:
    """Find the face, crop, draw the candidates, keep the best, postprocess, write both pictures.

    Settings and photo are checked before a model is loaded. Raises ValueError or PhotoError.
    """
    check_stylize(config)
    postprocess = Postprocess(**asdict(config.postprocess))
    strengths = config.search.strengths or [config.sampler.strength]
    samplers = [Sampler(**asdict(config.sampler) | {"strength": strength}) for strength in strengths]
    photo = open_photo(config.photo)
    face = _find_face(config, photo) if needs_face(config.framing) else None
    square = crop_framed(photo, config.model.image_size, config.framing, face)
    portrait = _draw(config, samplers, postprocess, expose(square))
    cells = _cells_file(config.out)
    with whole(config.out) as draft:
        save_png(portrait.snapped, draft, config.scale)
    with whole(cells) as draft:
        save_png(portrait.snapped, draft)
    if config.search.strengths:
        say(f"strength {portrait.strength:g}, seed {portrait.seed}")
    say(f"wrote {config.out} and {cells}")


def _find_face(config: StylizeConfig, photo: Image.Image) -> Face | None:
    """The face to draw. Warns on stderr if there is none, if it may not be a face, or if there are others."""
    face = find_face(photo)
    if face is None:
        warn(
            f"{config.photo}: no face found, so the centre of the photo is drawn; "
            "a photo cropped to head and shoulders gives better results"
        )
        return None
    place = f"{face.width:.0f} pixels wide, centre {face.x:.0f} from the left and {face.y:.0f} from the top"
    if face.is_doubtful:
        warn(
            f"{config.photo}: what is drawn may not be a face ({place}); if it is not, "
            "crop the photo to head and shoulders and give framing=center"
        )
    elif others := find_others(photo, face):
        warn(
            f"{config.photo}: {len(others) + 1} faces found; the clearest is drawn, large and central ones "
            f"preferred ({place}); crop the photo to draw another one"
        )
    return face


def check_stylize(config: StylizeConfig) -> None:
    """Raises ValueError naming the key of a value that is not accepted."""
    if not 1 <= config.num_candidates <= 64:
        raise ValueError(f"num_candidates={config.num_candidates}: accepted 1 to 64")
    if not 1 <= config.scale <= 64:
        raise ValueError(f"scale={config.scale}: accepted 1 to 64")
    targets = {"out": config.out, "out, at true size": _cells_file(config.out)}
    check_targets(config.photo, targets, overwrite=config.overwrite)
    if config.out.suffix.lower() != ".png":
        raise ValueError(f"out={config.out}: accepted a file name ending in .png")
    for strength in config.search.strengths:
        if not 0.0 < strength <= 1.0:
            raise ValueError(f"search.strengths={strength}: accepted above 0, up to 1")
    if not -1.0 <= config.search.min_grid_contrast <= 1.0:
        raise ValueError(f"search.min_grid_contrast={config.search.min_grid_contrast}: accepted -1 to 1")


def _cells_file(out: Path) -> Path:
    """The indexed PNG of true size beside the enlarged picture: me.cells.png of me.png."""
    return out.parent / f"{out.stem}.cells.png"


def _draw(
    config: StylizeConfig, samplers: list[Sampler], postprocess: Postprocess, photo: Image.Image
) -> Portrait:
    """The best of the seeds, and of the strengths where several are to be tried."""
    model = config.model
    base = load_model(model)
    adapter = adapter_file(config.adapter.path, base_name=model.name, base_path=model.path)
    if adapter is not None:
        base = merge_lora(base, adapter)[0]
    stylizers = [
        Stylizer(base, sampler=sampler, prompt=model.prompt, postprocess=postprocess) for sampler in samplers
    ]
    seeds = [config.seed + number for number in range(config.num_candidates)]
    if not config.search.strengths:
        return most_alike(stylizers[0], photo, seeds)
    return best_portrait(stylizers, photo, seeds, min_grid_contrast=config.search.min_grid_contrast)
