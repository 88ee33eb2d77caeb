"""Which faces of a photo are drawn, and the files that they are written to. No torch."""

from pathlib import Path
from typing import Any

from PIL import Image

from pixelpersona.pixel.crop import Face
from pixelpersona.pixel.faces import find_face, find_others
from pixelpersona.pixel.framing import needs_face
from pixelpersona.terminal import warn

MAIN_FACE, ALL_FACES = "main", "all"


def check_face(choice: Any, framing: str | None) -> None:
    """Raise ValueError for a `face` that is neither MAIN_FACE, ALL_FACES nor a number from 1.

    Also for another one than MAIN_FACE with a framing that does not look for faces; None is no framing.
    """
    is_number = isinstance(choice, int) and not isinstance(choice, bool)
    if choice not in (MAIN_FACE, ALL_FACES) and not (is_number and choice >= 1):
        raise ValueError(f"face={choice}: accepted {MAIN_FACE}, {ALL_FACES}, or a number from 1")
    if choice != MAIN_FACE and (framing is None or not needs_face(framing)):
        raise ValueError(f"face={choice}: accepted with framing=portrait or framing=tight")


def choose_faces(file: Path, photo: Image.Image, choice: Any) -> list[Face] | list[None]:
    """The faces to draw; [None] for the centre of the photo.

    choice: MAIN_FACE, ALL_FACES or the number of a face, from left to right; see `check_face`. Warns on
    stderr if there is no face, if it may not be one, or if there are others.
    Raises ValueError when `choice` is the number of a face that was not found.
    """
    main = find_face(photo)
    is_sure = main is not None and not main.is_doubtful
    others = find_others(photo, main) if main is not None and (is_sure or choice != MAIN_FACE) else []
    if isinstance(choice, int) and choice > (found := len(others) + (main is not None)):
        raise ValueError(
            f"face={choice}: {file} has {found} face{'s' * (found != 1)}; accepted "
            f"{MAIN_FACE}, {ALL_FACES}" + (f" or 1 to {found}, from left to right" if found else "")
        )
    if main is None:
        warn(
            f"{file}: no face found, so the centre of the photo is drawn; "
            "a photo cropped to head and shoulders gives better results"
        )
        return [None]
    faces = sorted([main, *others], key=lambda face: face.x)
    drawn = faces
    if choice == MAIN_FACE:
        drawn = [main]
    elif choice != ALL_FACES:
        drawn = [faces[choice - 1]]
    for face in drawn:
        if face.is_doubtful:
            warn(
                f"{file}: what is drawn may not be a face ({_place(face)}); if it is not, "
                "crop the photo to head and shoulders and give framing=center"
            )
    if others and choice == MAIN_FACE:
        warn(
            f"{file}: {len(faces)} faces found; the largest and most central one is drawn "
            f"({_place(main)}); face=1 to face={len(faces)}, from left to right, draws another, face=all each"
        )
    return drawn


def _place(face: Face) -> str:
    return f"{face.width:.0f} pixels wide, centre {face.x:.0f} from the left and {face.y:.0f} from the top"


def numbered_files(out: Path, count: int) -> list[Path]:
    """me-1.png, me-2.png, ... of me.png."""
    return [out.with_stem(f"{out.stem}-{number}") for number in range(1, count + 1)]
