"""Run `make` in a test, apart from the environment and the `make` that the tests were started with."""

import os
import subprocess
from pathlib import Path

# `make test VENV=... ARGS=...` passes its variables on to the tests. A `make` in a test must not see them,
# because its rules would install into that environment.
_VARIABLES = ("VENV", "PYTHON", "ARGS", "MFLAGS")


def make(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """`make` with these words in a folder; variables: added to the environment."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if key not in _VARIABLES and not key.startswith("MAKE")
    }
    return subprocess.run(
        ["make", *words], cwd=folder, env=kept | variables, capture_output=True, text=True, check=False
    )
