"""A full disk in every command except `train` and `prepare`, which have tests of their own.

Each command exits with one line that names a file or folder, and leaves existing files unchanged.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from pixelpersona import evaluate, pixelate, pretrain, report, stylize
from tests.failing import disk_full
from tests.training.running import train_words

MICRO = ["model.image_size=32", "model.cell=4", "sampler=fast"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("writes")
    photo = Image.fromarray(astronaut()[:256, 96:352])
    photo.save(root / "photo.png")
    photo.save(root / "clip.gif", save_all=True, append_images=[photo.rotate(9)], duration=50)
    return root


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def call(main: Callable[[list[str]], None], words: list[str], num_bytes: int) -> str:
        """The error line of a command on a full disk: the last line on stderr, and the only error there."""
        capsys.readouterr()
        with disk_full(num_bytes), pytest.raises(SystemExit) as stop:
            main(words)
        assert stop.value.code == 2
        lines = capsys.readouterr().err.splitlines()
        assert sum("cannot" in line or "Error" in line for line in lines) == 1, lines
        return lines[-1]

    return call


@pytest.mark.parametrize("num_bytes", [1, 200])
def test_stylize_keeps_the_old_portrait(
    root: Path, micro_base_folder: Path, refused: Callable[..., str], num_bytes: int
) -> None:
    out = root / "styled" / "me.png"
    words = [f"photo={root / 'photo.png'}", f"out={out}", f"model.path={micro_base_folder}", *MICRO]
    words += ["framing=center", "num_candidates=1"]
    stylize.main(words)
    before = content(out.parent)
    assert refused(stylize.main, [*words, "seed=1"], num_bytes).startswith(f"{out}: cannot be written")
    assert content(out.parent) == before


@pytest.mark.parametrize("photo", ["photo.png", "clip.gif"])
def test_pixelate_keeps_the_old_files(root: Path, refused: Callable[..., str], photo: str) -> None:
    out = root / "drawn" / photo
    words = [f"photo={root / photo}", f"out={out}"]
    pixelate.main([*words, f"palette_out={out.with_suffix('.act')}"])
    before = content(out.parent)
    assert refused(pixelate.main, words, 100).startswith(f"{out}: cannot be written")
    palette = out.with_suffix(".hex")  # the picture fits, its palette does not
    small = [*words, f"out={root / 'small.png'}", "pixelate.factor=64", "pixelate.palette=256"]
    if photo == "photo.png":
        assert refused(pixelate.main, [*small, f"palette_out={palette}"], 1000).startswith(f"{palette}: ")
    assert content(out.parent) == before


def test_pixelate_stops_a_folder_at_the_first_picture(
    root: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    """A full disk is no fault of the picture, so it is not listed as rejected."""
    (tmp_path / "in").mkdir()
    for name in "ab":
        (tmp_path / "in" / f"{name}.png").write_bytes((root / "photo.png").read_bytes())
    message = refused(pixelate.main, [f"photo={tmp_path / 'in'}", f"out={tmp_path / 'out'}"], 100)
    assert message.startswith(f"{tmp_path / 'out' / 'a.png'}: cannot be written")
    assert content(tmp_path / "out") == {}


def test_a_timing_file_that_does_not_fit_is_unchanged(root: Path, refused: Callable[..., str]) -> None:
    """The picture is written; only its timing is lost."""
    folder = root / "timed"
    folder.mkdir()
    timing, out = folder / "timing.json", folder / "me.png"
    timing.write_text(json.dumps({f"pixelate {number}": 1.0 for number in range(5000)}))
    before = timing.read_bytes()
    words = [f"photo={root / 'photo.png'}", f"out={out}", f"timing={timing}"]
    message = refused(pixelate.main, words, 50_000)
    assert message == f"{timing}: cannot be written (File too large); what was there before is unchanged"
    assert timing.read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == [".timing.json.lock", "me.png", "timing.json"]
    assert Image.open(out).mode == "P"


def test_evaluate_and_report_keep_the_old_results(
    tmp_path: Path, micro_base_folder: Path, refused: Callable[..., str]
) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    words = [word for word in train_words(tmp_path, micro_base_folder) if not word.startswith("loop")]
    words += [f"paths.runs={runs}", "eval.split=val", "eval.sheet_rows=2", "tracker=none"]
    evaluate.main(words)
    before = content(runs)
    assert refused(evaluate.main, words, 100).startswith(f"{runs / 'result.json'}: cannot be written")
    assert content(runs) == before
    assert refused(report.main, [f"paths.runs={runs}"], 100).startswith(f"{runs / 'report.html'}: cannot")
    assert content(runs) == before


def test_pretrain_names_what_does_not_fit(tmp_path: Path, refused: Callable[..., str]) -> None:
    (tmp_path / "photos").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (4, 128, 128, 3), dtype=np.uint8)
    for number, picture in enumerate(noise):
        Image.fromarray(picture).save(tmp_path / "photos" / f"{number}.png")
    words = [f"dataset.path={tmp_path / 'photos'}", f"paths.runs={tmp_path / 'runs'}", "stage=autoencoder"]
    words += [f"paths.cache={tmp_path / 'cache'}", "dataset.val_share=0"]
    words += ["autoencoder.num_steps=1", "autoencoder.batch_size=2"]
    folder = tmp_path / "runs" / "pretrain"
    assert refused(pretrain.main, words, 5000).startswith(f"{folder / 'photos.npy'}: cannot be written")
    assert content(folder) == {}
    pretrain.main(words)
    (folder / "vae" / "config.json").unlink()
    message = refused(pretrain.main, words, 300)  # metrics.jsonl fits, the autoencoder does not
    assert message.startswith(f"{folder}: cannot be written")
