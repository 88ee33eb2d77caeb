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
from pixelpersona.pixel.crop import Face
from pixelpersona.pixel.exposure import expose
from pixelpersona.pixel.faces import find_face, find_others
from pixelpersona.pixel.framing import crop_framed, needs_face
from pixelpersona.pixel.photo import open_photo
from pixelpersona.pixel.postprocess import Postprocess
from pixelpersona.pixel.snap import save_png
from pixelpersona.recipes.model import load_model
from pixelpersona.terminal import say, warn

MAIN_FACE, ALL_FACES = "main", "all"


def stylize(config: StylizeConfig) -> None:
    """For each face: crop, draw the candidates, keep the best, postprocess, write both pictures.

    Settings and photo are checked before a model is loaded. Raises ValueError or PhotoError.
    """
    check_stylize(config)
    postprocess = Postprocess(**asdict(config.postprocess))
    strengths = config.search.strengths or [config.sampler.strength]
    samplers = [Sampler(**asdict(config.sampler) | {"strength": strength}) for strength in strengths]
    photo = open_photo(config.photo)
    faces = _choose_faces(config, photo) if needs_face(config.framing) else [None]
    outs = [config.out] if config.face != ALL_FACES else _numbered_files(config.out, len(faces))
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


def _choose_faces(config: StylizeConfig, photo: Image.Image) -> list[Face] | list[None]:
    """The faces to draw, by `config.face`; [None] for the centre of the photo.

    Warns on stderr if there is no face, if it may not be one, or if there are others.
    Raises ValueError when `config.face` is the number of a face that was not found.
    """
    main = find_face(photo)
    is_sure = main is not None and not main.is_doubtful
    others = find_others(photo, main) if main is not None and (is_sure or config.face != MAIN_FACE) else []
    if isinstance(config.face, int) and config.face > (found := len(others) + (main is not None)):
        raise ValueError(
            f"face={config.face}: {config.photo} has {found} face{'s' * (found != 1)}; accepted "
            f"{MAIN_FACE}, {ALL_FACES}" + (f" or 1 to {found}, from left to right" if found else "")
        )
    if main is None:
        warn(
            f"{config.photo}: no face found, so the centre of the photo is drawn; "
            "a photo cropped to head and shoulders gives better results"
        )
        return [None]
    faces = sorted([main, *others], key=lambda face: face.x)
    drawn = faces
    if config.face == MAIN_FACE:
        drawn = [main]
    elif config.face != ALL_FACES:
        drawn = [faces[config.face - 1]]
    for face in drawn:
        if face.is_doubtful:
            warn(
                f"{config.photo}: what is drawn may not be a face ({_place(face)}); if it is not, "
                "crop the photo to head and shoulders and give framing=center"
            )
    if others and config.face == MAIN_FACE:
        warn(
            f"{config.photo}: {len(faces)} faces found; the largest and most central one is drawn "
            f"({_place(main)}); face=1 to face={len(faces)}, from left to right, draws another, face=all each"
        )
    return drawn


def _place(face: Face) -> str:
    return f"{face.width:.0f} pixels wide, centre {face.x:.0f} from the left and {face.y:.0f} from the top"


def check_stylize(config: StylizeConfig) -> None:
    """Raises ValueError naming the key of a value that is not accepted."""
    if not 1 <= config.num_candidates <= 64:
        raise ValueError(f"num_candidates={config.num_candidates}: accepted 1 to 64")
    if not 1 <= config.scale <= 64:
        raise ValueError(f"scale={config.scale}: accepted 1 to 64")
    is_number = isinstance(config.face, int) and not isinstance(config.face, bool)
    if config.face not in (MAIN_FACE, ALL_FACES) and not (is_number and config.face >= 1):
        raise ValueError(f"face={config.face}: accepted {MAIN_FACE}, {ALL_FACES}, or a number from 1")
    check_targets(config.photo, _targets(config.out), overwrite=config.overwrite)
    if config.out.suffix.lower() != ".png":
        raise ValueError(f"out={config.out}: accepted a file name ending in .png")
    for strength in config.search.strengths:
        if not 0.0 < strength <= 1.0:
            raise ValueError(f"search.strengths={strength}: accepted above 0, up to 1")
    if not -1.0 <= config.search.min_grid_contrast <= 1.0:
        raise ValueError(f"search.min_grid_contrast={config.search.min_grid_contrast}: accepted -1 to 1")


def _numbered_files(out: Path, count: int) -> list[Path]:
    """me-1.png, me-2.png, ... of me.png."""
    return [out.with_stem(f"{out.stem}-{number}") for number in range(1, count + 1)]


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
