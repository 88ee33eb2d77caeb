"""Runs that were trained on compared photos are left out, and photos without a record are named."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import pytest
from PIL import Image, ImageOps
from skimage.data import astronaut, chelsea, coffee

from pixelpersona.assets.locate import path as asset
from pixelpersona.data.duplicates import fingerprint
from pixelpersona.data.pairset import Pair
from pixelpersona.data.sources import FolderSource
from pixelpersona.data.training_photos import TRAINING_PHOTOS, TrainingPhoto
from pixelpersona.recipes.comparable_runs import comparable_runs, warn_of_copies
from pixelpersona.runs.discovery import TrainedWeights

PHOTOS = [Image.fromarray(load()) for load in (astronaut, chelsea, coffee)]
BASE = "b" * 64


@dataclass(frozen=True)
class Compared:
    """The fields of a pair that matter here."""

    photo_id: str
    source_sha256: str
    source_fingerprint: str


PAIRS = cast(
    list[Pair], [Compared(f"{i}.png", str(i) * 64, fingerprint(photo)) for i, photo in enumerate(PHOTOS)]
)


def run(root: Path, name: str, *photos: TrainingPhoto) -> TrainedWeights:
    """A run folder with a record of its training photos."""
    folder = root / name
    folder.mkdir()
    (folder / "data.json").write_text(json.dumps({"base": BASE}))
    lines = "".join(json.dumps(asdict(photo)) + "\n" for photo in photos)
    (folder / TRAINING_PHOTOS).write_text(lines)
    return TrainedWeights(name, folder / "weights", f"{name}/weights")


OTHER = TrainingPhoto("other.png", "f" * 64, fingerprint(ImageOps.flip(PHOTOS[0])))
SAME_BYTES = TrainingPhoto("kept.png", "1" * 64, OTHER.fingerprint)
NEAR = TrainingPhoto("small.jpg", "e" * 64, fingerprint(PHOTOS[2].resize((200, 133))))


@pytest.mark.parametrize(
    ("photo", "shown"), [(SAME_BYTES, "1.png (kept.png in"), (NEAR, "2.png (small.jpg in")]
)
def test_a_run_trained_on_a_copy_is_named_with_an_example(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], photo: TrainingPhoto, shown: str
) -> None:
    clean, copied = run(tmp_path, "clean", OTHER), run(tmp_path, "copied", OTHER, photo)
    assert comparable_runs([clean, copied], BASE, PAIRS) == [clean]
    assert capsys.readouterr().err == (
        "copied: left out, trained on 1 of the 3 photos compared or on near-duplicates of them, such as "
        f"{shown} its training)\n"
    )
    assert comparable_runs([copied], BASE, PAIRS[:1]) == [copied]  # the photo is not compared
    with pytest.raises(ValueError, match=r"^no run is left to compare; copied: left out, trained on 1 of"):
        comparable_runs([copied], BASE, PAIRS)


def test_runs_without_a_record_are_kept_and_named_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, foreign = run(tmp_path, "old"), run(tmp_path, "foreign")
    for trained in (old, foreign):
        (trained.file.parent / TRAINING_PHOTOS).unlink()
    assert comparable_runs([old, foreign], BASE, PAIRS) == [old, foreign]
    shown = capsys.readouterr().err
    assert shown == "old, foreign: training photos unknown, may include those compared\n"
    assert comparable_runs([], BASE, PAIRS) == []


def test_copies_among_the_photos_compared_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    small = fingerprint(PHOTOS[0].resize((100, 100)))
    copies = [
        Compared("again.png", "0" * 64, PAIRS[0].source_fingerprint),
        Compared("s.jpg", "a" * 64, small),
    ]
    warn_of_copies(PAIRS)
    assert capsys.readouterr().err == ""
    warn_of_copies([*PAIRS, *cast(list[Pair], copies)])
    assert capsys.readouterr().err == (
        "2 of the 5 photos compared are near-duplicates of others, such as again.png of 0.png: intervals are "
        "too narrow\n"
    )


@pytest.mark.parametrize("text", ["{", "[]", '{"id": "a", "sha256": "b", "fingerprint": "xyz"}', "\xff"])
def test_a_damaged_record_is_named(tmp_path: Path, text: str) -> None:
    trained = run(tmp_path, "run")
    (tmp_path / "run" / TRAINING_PHOTOS).write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"run/train_photos\.jsonl: not a list of photos \(.+\)$"):
        comparable_runs([trained], BASE, PAIRS)


def test_the_packaged_lora_was_trained_on_no_test_portrait(capsys: pytest.CaptureFixture[str]) -> None:
    """It was trained before there was a val split, on all portraits that are not for test."""
    source = FolderSource(asset("portraits"))
    lora = TrainedWeights("lora-r8", asset("lora") / "pytorch_lora_weights.safetensors", "")

    def pairs(split: str) -> list[Pair]:
        ids = [photo_id for photo_id in source.ids() if source.split(photo_id) == split]
        return cast(list[Pair], [Compared(i, source.digest(i), fingerprint(source.open(i))) for i in ids])

    assert comparable_runs([lora], BASE, pairs("test")) == [lora]
    assert capsys.readouterr().err == ""
    for split, num in (("train", 160), ("val", 32)):
        with pytest.raises(ValueError, match=f"trained on {num} of the {num} photos compared"):
            comparable_runs([lora], BASE, pairs(split))
