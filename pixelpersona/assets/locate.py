"""Where the packaged files lie."""

from pathlib import Path

_FOLDER = Path(__file__).resolve().parent
NAMES = ("tiny", "portraits", "lora", "persona", "palettes")


def path(name: str) -> Path:
    """The folder of a packaged asset: tiny (the base), portraits (photos of nobody), lora (a trained style),
    persona (the network that judges), palettes (colours of the classic machines).

    Raises ValueError when there is no asset of that name, FileNotFoundError when it was not installed.
    """
    if name not in NAMES:
        raise ValueError(f"asset {name}: accepted {', '.join(NAMES)}")
    folder = _FOLDER / name
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: this packaged asset is missing; install again")
    return folder
