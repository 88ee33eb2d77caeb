"""Finds the packaged files."""

from pathlib import Path

_FOLDER = Path(__file__).resolve().parent
NAMES = ("tiny", "portraits", "lora", "persona", "landmarks", "palettes")


def path(name: str) -> Path:
    """The folder of a packaged asset.

    name: tiny (the base), portraits (synthetic photos), lora (a LoRA for the tiny base), persona (the feature
    network), landmarks (the landmark network) or palettes (of classic computers and consoles).
    Raises ValueError for another name, FileNotFoundError when the asset is not installed.
    """
    if name not in NAMES:
        raise ValueError(f"asset {name}: accepted {', '.join(NAMES)}")
    folder = _FOLDER / name
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: this packaged asset is missing; install again")
    return folder
