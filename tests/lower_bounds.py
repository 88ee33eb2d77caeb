"""Prints the lower bounds of pyproject.toml as constraints for pip: `python -m tests.lower_bounds`."""

import re
import tomllib
from pathlib import Path


def lower_bounds(pyproject: Path) -> list[str]:
    """name==version for every requirement "name>=version" of the package and its extras, except `dev`.

    Raises ValueError for a requirement without a lower bound.
    """
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    extras = {name: lines for name, lines in project["optional-dependencies"].items() if name != "dev"}
    pins = []
    for requirement in [*project["dependencies"], *(line for lines in extras.values() for line in lines)]:
        found = re.match(r"([\w.-]+)>=([\w.]+)", requirement)
        if found is None:
            raise ValueError(f"pyproject.toml: {requirement}: accepted name>=version")
        pins.append(f"{found[1]}=={found[2]}")
    return pins


if __name__ == "__main__":
    print("\n".join(lower_bounds(Path(__file__).parent.parent / "pyproject.toml")))
