"""metrics.jsonl and the other plain files that a run records its progress in."""

import hashlib
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from pixelpersona.files import read_json, read_jsonl, write_whole

_SAMPLE = re.compile(r"step-(\d{6,})(?:\D.*)?\.(?:png|json)")


class JsonlTracker:
    """Records a run in plain files of its folder:

    - metrics.jsonl, one row {"step": 100, "train/loss": 0.12} per scalars() call, flushed at once, so a
      killed run loses at most the row being written. Values must be deterministic; speeds go elsewhere.
    - media/<key>/step-000100.png; step-000100-0.png, -1.png, ... when a call records several images.
    - media/<key>/step-000100.json for tables, with their images beside it.
    - summary.json and artifacts.jsonl (files inside the folder by relative path, others by name).

    folder: created when missing. resume_step: None starts a new record; N continues it after step N and
    drops rows and samples of later steps, which the resumed run writes again. resume_rows: number of rows
    when the checkpoint of step N was saved; callbacks of the same step may have added rows after it.
    Attribute earlier: the rows that were kept.
    Raises ValueError when resume_step is given and the record is missing, broken or too short.
    """

    run_id = ""

    def __init__(self, folder: Path, resume_step: int | None = None, resume_rows: int | None = None) -> None:
        self._folder = folder
        self._path = folder / "metrics.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        kept = -1 if resume_step is None else resume_step
        rows = [] if resume_step is None else _rows_until(kept, self._path)
        if resume_rows is not None and len(rows) < resume_rows:
            raise ValueError(
                f"{self._path}: {len(rows)} rows up to step {kept}, but its checkpoint was saved after "
                f"{resume_rows}; loop.resume=never starts a new run"
            )
        self.earlier = rows[:resume_rows]
        self._num_rows = len(self.earlier)
        write_whole(self._path, "".join(map(_line, self.earlier)))
        for sample in (folder / "media").rglob("step-*"):
            if (named := _SAMPLE.fullmatch(sample.name)) and int(named[1]) > kept:
                sample.unlink()
        if resume_step is None:
            (folder / "summary.json").unlink(missing_ok=True)
            (folder / "artifacts.jsonl").unlink(missing_ok=True)
        self._file = self._path.open("a", encoding="utf-8")

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Raises ValueError naming the key when a value is not finite: NaN is not JSON."""
        row: dict[str, float] = {"step": step}
        for key, value in values.items():
            if key == "step":
                raise ValueError("the key 'step' is reserved for the step of the row")
            # Counts stay int; NumPy and torch scalars become float.
            row[key] = value if type(value) is int else float(value)
            if not math.isfinite(row[key]):
                raise ValueError(f"{key} is {row[key]} at step {step}: only finite numbers are recorded")
        self._file.write(_line(row))
        self._file.flush()
        self._num_rows += 1

    def rows_on_disk(self) -> int:
        os.fsync(self._file.fileno())
        return self._num_rows

    def images(
        self, key: str, images: Sequence[Image.Image], step: int, captions: Sequence[str] = ()
    ) -> None:
        """captions are not recorded: sample sheets have row and column titles."""
        folder = self._media_folder(key)
        for index, image in enumerate(images):
            suffix = f"-{index}" if len(images) > 1 else ""
            image.save(folder / f"step-{step:06d}{suffix}.png")

    def table(self, key: str, columns: Sequence[str], rows: Sequence[Sequence[object]], step: int) -> None:
        folder = self._media_folder(key)
        cells: list[list[object]] = []
        for r, row in enumerate(rows):
            if len(row) != len(columns):
                raise ValueError(f"{key}: row {r} has {len(row)} cells for {len(columns)} columns")
            cells.append([])
            for c, cell in enumerate(row):
                if isinstance(cell, Image.Image):
                    name = f"step-{step:06d}-{r}-{c}.png"
                    cell.save(folder / name)
                    cell = {"image": name}
                cells[-1].append(cell)
        write_whole(folder / f"step-{step:06d}.json", _line({"columns": list(columns), "rows": cells}))

    def summary(self, values: Mapping[str, object]) -> None:
        path = self._folder / "summary.json"
        known = read_json(path, dict) if path.exists() else {}
        text = json.dumps({**known, **values}, indent=1, ensure_ascii=False, allow_nan=False)
        write_whole(path, text + "\n")

    def add_result(self, folder: Path, values: Mapping[str, float]) -> None:
        """Does nothing: results have files of their own."""

    def artifact(
        self,
        name: str,
        kind: str,
        files: Sequence[Path],
        metadata: Mapping[str, object],
        aliases: Sequence[str] = (),
    ) -> None:
        listed: list[dict[str, object]] = []
        for file in files:
            inside, data = file.is_relative_to(self._folder), file.read_bytes()
            shown = file.relative_to(self._folder).as_posix() if inside else file.name
            digest = hashlib.sha256(data).hexdigest()
            listed.append({"path": shown, "sha256": digest, "bytes": len(data)})
        row = {"name": name, "type": kind, "files": listed, "metadata": dict(metadata)}
        if aliases:
            row["aliases"] = list(aliases)
        path = self._folder / "artifacts.jsonl"
        known = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        if _line(row).encode() not in known:  # a resumed run records its data set again
            with path.open("a", encoding="utf-8") as opened:
                opened.write(_line(row))

    def alert(self, title: str, text: str) -> None:
        """Does nothing: the command itself prints what went wrong."""

    def finish(self, exit_code: int = 0) -> None:
        self._file.close()

    def _media_folder(self, key: str) -> Path:
        parts = key.split("/")
        if any(part in ("", ".", "..") for part in parts):
            raise ValueError(f"{key!r} is not a key: accepted names separated by slashes")
        folder = self._folder.joinpath("media", *parts)
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def _rows_until(step: int, file: Path) -> list[dict[str, float]]:
    rows = read_jsonl(file)
    for number, row in enumerate(rows, start=1):
        if type(row.get("step")) is not int:
            raise ValueError(f"{file}, line {number}: accepted a whole number as step")
    return [row for row in rows if row["step"] <= step]


def _line(row: Mapping[str, object]) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"
