"""`pixelate framing=...`: crops around the faces of a photo."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image
from skimage.data import astronaut

from pixelpersona import pixelate
from pixelpersona.pixel.exposure import expose
from pixelpersona.pixel.framing import crop_square
from pixelpersona.pixel.pixelation import Pixelation
from pixelpersona.pixel.pixelator import Pixelator
from tests.composing import compose_tree


@pytest.fixture
def two_people(tmp_path: Path) -> Path:
    """The astronaut twice, on a grey background."""
    photo = Image.new("RGB", (1000, 600), (120, 125, 130))
    person = Image.fromarray(astronaut()).crop((60, 0, 400, 400))
    photo.paste(person, (80, 100))
    photo.paste(person.resize((440, 520)), (520, 60))
    photo.save(tmp_path / "both.png")
    return tmp_path / "both.png"


def test_a_face_is_cropped_and_drawn_in_48_cells(tmp_path: Path) -> None:
    photo, out, palette = tmp_path / "astronaut.png", tmp_path / "out.png", tmp_path / "palette.hex"
    Image.fromarray(astronaut()).save(photo)
    words = [f"photo={photo}", f"out={out}", "framing=portrait", "pixelate=portrait", "pixelate.width=48"]
    pixelate.main([*words, f"palette_out={palette}"])
    drawn = np.asarray(Image.open(out).convert("RGB"))
    assert drawn.shape == (48, 48, 3)
    colors = {f"{r:02x}{g:02x}{b:02x}" for r, g, b in drawn.reshape(-1, 3).tolist()}
    assert len(colors) <= 16
    assert colors <= set(palette.read_text().lower().replace("#", "").split())
    # The same as drawing the crop that `stylize` draws.
    square = expose(crop_square(Image.fromarray(astronaut()), 48 * 8, "portrait"))
    settings = OmegaConf.to_container(compose_tree("pixelate", *words).pixelate, resolve=True)
    recipe = replace(Pixelation(**settings), height=48)  # type: ignore[arg-type]
    np.testing.assert_array_equal(drawn, Pixelator(recipe).fit_apply(np.asarray(square)).snapped.cells)


def test_every_face_or_one_of_them(two_people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"photo={two_people}", "framing=tight", "pixelate=portrait", "pixelate.width=24"]
    folder = two_people.parent
    pixelate.main([*words, f"out={folder / 'all.png'}", "face=all"])
    pixelate.main([*words, f"out={folder / 'second.png'}", "face=2"])
    assert (folder / "all-2.png").read_bytes() == (folder / "second.png").read_bytes()
    assert Image.open(folder / "all-1.png").size == (24, 24)
    assert not (folder / "all.png").exists()
    capsys.readouterr()
    pixelate.main([*words, f"out={folder / 'main.png'}"])
    assert "2 faces found; the largest and most central one is drawn" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("framing=portrait", "framing=portrait: needs pixelate.width, the number of cells, and no factor"),
        (
            "framing=portrait pixelate.width=8 pixelate.height=9",
            "pixelate.height=9: accepted pixelate.width=8",
        ),
        ("framing=wide pixelate.width=48", "framing=wide: accepted tight, portrait, center"),
        ("framing=portrait pixelate.width=8 face=3", "face=3: .* has 1 face; accepted main, all or 1 to 1"),
        ("framing=center pixelate.width=8 face=2", "face=2: accepted with framing=portrait or framing=tight"),
        ("face=2", "face=2: accepted with framing=portrait or framing=tight"),
        ("framing=tight pixelate.width=8 face=none", "face=none: accepted main, all, or a number from 1"),
        (
            "framing=tight pixelate.width=8 face=all palette_out=TMP/p.hex",
            "palette_out: each face has its own",
        ),
        ("framing=tight pixelate.width=8 out=TMP/a.gif", r"a\.gif: accepted a name that ends in \.png"),
        ("framing=tight photo=TMP out=TMP/art", "framing=tight: accepted null for a folder"),
        ("framing=tight photo=TMP/clip.gif out=TMP/art.gif", "framing=tight: accepted null for a GIF"),
        ("framing=tight photo=TMP/none.png", "none.png: no such file or folder"),
    ],
)
def test_framings_that_do_not_fit_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    Image.fromarray(astronaut()).save(tmp_path / "photo.png")
    Image.fromarray(astronaut()[:96, :96]).save(tmp_path / "clip.gif")
    given = {"photo": str(tmp_path / "photo.png"), "out": str(tmp_path / "out.png")}
    given |= dict(word.split("=") for word in words.replace("TMP", str(tmp_path)).split())
    before = set(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as stop:
        pixelate.main([f"{key}={value}" for key, value in given.items()])
    assert stop.value.code == 2
    assert re.search(message, capsys.readouterr().err)
    assert set(tmp_path.rglob("*")) == before
