"""`stylize` with a search over strengths, on a tiny Stable Diffusion."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut, coffee, microaneurysms

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


def printed_choice(capsys: pytest.CaptureFixture[str]) -> tuple[float, int] | None:
    """The strength and seed that `stylize` printed, if it did."""
    found = re.search(r"strength ([\d.]+), seed (\d+)", capsys.readouterr().out)
    return None if found is None else (float(found[1]), int(found[2]))


def test_the_strength_is_chosen_among_those_given_and_printed(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # -1 accepts every portrait: random weights do not draw a grid.
    search = ["search.strengths=[0.3,0.9]", "search.min_grid_contrast=-1"]
    stylize.main([*words, *search])
    first = printed_choice(capsys)
    assert first is not None
    assert first[0] in (0.3, 0.9)
    assert first[1] in (3, 4)
    drawn = (tmp_path / "out.png").read_bytes()
    stylize.main([*words, *search])
    assert (tmp_path / "out.png").read_bytes() == drawn
    assert printed_choice(capsys) == first
    # Without a search, the chosen strength gives the same portrait.
    stylize.main([*words, f"sampler.strength={first[0]}"])
    assert (tmp_path / "out.png").read_bytes() == drawn


def test_without_a_search_the_portrait_is_that_of_the_default_strength(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stylize.main(words)
    assert printed_choice(capsys) is None
    drawn = (tmp_path / "out.png").read_bytes()
    stylize.main([*words, "search.strengths=[0.25]", "search.min_grid_contrast=-1"])
    assert printed_choice(capsys) is not None
    assert (tmp_path / "out.png").read_bytes() == drawn


def test_the_terminal_says_whose_face_is_drawn(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, nobody = astronaut()[:256, 96:352], coffee()[:256, :256]
    pattern = np.stack([microaneurysms()] * 3, axis=-1)
    photos = {"one": one, "two": np.hstack([one, one]), "pattern": pattern, "nobody": nobody}
    said = {}
    for name, photo in photos.items():
        file = tmp_path / f"{name}.png"
        Image.fromarray(np.ascontiguousarray(photo)).save(file)
        stylize.main([*words, f"photo={file}", "framing=tight", "num_candidates=1"])
        said[name] = capsys.readouterr().err.removeprefix(f"{file}: ").splitlines()
    assert said["one"] == []
    (two,), (doubt,), (nobody_line,) = said["two"], said["pattern"], said["nobody"]
    assert re.fullmatch(
        r"2 faces found; the largest and most central one is drawn \(\d+ pixels wide, "
        r"centre (13\d|38\d) from the left and 1\d\d from the top\); face=1 to face=2, from left to right, "
        r"draws another, face=all each",
        two,
    )
    assert doubt.startswith("what is drawn may not be a face (")
    assert doubt.endswith("crop the photo to head and shoulders and give framing=center")
    assert nobody_line.startswith("no face found, so the centre of the photo is drawn")
    stylize.main([*words, f"photo={tmp_path / 'pattern.png'}", "framing=center", "num_candidates=1"])
    assert capsys.readouterr().err == ""


@pytest.fixture
def two_people(words: list[str], tmp_path: Path) -> list[str]:
    """The words for a photo of the astronaut and, at the right, a smaller copy with swapped colours."""
    person = np.ascontiguousarray(astronaut()[:256, 96:352])
    smaller = Image.fromarray(np.ascontiguousarray(person[..., ::-1])).resize((180, 180))
    group = Image.new("RGB", (460, 256), (120, 130, 140))
    group.paste(Image.fromarray(person), (0, 0))
    group.paste(smaller, (270, 60))
    group.save(tmp_path / "group.png")
    return [*words, f"photo={tmp_path / 'group.png'}", "framing=portrait", "num_candidates=1"]


def test_each_face_or_one_by_its_number_is_drawn(two_people: list[str], tmp_path: Path) -> None:
    def drawn(name: str) -> bytes:
        return (tmp_path / name).read_bytes()

    stylize.main([*two_people, "face=all"])
    assert not (tmp_path / "out.png").exists()
    left, right = drawn("out-1.png"), drawn("out-2.png")
    assert left != right
    assert not (tmp_path / "out-3.png").exists()
    stylize.main([*two_people, "face=2"])
    assert drawn("out.png") == right
    assert drawn("out.cells.png") == drawn("out-2.cells.png")
    stylize.main(two_people)
    assert drawn("out.png") == left


@pytest.mark.parametrize(
    ("face", "expected"),
    [
        ("3", "{photo} has 2 faces; accepted main, all or 1 to 2, from left to right"),
        ("0", "accepted main, all, or a number from 1"),
        ("everyone", "accepted main, all, or a number from 1"),
        ("true", "accepted main, all, or a number from 1"),
    ],
)
def test_another_face_is_refused(
    two_people: list[str], face: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        stylize.main([*two_people, f"face={face}"])
    assert stop.value.code == 2
    shown = {"true": "True"}.get(face, face)
    line = expected.format(photo=tmp_path / "group.png")
    assert capsys.readouterr().err.splitlines()[-1] == f"face={shown}: {line}"
    assert not (tmp_path / "out.png").exists()


def test_no_numbered_portrait_replaces_the_photo(
    two_people: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = (tmp_path / "group.png").rename(tmp_path / "out-2.png")
    before = photo.read_bytes()
    with pytest.raises(SystemExit) as stop:
        stylize.main([*two_people, f"photo={photo}", "face=all"])
    assert stop.value.code == 2
    assert f"out={photo}: is the photo itself" in capsys.readouterr().err
    assert photo.read_bytes() == before
    assert not (tmp_path / "out-1.png").exists()


@pytest.mark.parametrize(("photo", "key"), [("out.png", "out"), ("out.cells.png", "out, at true size")])
def test_the_photo_is_not_overwritten(
    words: list[str], tmp_path: Path, photo: str, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (tmp_path / "photo.png").rename(tmp_path / photo).read_bytes()
    words = [f"photo={tmp_path / photo}", *words[1:], "num_candidates=1"]
    with pytest.raises(SystemExit) as stop:
        stylize.main(words)
    assert stop.value.code == 2
    line = f"{key}={tmp_path / photo}: is the photo itself; accepted another name, or overwrite=true\n"
    assert capsys.readouterr().err == line
    assert (tmp_path / photo).read_bytes() == before
    stylize.main([*words, "overwrite=true"])
    assert (tmp_path / photo).read_bytes() != before


@pytest.mark.parametrize("out", ["", ".", "folder.png", "folder"])
def test_an_out_that_is_a_folder_is_refused_before_anything_is_drawn(
    words: list[str],
    tmp_path: Path,
    out: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("folder", "folder.png"):
        (tmp_path / name).mkdir()
    with pytest.raises(SystemExit) as stop:
        stylize.main([words[0], f"out={out}", *words[2:]])
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"out={Path(out)}: is a folder; accepted the name of a file\n"


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ("search.strengths=[0.5,1.5]", "search.strengths=1.5: accepted above 0, up to 1"),
        ("search.min_grid_contrast=2", "search.min_grid_contrast=2.0: accepted -1 to 1"),
        ("seed=4294967296", "seed=4294967296: accepted 0 to 4294967295"),
        ("search.strenghts=[0.5]", "search.strenghts: no such key. Did you mean search.strengths?"),
    ],
)
def test_a_wrong_setting_is_one_error_line(
    words: list[str], wrong: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        stylize.main([*words, wrong])
    assert stop.value.code == 2
    assert capsys.readouterr().err.strip() == expected
