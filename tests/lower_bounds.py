"""Prints the lower bounds of pyproject.toml as constraints for pip: `python -m tests.lower_bounds`."""

import re
import tomllib
from pathlib import Path


def lower_bounds(pyproject: Path) -> list[str]:
    """name==version for every requirement "name>=version", those of the extras included.

    Raises ValueError for another requirement without a lower bound than one of this project's own extras.
    """
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    pins = []
    for requirement in [*project["dependencies"], *(line for extra in extras for line in extra)]:
        found = re.match(r"([\w.-]+)>=([\w.]+)", requirement)
        if found is not None:
            pins.append(f"{found[1]}=={found[2]}")
        elif not requirement.startswith(f"{project['name']}["):
            raise ValueError(f"pyproject.toml: {requirement}: accepted name>=version")
    return pins


if __name__ == "__main__":
    print("\n".join(lower_bounds(Path(__file__).parent.parent / "pyproject.toml")))
