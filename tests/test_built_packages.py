"""Wheel and sdist, built without a network and installed elsewhere, work from any folder."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from skimage.data import astronaut

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.slow


def run(*words: object, folder: Path, **environment: str) -> str:
    env = os.environ | {"HF_HUB_OFFLINE": "1", "WANDB_MODE": "disabled"} | environment
    ended = subprocess.run(
        [sys.executable, *map(str, words)], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A wheel built from the checkout, and one built from the sdist."""
    out, unpacked = tmp_path_factory.mktemp("built"), tmp_path_factory.mktemp("sdist")
    run("-m", "hatchling", "build", "-t", "wheel", "-t", "sdist", "-d", out / "checkout", folder=ROOT)
    (sdist,) = (out / "checkout").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(unpacked, filter="data")
    (source,) = unpacked.iterdir()
    run("-m", "hatchling", "build", "-t", "wheel", "-d", out / "sdist", folder=source)
    return {kind: next((out / kind).glob("*.whl")) for kind in ("checkout", "sdist")}


def test_wheel_and_sdist_hold_the_same_files(wheels: dict[str, Path]) -> None:
    contents = []
    for wheel in wheels.values():
        with zipfile.ZipFile(wheel) as opened:
            contents.append({name: opened.read(name) for name in opened.namelist()})
    assert contents[0] == contents[1]
    assert {"pixelpersona/conf/train.yaml", "pixelpersona/assets/LICENSE"} <= contents[0].keys()
    assert not [name for name in contents[0] if name.startswith(("tests/", "conf/", "experiments/"))]


def test_an_installed_package_draws_from_another_folder(wheels: dict[str, Path], tmp_path: Path) -> None:
    target, elsewhere = tmp_path / "installed", tmp_path / "elsewhere"
    elsewhere.mkdir()
    install = ("install", "--quiet", "--no-deps", "--no-index", "--target", target, wheels["sdist"])
    run("-m", "pip", *install, folder=elsewhere)
    Image.fromarray(astronaut()[:240, 100:340]).save(elsewhere / "나.png")

    def command(name: str, *words: str) -> str:
        return run("-m", f"pixelpersona.{name}", *words, folder=elsewhere, PYTHONPATH=str(target))

    where = run(
        "-c", "import pixelpersona; print(pixelpersona.__file__)", folder=elsewhere, PYTHONPATH=str(target)
    )
    assert Path(where.strip()).is_relative_to(target)
    assert "photo" in command("pixelate", "--help")
    plain = ("pixelate.palette=gameboy", "pixelate.downsample=mean")  # compiles few kernels
    script = target / "bin" / "pixelpersona-pixelate"
    run(script, "photo=나.png", "out=drawn.png", *plain, folder=elsewhere, PYTHONPATH=str(target))
    with Image.open(elsewhere / "drawn.png") as drawn:
        assert drawn.size == (40, 40)
    command("stylize", "photo=나.png", "out=portrait.png")
    with Image.open(elsewhere / "portrait.png") as portrait:
        assert portrait.size[0] == portrait.size[1] >= 32
        assert len(portrait.convert("RGB").getcolors(maxcolors=10_000)) <= 16
    assert {path.name for path in elsewhere.iterdir() if not path.name.startswith(".")} == {
        "나.png", "drawn.png", "portrait.png", "portrait.cells.png",
    }  # fmt: skip
