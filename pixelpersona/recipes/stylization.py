"""Stylization: one photo → one pixel-art portrait."""

from collections.abc import Sequence
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
from pixelpersona.pixel.framing import crop_framed, needs_face
from pixelpersona.pixel.photo import open_photo
from pixelpersona.pixel.postprocess import Postprocess
from pixelpersona.pixel.snap import save_png
from pixelpersona.recipes.face_choice import ALL_FACES, check_face, choose_faces, numbered_files
from pixelpersona.recipes.model import load_model
from pixelpersona.terminal import say


def stylize(config: StylizeConfig) -> None:
    """For each face: crop, draw the candidates, keep the best, postprocess, write both pictures.

    Settings and photo are checked before a model is loaded. Raises ValueError or PhotoError.
    """
    check_stylize(config)
    postprocess = Postprocess(**asdict(config.postprocess))
    strengths = config.search.strengths or [config.sampler.strength]
    samplers = [Sampler(**asdict(config.sampler) | {"strength": strength}) for strength in strengths]
    photo = open_photo(config.photo)
    faces = choose_faces(config.photo, photo, config.face) if needs_face(config.framing) else [None]
    outs = [config.out] if config.face != ALL_FACES else numbered_files(config.out, len(faces))
    for out in outs:
        check_targets(config.photo, _targets(out), overwrite=config.overwrite)
    stylizers = _load(config, samplers, postprocess)
    for face, out in zip(faces, outs, strict=True):
        square = crop_framed(photo, config.model.image_size, config.framing, face)
        portrait = _draw(config, stylizers, expose(square))
        cells = _cells_file(out)
        with whole(out) as draft:
            save_png(portrait.snapped, draft, config.scale)
        with whole(cells) as draft:
            save_png(portrait.snapped, draft)
        if config.search.strengths:
            say(f"strength {portrait.strength:g}, seed {portrait.seed}")
        say(f"wrote {out} and {cells}")


def check_stylize(config: StylizeConfig) -> None:
    """Raises ValueError naming the key of a value that is not accepted."""
    if not 1 <= config.num_candidates <= 64:
        raise ValueError(f"num_candidates={config.num_candidates}: accepted 1 to 64")
    if not 1 <= config.scale <= 64:
        raise ValueError(f"scale={config.scale}: accepted 1 to 64")
    check_face(config.face, config.framing)
    check_targets(config.photo, _targets(config.out), overwrite=config.overwrite)
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


def _targets(out: Path) -> dict[str, Path]:
    return {"out": out, "out, at true size": _cells_file(out)}


def _load(config: StylizeConfig, samplers: Sequence[Sampler], postprocess: Postprocess) -> list[Stylizer]:
    """One stylizer per strength, with the adapter merged into the base."""
    model = config.model
    base = load_model(model)
    adapter = adapter_file(config.adapter.path, base_name=model.name, base_path=model.path)
    if adapter is not None:
        base = merge_lora(base, adapter)[0]
    return [
        Stylizer(base, sampler=sampler, prompt=model.prompt, postprocess=postprocess) for sampler in samplers
    ]


def _draw(config: StylizeConfig, stylizers: Sequence[Stylizer], photo: Image.Image) -> Portrait:
    """The best of the seeds, and of the strengths where several are to be tried."""
    seeds = [config.seed + number for number in range(config.num_candidates)]
    if not config.search.strengths:
        return most_alike(stylizers[0], photo, seeds)
    return best_portrait(stylizers, photo, seeds, min_grid_contrast=config.search.min_grid_contrast)
