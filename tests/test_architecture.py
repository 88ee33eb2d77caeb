"""Enforces the layer table of CONTRIBUTING.md (which package may import which) and the rules for files."""

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "pixelpersona"
MAX_LINES = 350
FORBIDDEN_NAMES = {"utils", "common", "helpers", "misc", "core", "build", "dist"}
TORCH_FREE = ("assets", "files", "config", "pixel", "tracking", "runs", "reporting", "cli")
CONFIG_LIBRARIES = {"hydra", "omegaconf"}
COMMAND_LAYER = 6
USE_CONFIG = {"recipes", "cli"}  # and the commands


@dataclass
class Layers:
    """level: package or module → its layer; sideways: (importer, imported) pairs allowed inside one layer."""

    level: dict[str, int] = field(default_factory=dict)
    sideways: set[tuple[str, str]] = field(default_factory=set)

    def is_command(self, name: str) -> bool:
        return self.level[name] == COMMAND_LAYER


def read_layers(text: str) -> Layers:
    """The Markdown table whose rows begin with `| L<number> |`."""
    layers = Layers()
    for row in re.findall(r"^\| (L\d+ \|.*)\|$", text, re.MULTILINE):
        label, names, _, inside = (cell.strip() for cell in row.split("|")[:4])
        for name in re.findall(r"`(\w+)`", names):
            layers.level[name] = int(label[1:])
        layers.sideways |= set(re.findall(r"(\w+) → (\w+)", inside))
    return layers


def modules(root: Path) -> Iterator[tuple[str, Path]]:
    """(dotted name, file) of every module of the package under `root`."""
    for file in sorted((root / PACKAGE).rglob("*.py")):
        parts = file.relative_to(root).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), file


def imports(name: str, file: Path) -> Iterator[tuple[str, int]]:
    """(dotted name, line) of everything a module imports, at any depth, TYPE_CHECKING blocks included."""
    package = name.split(".") if file.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *(node.module.split(".") if node.module else [])])
            yield from ((f"{source}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = ast.unparse(node.func)
            if called.endswith(("import_module", "__import__")):
                yield str(node.args[0].value), node.lineno


def _part(name: str) -> str | None:
    """`pixelpersona.pixel.grid` → `pixel`; None for another package and for the package itself."""
    parts = name.split(".")
    return parts[1] if parts[0] == PACKAGE and len(parts) > 1 else None


def wrong_imports(root: Path, layers: Layers) -> list[str]:
    """Imports that go up or sideways, and imports of configuration outside the packages that may use it."""
    wrong = []
    for name, file in modules(root):
        here = _part(name)
        if here is None:  # the package itself, see test_the_python_interface_is_lazy_and_complete
            continue
        if here not in layers.level:
            wrong.append(f"{name}: {here} is not in the layer table")
            continue
        for imported, line in imports(name, file):
            reason = _why_wrong(here, imported, layers)
            if reason:
                wrong.append(f"{name}:{line} imports {imported}: {reason}")
    return wrong


def _why_wrong(here: str, imported: str, layers: Layers) -> str | None:
    if imported.split(".")[0] in CONFIG_LIBRARIES:
        return None if here == "cli" or layers.is_command(here) else "only cli and commands import it"
    there = _part(imported)
    if there is None or there == here:
        return None
    if there not in layers.level:
        return f"{there} is not in the layer table"
    if there == "config" and here not in USE_CONFIG and not layers.is_command(here):
        return "only cli, recipes and commands import config"
    if layers.level[there] > layers.level[here]:
        return "upward"
    if layers.level[there] == layers.level[here] and (here, there) not in layers.sideways:
        return "sideways"
    plain = tuple(
        f"{PACKAGE}.evaluation.{name}"
        for name in ("intervals", "people", "result", "tradeoff", "training_seeds")
    )
    if (here, there) == ("reporting", "evaluation") and not imported.startswith(plain):
        return "of evaluation/, reporting/ imports only the files without torch"
    return None


def lazy_imports(root: Path, layers: Layers) -> list[str]:
    """Imports inside functions or TYPE_CHECKING blocks, except in commands and of optional dependencies."""
    found = []
    for name, file in modules(root):
        part = _part(name)
        if part is None or layers.is_command(part):
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        top = {id(node) for node in tree.body}
        found += [
            f"{name}:{node.lineno}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom) and id(node) not in top and not _is_extra(node)
        ]
    return found


EXTRAS = {"prodigyopt", "wandb_workspaces", "torch_fidelity", "pillow_heif"}


def _is_extra(node: ast.Import | ast.ImportFrom) -> bool:
    names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
    return all(name.split(".")[0] in EXTRAS for name in names)


def names_used_twice(root: Path) -> list[str]:
    """Base names of files that occur twice; a schema in config/ may share the name of its component."""
    seen: dict[str, Path] = {}
    twice = []
    for file in sorted((root / PACKAGE).rglob("*.py")):
        if file.name == "__init__.py" or file.parent.name == "config":
            continue
        if file.name in seen:
            twice.append(f"{seen[file.name].relative_to(root)} and {file.relative_to(root)}")
        seen[file.name] = file
    return twice


def wrong_files(root: Path) -> list[str]:
    """Files that are too long, badly named, or an `__init__.py` that is more than a docstring line."""
    wrong = []
    for folder in (PACKAGE, "tests", "benchmarks"):
        for file in sorted((root / folder).rglob("*.py")):
            text = file.read_text(encoding="utf-8")
            label = file.relative_to(root).as_posix()
            if text.count("\n") > MAX_LINES:
                wrong.append(f"{label}: {text.count(chr(10))} lines")
            if {*Path(label).with_suffix("").parts} & FORBIDDEN_NAMES:
                wrong.append(f"{label}: name does not describe the content")
            if (
                file.name == "__init__.py"
                and label != f"{PACKAGE}/__init__.py"
                and not re.fullmatch(r'"""[^"\n]+"""\n', text)
            ):
                wrong.append(f"{label}: must be one docstring line")
    return wrong


def loads_torch(root: Path, names: list[str]) -> bool:
    """Whether importing these modules in a fresh interpreter loads torch."""
    lines = [f"import sys; sys.path.insert(0, {str(root)!r})", *(f"import {name}" for name in names)]
    code = "\n".join([*lines, "sys.exit(3 if 'torch' in sys.modules else 0)"])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 3), done.stderr
    return done.returncode == 3


# --- the project ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def layers() -> Layers:
    return read_layers((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))


def test_the_table_is_parsed(layers: Layers) -> None:
    levels = [layers.level[name] for name in ("train", "recipes", "training", "pixel", "config")]
    assert levels == [6, 5, 4, 1, 0]
    assert layers.sideways == set()


def test_the_table_lists_exactly_what_exists(layers: Layers) -> None:
    assert set(layers.level) == {part for name, _ in modules(ROOT) if (part := _part(name)) is not None}


def test_imports_follow_the_layers(layers: Layers) -> None:
    assert wrong_imports(ROOT, layers) == []


def test_files_are_short_and_well_named() -> None:
    assert wrong_files(ROOT) == []


def test_no_two_files_have_the_same_name() -> None:
    assert names_used_twice(ROOT) == []


def test_only_commands_import_lazily(layers: Layers) -> None:
    assert lazy_imports(ROOT, layers) == []


@pytest.mark.slow
def test_pytest_collects_every_test_file() -> None:
    listed = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "slow or not slow", "tests"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    collected = {line.partition("::")[0] for line in listed.splitlines() if "::" in line}
    assert collected == {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py")}


@pytest.mark.parametrize("part", TORCH_FREE)
def test_light_packages_do_not_load_torch(part: str) -> None:
    names = [name for name, _ in modules(ROOT) if _part(name) == part]
    assert names
    assert not loads_torch(ROOT, names)


def test_commands_do_not_load_torch_before_they_run(layers: Layers) -> None:
    commands = [name for name, level in layers.level.items() if level == COMMAND_LAYER]
    assert not loads_torch(ROOT, [f"{PACKAGE}.{name}" for name in commands])


@pytest.mark.parametrize("recipe", ["write_report", "pixelation_batch"])
def test_report_and_pixelate_run_without_torch(recipe: str) -> None:
    assert not loads_torch(ROOT, [f"{PACKAGE}.recipes.{recipe}"])


def test_the_python_interface_is_lazy_and_complete() -> None:
    assert not loads_torch(ROOT, [PACKAGE])
    interface = importlib.import_module(PACKAGE)
    for name in interface.__all__:
        assert getattr(interface, name).__name__ == name
    assert re.match(r"\d+\.\d+", interface.__version__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = interface.Nothing


# --- the checks themselves ---------------------------------------------------------------------------


def write_module(root: Path, name: str, text: str) -> None:
    file = root / PACKAGE / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("pixel/a.py", "import pixelpersona.data.pairs\n", "upward"),
        ("pixel/a.py", "def f():\n    from pixelpersona.training import loop\n", "upward"),
        ("pixel/a.py", "from pixelpersona import inference\n", "upward"),
        ("pixel/a.py", "from ..models import codec\n", "sideways"),
        ("pixel/a.py", "from .. import tracking\n", "sideways"),
        ("pixel/deep/a.py", "from ...models.base import BaseModel\n", "sideways"),
        ("data/a.py", "import importlib\nimportlib.import_module('pixelpersona.recipes.a')\n", "upward"),
        ("train.py", "from pixelpersona.prepare import main\n", "sideways"),
        ("recipes/a.py", "from pixelpersona.cli.command import command\n", "sideways"),
        ("data/a.py", "from omegaconf import OmegaConf\n", "only cli and commands"),
        ("recipes/a.py", "import hydra.utils\n", "only cli and commands"),
        ("models/a.py", "from pixelpersona.config.model import ModelConfig\n", "import config"),
        (
            "reporting/a.py",
            "from pixelpersona.evaluation.compare import score_variant\n",
            "only the files without torch",
        ),
        ("reporting/a.py", "from pixelpersona.evaluation import compare\n", "only the files without torch"),
        ("drawer/a.py", "", "not in the layer table"),
        ("pixel/a.py", "import pixelpersona.drawer\n", "not in the layer table"),
    ],
)
def test_a_wrong_import_is_found(tmp_path: Path, layers: Layers, file: str, text: str, reason: str) -> None:
    write_module(tmp_path, file, text)
    (found,) = wrong_imports(tmp_path, layers)
    assert reason in found


def test_correct_imports_are_accepted(tmp_path: Path, layers: Layers) -> None:
    write_module(tmp_path, "cli/a.py", "import hydra\nfrom pixelpersona.config.model import ModelConfig\n")
    write_module(tmp_path, "recipes/a.py", "from pixelpersona.config.model import ModelConfig\n")
    write_module(tmp_path, "pixel/a.py", "import numpy\nfrom .grid import Grid\nfrom . import palette\n")
    write_module(tmp_path, "reporting/a.py", "from pixelpersona.evaluation.result import EvalResult\n")
    write_module(tmp_path, "train.py", "from pixelpersona.recipes import finetune\nimport omegaconf\n")
    assert wrong_imports(tmp_path, layers) == []


def test_lazy_imports_and_repeated_names_are_found(tmp_path: Path, layers: Layers) -> None:
    write_module(tmp_path, "pixel/a.py", "def f():\n    import json\n")
    write_module(tmp_path, "data/a.py", "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    import json\n")
    write_module(tmp_path, "train.py", "def main():\n    import json\n")
    write_module(tmp_path, "training/b.py", "def f():\n    import prodigyopt\n")
    write_module(tmp_path, "config/b.py", "")
    assert lazy_imports(tmp_path, layers) == ["pixelpersona.data.a:3", "pixelpersona.pixel.a:2"]
    assert names_used_twice(tmp_path) == ["pixelpersona/data/a.py and pixelpersona/pixel/a.py"]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("pixel/long.py", "x = 1\n" * (MAX_LINES + 1)),
        ("pixel/utils.py", ""),
        ("core/a.py", ""),
        ("pixel/__init__.py", '"""Images."""\nfrom pixelpersona.pixel.grid import Grid\n'),
        ("pixel/__init__.py", ""),
        ("pixel/__init__.py", '"""Images\nand more."""\n'),
    ],
)
def test_a_wrong_file_is_found(tmp_path: Path, file: str, text: str) -> None:
    write_module(tmp_path, file, text)
    assert len(wrong_files(tmp_path)) == 1


def test_a_correct_file_is_accepted(tmp_path: Path) -> None:
    write_module(tmp_path, "pixel/__init__.py", '"""Images."""\n')
    write_module(tmp_path, "pixel/grid.py", "x = 1\n" * MAX_LINES)
    assert wrong_files(tmp_path) == []


def test_an_indirect_import_of_torch_is_found(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("")
    write_module(tmp_path, "__init__.py", "")
    write_module(tmp_path, "models/a.py", "import torch\n")
    write_module(tmp_path, "pixel/a.py", "from pixelpersona.models import a\n")
    write_module(tmp_path, "pixel/b.py", "import json\n")
    assert loads_torch(tmp_path, [f"{PACKAGE}.pixel.a"])
    assert not loads_torch(tmp_path, [f"{PACKAGE}.pixel.b"])
