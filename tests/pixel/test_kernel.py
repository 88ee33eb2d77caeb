"""`kernel`: a numba function works whatever happens to the cache of its compiled code."""

import importlib.util
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from pixelpersona.pixel import kernel
from tests.failing import disk_full, unprivileged

SOURCE = """
from pixelpersona.pixel.kernel import kernel

@kernel(fastmath=True)
def double(number):
    return 2 * number
"""


@pytest.fixture
def file(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module with one kernel, in a folder that an unprivileged user may enter; there is no home."""
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, "/nonexistent")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "doubling.py").write_text(SOURCE)
        yield folder / "doubling.py"


@pytest.fixture(autouse=True)
def _first_warning() -> None:
    kernel._warn.cache_clear()


def load(file: Path) -> ModuleType:
    """The module as a new process imports it: nothing is compiled yet."""
    spec = importlib.util.spec_from_file_location("doubling", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cached(file: Path, suffix: str) -> Path:
    (found,) = (file.parent / "__pycache__").glob(f"*.{suffix}")
    return found


def hits(module: ModuleType) -> int:
    return sum(module.double.stats.cache_hits.values())


def test_the_compiled_code_is_cached_for_the_next_process(file: Path) -> None:
    first, second = load(file), load(file)
    assert (first.double(21), hits(first)) == (42, 0)
    assert (second.double(21), hits(second)) == (42, 1)


@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
@pytest.mark.parametrize("damage", ["empty", "truncated", "other bytes"])
def test_a_damaged_cache_is_made_again(
    file: Path, suffix: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert load(file).double(21) == 42
    damaged = cached(file, suffix)
    data = damaged.read_bytes()
    damaged.write_bytes({"empty": b"", "truncated": data[: len(data) // 2], "other bytes": b"no"}[damage])
    module = load(file)
    assert (module.double(21), hits(module)) == (42, 0)
    again = load(file)
    assert (again.double(21), hits(again)) == (42, 1)
    assert caplog.records == []


def test_a_full_disk_is_reported_once(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    module, other = load(file), load(file)
    with disk_full(100):
        assert [module.double(21), module.double(0.5), other.double(21)] == [42, 1.0, 42]
    (said,) = caplog.records
    assert said.levelno == logging.WARNING
    assert said.message.startswith("numba cannot cache its compiled code (File too large), so")
    assert "NUMBA_CACHE_DIR=FOLDER" in said.message
    assert list((file.parent / "__pycache__").glob("*.tmp.*")) == []


def test_without_any_folder_for_the_cache_kernels_still_work(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with unprivileged():
        assert load(file).double(21) == 42
    (said,) = caplog.records
    assert said.message.startswith("numba cannot cache its compiled code (no writable folder)")


def test_a_damaged_cache_that_cannot_be_repaired_is_not_used(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert load(file).double(21) == 42
    module = load(file)
    cached(file, "nbi").write_bytes(b"")
    with disk_full(1):
        assert module.double(21) == 42
    assert [record.message[:41] for record in caplog.records] == ["numba cannot cache its compiled code (Fil"]
