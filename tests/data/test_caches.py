"""Reuse of pairs by content key; killed and simultaneous runs of prepare."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from pixelpersona.data import making
from pixelpersona.data.drafts import draft_path, remove_leftovers
from pixelpersona.data.latents import encode_pairs
from pixelpersona.data.pairs import prepare_pairs
from pixelpersona.data.pairset import PairSet
from pixelpersona.data.recipe import PairRecipe
from pixelpersona.data.sources import FolderSource
from pixelpersona.data.survey import INSPECTIONS
from pixelpersona.data.verify import verify_cache
from pixelpersona.pixel.pixelation import Pixelation
from tests.data.preparing import RECIPE, Encoder, change, content, prepare, write_photos


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos")


def flip(file: Path, place: int = -20) -> None:
    """Flip a bit in place: size and inode stay, so that all hard links see the change."""
    with file.open("r+b") as stream:
        stream.seek(place, os.SEEK_END if place < 0 else os.SEEK_SET)
        byte = stream.read(1)
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes([byte[0] ^ 1]))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collects the photos and variants whose pictures are made rather than reused."""
    names: list[str] = []
    make = making.Maker._make

    def counting(self: making.Maker, square: Image.Image, job: making.Job, variant: int) -> making.Row:
        names.append(f"{job.photo.id}#{variant}")
        return make(self, square, job, variant)

    monkeypatch.setattr(making.Maker, "_make", counting)
    return names


def add(photos: Path) -> None:
    Image.new("RGB", (24, 24), "teal").save(photos / "p05.png")


def rename(photos: Path) -> None:
    (photos / "p5.png").rename(photos / "a5.png")
    lines = (photos / "metadata.jsonl").read_text().replace("p5.png", "a5.png")
    (photos / "metadata.jsonl").write_text(lines)


@pytest.mark.parametrize(
    ("happens", "recipe", "expected"),
    [
        (change, RECIPE, ["p5.png#0"]),
        (add, RECIPE, ["p05.png#0"]),
        (rename, RECIPE, []),
        (None, replace(RECIPE, caption="another"), []),
        (None, replace(RECIPE, variants=2), [f"p{i}.png#1" for i in range(2, 8)]),
        (None, replace(RECIPE, size=20), [f"p{i}.png#0" for i in range(8)]),
        (None, replace(RECIPE, pixelate=Pixelation(factor=4, palette=3)), [f"p{i}.png#0" for i in range(8)]),
    ],
)
def test_only_changed_pairs_are_made_again(
    photos: Path,
    tmp_path: Path,
    made: list[str],
    happens: Callable[[Path], None] | None,
    recipe: PairRecipe,
    expected: list[str],
) -> None:
    prepare(photos, tmp_path / "data")
    made.clear()
    if happens:
        happens(photos)
    again = prepare(photos, tmp_path / "data", recipe)
    assert made == expected
    assert content(again.folder) == content(prepare(photos, tmp_path / "fresh", recipe).folder)


def test_a_new_data_version_reuses_nothing(
    photos: Path, tmp_path: Path, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(photos, tmp_path / "data")
    made.clear()
    for module in ("making", "pairs", "pairset"):
        monkeypatch.setattr(f"pixelpersona.data.{module}.DATA_VERSION", 99)
    prepare(photos, tmp_path / "data")
    assert len(made) == 8


@pytest.mark.parametrize("links", [True, False])
def test_reused_pairs_are_hard_links_or_copies(
    photos: Path, tmp_path: Path, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*arguments: object) -> None:
        raise OSError(1, "Operation not permitted")

    if not links:
        monkeypatch.setattr("os.link", no_links)
    first = prepare(photos, tmp_path / "data")
    change(photos)
    second = prepare(photos, tmp_path / "data")
    same = [
        a.pixel.samefile(b.pixel) for a, b in zip(first.pairs("train"), second.pairs("train"), strict=True)
    ]
    assert sum(same) == (5 if links else 0)
    assert not any(verify_cache(tmp_path / "data").damaged)
    shutil.rmtree(first.folder)
    assert PairSet.load(second.folder).photo("p7.png").shape == (16, 16, 3)


def test_a_damaged_pair_is_not_reused(photos: Path, tmp_path: Path, made: list[str]) -> None:
    first = prepare(photos, tmp_path / "data")
    flip(first.pairs("train")[2].pixel)
    made.clear()
    second = prepare(photos, tmp_path / "data", replace(RECIPE, caption="another"))
    assert made == ["p4.png#0"]
    assert second.pixel("p4.png").shape == (16, 16, 3)
    made.clear()
    prepare(photos, tmp_path / "data")  # file sizes do not show the damage
    assert made == []
    repaired = prepare(photos, tmp_path / "data", thorough=True)
    assert len(made) <= 1  # taken from the second set, or made
    assert content(repaired.folder) == content(prepare(photos, tmp_path / "fresh").folder)
    assert not verify_cache(tmp_path / "data").damaged


@pytest.mark.parametrize(("when", "left"), [(1, []), (2, [INSPECTIONS])])  # during inspection or making
def test_a_photo_that_changes_during_prepare_is_refused(
    photos: Path, tmp_path: Path, when: int, left: list[str]
) -> None:
    opened: list[str] = []

    class Changing(FolderSource):
        def open(self, photo_id: str, /) -> Image.Image:
            opened.append(photo_id)
            if photo_id == "p5.png" and opened.count(photo_id) == when:
                change(photos)
            return super().open(photo_id)

    (tmp_path / "data").mkdir()
    with pytest.raises(ValueError, match=r"p5\.png: changed while the data was prepared"):
        prepare_pairs(Changing(photos), RECIPE, tmp_path / "data", num_workers=1)
    assert [file.name for file in (tmp_path / "data").iterdir()] == left


SCRIPT = """
import os, signal, sys
from pathlib import Path
from pixelpersona.data.latents import encode_pairs
from pixelpersona.data.pairs import prepare_pairs
from pixelpersona.data.sources import FolderSource
from tests.data.preparing import RECIPE, Encoder

mode, photos, root = sys.argv[1:]

opened = []

class Source(FolderSource):
    def open(self, photo_id, /):
        opened.append(photo_id)
        if mode == "die" and opened.count("p4.png") == 2:  # the first time, it is only looked at
            os.kill(os.getpid(), signal.SIGKILL)
        return super().open(photo_id)

print("ready", flush=True)
sys.stdin.readline()
pair_set = prepare_pairs(Source(Path(photos)), RECIPE, root, num_workers=1)
for split in ("train", "val"):
    encode_pairs(pair_set, split, Encoder(), root)
print(pair_set.folder.name)
"""


def start(mode: str, photos: Path, root: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, mode, str(photos), str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def test_leftovers_of_a_killed_prepare_are_removed_by_the_next(photos: Path, tmp_path: Path) -> None:
    process = start("die", photos, tmp_path / "data")
    process.communicate("\n")
    assert process.returncode == -9
    (left,) = (tmp_path / "data").glob(".*")
    assert left.name.startswith(".pairs-")
    assert len(list(left.glob("pixel/*.png"))) == 4
    pair_set = prepare(photos, tmp_path / "data")
    names = sorted(file.name for file in (tmp_path / "data").iterdir())
    assert names == [pair_set.folder.name, INSPECTIONS]


def test_two_processes_at_once_give_one_valid_result(photos: Path, tmp_path: Path) -> None:
    processes = [start("live", photos, tmp_path / "data") for _ in range(2)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:  # both processes wait for this line
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], answers
    assert answers[0][0] == answers[1][0]
    names = {file.name.partition("-")[0] for file in (tmp_path / "data").iterdir()}
    assert names == {"pairs", "latents", "photos"}
    assert not verify_cache(tmp_path / "data").damaged
    pair_set = prepare(photos, tmp_path / "data")
    assert content(pair_set.folder) == content(prepare(photos, tmp_path / "alone").folder)
    cached = encode_pairs(pair_set, "train", Encoder(), tmp_path / "data")
    assert torch.equal(cached.latents, encode_pairs(pair_set, "train", Encoder(), tmp_path / "new").latents)


def test_drafts_of_running_processes_and_other_machines_stay(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    own = draft_path(tmp_path / "pairs-0123456789ab")
    dead = tmp_path / own.name.replace(f"-{os.getpid()}-", f"-{gone.pid}-")
    machine = own.name.rpartition(".")[2].partition("-")[0]
    other = tmp_path / dead.name.replace(machine, "00000000" if machine != "00000000" else "11111111")
    shard = tmp_path / f".latents-0123456789abcdef.safetensors.{machine}-{gone.pid}-01234567"
    foreign = tmp_path / ".pairs-notes"
    for folder in (own, dead, other, foreign):
        folder.mkdir()
        (folder / "file").touch()
    shard.touch()
    remove_leftovers(tmp_path)
    assert set(tmp_path.iterdir()) == {own, other, foreign}
    os.utime(other, (1e9, 1e9))
    remove_leftovers(tmp_path)
    assert set(tmp_path.iterdir()) == {own, foreign}
