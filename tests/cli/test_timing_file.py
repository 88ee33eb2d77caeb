"""timing.json: jobs of a sweep that end at the same time all add their seconds."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock, Timeout

from pixelpersona.cli import timing_file
from pixelpersona.cli.timing_file import record_seconds
from pixelpersona.config.command import CommandConfig


def test_jobs_at_the_same_time_keep_each_other_s_entries(tmp_path: Path) -> None:
    file, num = tmp_path / "timing.json", 12
    start = threading.Barrier(num)

    def job(number: int) -> None:
        start.wait()
        record_seconds("train", CommandConfig(name=f"lora-r{number}", timing=file))

    threads = [threading.Thread(target=job, args=(number,)) for number in range(num)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(json.loads(file.read_text())) == sorted(f"train lora-r{number}" for number in range(num))


def test_no_other_job_may_read_until_the_entry_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, refused = timing_file._read, []

    def trying(file: Path) -> dict[str, Any]:
        with pytest.raises(Timeout):
            FileLock(tmp_path / ".timing.json.lock", blocking=False).acquire()
        refused.append(file)
        return read(file)

    monkeypatch.setattr(timing_file, "_read", trying)
    record_seconds("evaluate", CommandConfig(name="", timing=tmp_path / "timing.json"))
    assert refused == [tmp_path / "timing.json"]
    FileLock(tmp_path / ".timing.json.lock", blocking=False).acquire()  # released


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "found a list"),
        ("{", "not readable"),
        ("\xff", "not readable"),
        ("[" * 100_000, "nested too deeply"),
        ('{"evaluate": NaN}', "NaN is not a finite number"),
    ],
)
def test_a_file_that_is_no_json_object_is_named_and_unchanged(
    tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "timing.json"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=message) as error:
        record_seconds("evaluate", CommandConfig(name="", timing=file))
    assert str(error.value).startswith(f"timing={file}: ")
    assert file.read_bytes() == text.encode("latin-1")
