"""Common mistakes in the project's commands: one line, exit code 2, nothing written."""

import re
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from pixelpersona import prepare, report, stylize, train

CASES = {
    "misspelt key": (train, "lora.rnak=8", "lora.rank"),
    "value of the wrong type": (train, "loop.batch_size=many", "loop.batch_size"),
    "crops for the supervised baseline": (
        train,
        "method=supervised loop.latent_crop=16",
        r"loop\.latent_crop=16: accepted null with method=supervised",
    ),
    "missing folder of photos": (prepare, "dataset=folder dataset.path=TMP/nowhere", "nowhere"),
    "empty folder of photos": (prepare, "dataset=folder dataset.path=TMP/empty", "empty"),
    "missing CelebA": (prepare, "dataset=celeba dataset.path=TMP/celeba", "(?i)kaggle"),
    "broken photo": (stylize, "photo=TMP/broken.jpg out=TMP/out.png", "broken.jpg"),
    "missing photo": (stylize, "photo=TMP/missing.jpg out=TMP/out.png", "missing.jpg"),
    "missing LoRA": (
        stylize,
        "photo=TMP/good.png out=TMP/out.png framing=center adapter.path=TMP/no-lora "
        "model.path=MICRO model.image_size=32 model.cell=4",
        "no such LoRA",
    ),
    "face without a face search": (
        stylize,
        "photo=TMP/good.png out=TMP/out.png framing=center face=all",
        "face=all: accepted with framing=portrait or framing=tight",
    ),
    "report without results": (report, "paths.runs=TMP/empty", "result.json"),
}


@pytest.mark.parametrize(("command", "words", "message"), CASES.values(), ids=CASES)
def test_a_mistake_is_one_line(
    command: ModuleType,
    words: str,
    message: str,
    tmp_path: Path,
    micro_base_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff not a photo")
    (tmp_path / "empty").mkdir()
    Image.new("RGB", (40, 40), "red").save(tmp_path / "good.png")
    before = set(tmp_path.rglob("*"))
    places = {"TMP": str(tmp_path), "MICRO": str(micro_base_folder)}
    with pytest.raises(SystemExit) as stop:
        command.main([re.sub("TMP|MICRO", lambda match: places[match[0]], word) for word in words.split()])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if line.strip() and "%|" not in line]  # no progress bars
    assert len(lines) == 1, error
    assert re.search(message, lines[0])
    assert not any(path.is_file() for path in set(tmp_path.rglob("*")) - before)
