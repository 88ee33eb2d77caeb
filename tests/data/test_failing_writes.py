"""A full disk or a read-only cache: one error line, and the existing cache is unchanged."""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from pixelpersona import prepare as prepare_command
from pixelpersona.data.latents import encode_pairs
from pixelpersona.data.survey import INSPECTIONS
from pixelpersona.data.verify import verify_cache
from tests.data.preparing import RECIPE, Encoder, change, content, prepare, write_photos
from tests.failing import disk_full, unprivileged


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos")


@pytest.mark.parametrize(("num_bytes", "workers"), [(100, 1), (100, 2), (2500, 1)])
def test_a_full_disk_does_not_change_the_pair_sets(
    photos: Path, tmp_path: Path, num_bytes: int, workers: int
) -> None:
    """With 100 bytes, the first picture fails; with 2500, all pictures fit but metadata.jsonl does not."""
    change(photos)
    first = prepare(photos, tmp_path / "data")
    sizes = {name: len(data) for name, data in content(first.folder).items()}
    assert max(size for name, size in sizes.items() if name.endswith(".png")) < 2500 < sizes["metadata.jsonl"]
    before = content(tmp_path / "data")
    with (
        disk_full(num_bytes),
        pytest.raises(ValueError, match=r"data: pairs cannot be written there \(File too large\)"),
    ):
        prepare(photos, tmp_path / "data", replace(RECIPE, size=20), workers=workers)
    assert content(tmp_path / "data") == before
    names = sorted(file.name for file in (tmp_path / "data").iterdir())
    assert names == [first.folder.name, INSPECTIONS]


def test_a_full_disk_does_not_change_the_list_of_photos(photos: Path, tmp_path: Path) -> None:
    prepare(photos, tmp_path / "data")
    before = content(tmp_path / "data")
    change(photos)
    with (
        disk_full(100),
        pytest.raises(ValueError, match=rf"data: {INSPECTIONS} cannot be written there \(File too large\)"),
    ):
        prepare(photos, tmp_path / "data")
    assert content(tmp_path / "data") == before


def test_a_full_disk_does_not_change_the_latents(photos: Path, tmp_path: Path) -> None:
    first = prepare(photos, tmp_path / "data")
    encode_pairs(first, "train", Encoder(), tmp_path / "cache")
    change(photos)
    second = prepare(photos, tmp_path / "data", replace(RECIPE, size=20))
    before = content(tmp_path / "cache")
    with (
        disk_full(100),
        pytest.raises(ValueError, match=r"latents cannot be written there \(File too large\)"),
    ):
        encode_pairs(second, "train", Encoder(), tmp_path / "cache")
    assert content(tmp_path / "cache") == before


def test_a_read_only_cache_is_read_and_named_in_errors(photos: Path) -> None:
    with tempfile.TemporaryDirectory() as name:  # user nobody cannot enter pytest's folders
        root, reachable = Path(name) / "cache", Path(name) / "photos"
        shutil.copytree(photos, reachable)
        first = prepare(reachable, root)
        encode_pairs(first, "train", Encoder(), root)
        before = content(root)
        folders = [Path(name), root, *(folder for folder in root.rglob("*") if folder.is_dir())]
        for folder in folders:
            folder.chmod(0o555)
        with unprivileged():
            again = prepare(reachable, root)  # the existing set is used
            assert len(encode_pairs(again, "train", Encoder(), root)) == 6
            assert not verify_cache(root).damaged
            with pytest.raises(
                ValueError, match=r"cache: pairs cannot be written there \(Permission denied\)"
            ):
                prepare(reachable, root, replace(RECIPE, size=20))
            with pytest.raises(ValueError, match=r"latents cannot be written there \(Permission denied\)"):
                encode_pairs(again, "val", Encoder(), root)
        for folder in folders:
            folder.chmod(0o755)
        assert content(root) == before


def test_the_command_reports_it_in_one_line(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["dataset=folder", f"dataset.path={photos}", "encode=false", "dataset.framing=center"]
    words += ["hydra.output_subdir=null", "dataset.num_workers=1", "dataset.max_enlargement=10"]
    # Once without the limit, to compile the kernels: writing their cache is not tested here.
    prepare_command.main([*words, f"paths.cache={tmp_path / 'other'}"])
    capsys.readouterr()
    with disk_full(100), pytest.raises(SystemExit) as stop:
        prepare_command.main([*words, f"paths.cache={tmp_path / 'cache'}"])
    assert stop.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    reason = f"{INSPECTIONS} cannot be written there (File too large); what was there before is unchanged"
    assert lines[-1] == f"{tmp_path / 'cache'}: {reason}"
    assert sum("cannot" in line or "Error" in line for line in lines) == 1  # the others are progress bars
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=rf"file: {INSPECTIONS} cannot be written there \(File exists\)"):
        prepare(photos, tmp_path / "file")
