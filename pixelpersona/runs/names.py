"""Names of runs: each is the name of a folder below the folder of runs."""

import unicodedata
from pathlib import Path

# File systems accept 255 bytes; the longest suffix that a file named after a run gets is `.safetensors`.
_MAX_BYTES = 240


def named_folder(runs: Path, name: str) -> Path:
    """The one folder that a run writes, apart from caches: runs / name. `a/b` is the run b in the folder a.

    Raises ValueError for a name that would put it elsewhere, hide it (discovery skips hidden folders), is too
    long for a file system, or cannot be shown.
    """
    for part in name.split("/"):
        if not part or part.startswith((".", "-")):
            raise ValueError(
                f"name={name}: accepted the name of a folder below paths.runs={runs}, which is not empty "
                "and does not begin with a dot, a dash or a slash"
            )
        if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in part):
            raise ValueError(f"name={name!r}: accepted a name without control characters, in UTF-8")
        if len(part.encode()) > _MAX_BYTES:
            raise ValueError(
                f"name={name}: has {len(part.encode())} bytes in UTF-8; accepted {_MAX_BYTES} or fewer"
            )
    return runs / name
