"""Verifying a cache names every changed file and changes nothing."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelpersona import prepare
from pixelpersona.data.latents import encode_pairs
from pixelpersona.data.pairs import prepare_pairs
from pixelpersona.data.pairset import PairSet
from pixelpersona.data.sources import FolderSource
from pixelpersona.data.survey import INSPECTIONS
from pixelpersona.data.verify import verify_cache
from tests.data.preparing import RECIPE, Encoder


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with one set of four pairs and two shards."""
    photos, root = tmp_path_factory.mktemp("photos"), tmp_path_factory.mktemp("cache")
    for i in range(4):
        coarse = np.random.default_rng(i).integers(0, 256, (2, 2, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((16, 16)).save(photos / f"p{i}.png")
    (photos / "broken.png").write_bytes(b"no picture")
    rows = [json.dumps({"file_name": f"p{i}.png", "split": "train"}) for i in range(4)]
    (photos / "metadata.jsonl").write_text("\n".join(rows))
    recipe = replace(RECIPE, size=8)
    pair_set = prepare_pairs(FolderSource(photos), recipe, root, num_workers=1)
    encode_pairs(pair_set, "train", Encoder(), root)
    return root


@pytest.fixture
def cache(intact: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(intact, tmp_path / "cache"))


def files(root: Path) -> list[Path]:
    return sorted(file for file in root.rglob("*") if file.is_file())


def state(root: Path) -> dict[Path, tuple[bytes, int]]:
    return {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in files(root)}


def test_the_entries_of_an_intact_cache_are_counted(cache: Path) -> None:
    verdict = verify_cache(cache)
    assert verdict.damaged == ()
    assert (verdict.num_sets, verdict.num_pairs, verdict.num_encoded) == (1, 4, 4 + 2)


def test_a_changed_byte_of_any_file_is_detected(cache: Path) -> None:
    for file in files(cache):
        whole = file.read_bytes()
        for place in np.unique(np.linspace(0, len(whole) - 1, 60).astype(int)):
            changed = bytearray(whole)
            changed[place] ^= 0x11
            file.write_bytes(bytes(changed))
            damaged = verify_cache(cache).damaged
            assert damaged, f"{file.name}, byte {place}"
            assert all(line.startswith(str(file)) and "\n" not in line for line in damaged)
        file.write_bytes(whole)
    assert verify_cache(cache).damaged == ()


def test_missing_and_truncated_files_of_a_set_are_named(cache: Path) -> None:
    for file in files(cache):
        whole = file.read_bytes()
        if file.name.endswith(".safetensors"):
            continue  # a missing shard is only a cache miss
        for damage in ("truncated",) if file.name == INSPECTIONS else ("missing", "truncated"):
            file.unlink() if damage == "missing" else file.write_bytes(whole[: len(whole) // 2])
            assert [line for line in verify_cache(cache).damaged if line.startswith(str(file))]
            file.write_bytes(whole)


def test_every_damaged_entry_has_its_own_line(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder,) = cache.glob("pairs-*")
    pair_set = PairSet.load(folder)
    (latents,) = cache.glob("latents-*/latents-*")
    missing, changed = pair_set.pairs("train")[1].photo, pair_set.pairs("train")[3].pixel
    missing.unlink()
    changed.write_bytes(changed.read_bytes()[:-1] + b"?")
    with (folder / "metadata.jsonl").open("ab") as stream:
        stream.write(b"{}\n")
    data = bytearray(latents.read_bytes())
    entry_bytes = 3 * 2 * 2 * 4
    for entry in (0, 2):  # the values are at the end of the file
        data[len(data) - (4 - entry) * entry_bytes] ^= 1
    latents.write_bytes(bytes(data))
    before = state(cache)
    with pytest.raises(SystemExit) as stop:
        prepare.main(["verify=true", f"paths.cache={cache}"])
    assert stop.value.code == 2
    printed = capsys.readouterr()
    lines = printed.err.splitlines()
    assert printed.out == ""
    for file in (missing, changed, folder / "metadata.jsonl"):
        assert sum(line.startswith(f"{file}: ") for line in lines) == 1
    assert "(of p1.png)" in printed.err
    for entry in (0, 2):
        assert sum(line.startswith(f"{latents}: entry {entry} ") for line in lines) == 1
    assert len(lines) == 5 + 1
    assert "5 damaged of 5 pairs in 1 sets, 6 encoded entries" in lines[-1]
    assert state(cache) == before


def test_the_command_reports_an_intact_cache_in_one_line(
    cache: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    before = state(cache)
    prepare.main(["verify=true", f"paths.cache={cache}"])
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [f"{cache}: 4 pairs in 1 sets, 6 encoded entries: nothing is damaged"]
    assert printed.err == ""
    assert state(cache) == before
    with pytest.raises(SystemExit):
        prepare.main(["verify=true", f"paths.cache={tmp_path / 'nowhere'}"])
    assert capsys.readouterr().err == f"paths.cache={tmp_path / 'nowhere'}: no such folder\n"


def test_sets_of_an_earlier_version_are_skipped(cache: Path) -> None:
    (folder,) = cache.glob("pairs-*")
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["sha256"]
    (folder / "manifest.json").write_text(json.dumps(manifest | {"data_version": 1}))
    assert verify_cache(cache).num_sets == 0
    assert verify_cache(cache).damaged == ()
