"""`stylize` over several strengths, on a Stable Diffusion small enough for seconds."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from pixelpersona import stylize


@pytest.fixture
def words(micro_base_folder: Path, tmp_path: Path) -> list[str]:
    Image.fromarray(np.ascontiguousarray(astronaut()[:256, 96:352])).save(tmp_path / "photo.png")
    return [
        f"photo={tmp_path / 'photo.png'}",
        f"out={tmp_path / 'out.png'}",
        f"model.path={micro_base_folder}",
        "model.image_size=32",
        "model.cell=4",
        "framing=center",
        "sampler=fast",
        "num_candidates=2",
        "seed=3",
    ]


def told(capsys: pytest.CaptureFixture[str]) -> tuple[float, int] | None:
    found = re.search(r"strength ([\d.]+), seed (\d+)", capsys.readouterr().out)
    return None if found is None else (float(found[1]), int(found[2]))


def test_the_strength_is_chosen_among_those_given_and_told(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    search = ["search.strengths=[0.3,0.9]", "search.min_grid_contrast=-1"]  # random weights draw no grid
    stylize.main([*words, *search])
    first = told(capsys)
    assert first is not None
    assert first[0] in (0.3, 0.9)
    assert first[1] in (3, 4)
    drawn = (tmp_path / "out.png").read_bytes()
    stylize.main([*words, *search])
    assert (tmp_path / "out.png").read_bytes() == drawn
    assert told(capsys) == first
    # The chosen strength alone gives the same portrait.
    stylize.main([*words, f"sampler.strength={first[0]}"])
    assert (tmp_path / "out.png").read_bytes() == drawn


def test_without_strengths_nothing_changes(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stylize.main(words)
    assert told(capsys) is None
    drawn = (tmp_path / "out.png").read_bytes()
    stylize.main([*words, "search.strengths=[0.25]", "search.min_grid_contrast=-1"])
    assert told(capsys) is not None
    assert (tmp_path / "out.png").read_bytes() == drawn


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ("search.strengths=[0.5,1.5]", "search.strengths=1.5: accepted above 0, up to 1"),
        ("search.min_grid_contrast=2", "search.min_grid_contrast=2.0: accepted -1 to 1"),
        ("search.strenghts=[0.5]", "search.strenghts: no such key. Did you mean search.strengths?"),
    ],
)
def test_wrong_settings_are_one_line(
    words: list[str], wrong: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        stylize.main([*words, wrong])
    assert stop.value.code == 2
    assert capsys.readouterr().err.strip() == expected
