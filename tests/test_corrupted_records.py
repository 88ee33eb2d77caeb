"""Damaged run records, results and palettes: one line that names the file, and nothing is lost."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from pixelpersona import report
from pixelpersona.evaluation.result import (
    Difference,
    Estimate,
    EvalResult,
    EvalResults,
    load_results,
    save_results,
)
from pixelpersona.evaluation.tradeoff import Setting, Tradeoff, load_tradeoff, save_tradeoff
from pixelpersona.pixel.palette_files import named_palette, read_palette, write_palette
from pixelpersona.recipes import export_adapter
from pixelpersona.reporting.card import card_info, write_card
from pixelpersona.reporting.lora_metadata import lora_metadata
from pixelpersona.runs.discovery import TrainedWeights, base_of, best_weights, training_of
from pixelpersona.runs.finished import FINISHED, is_finished, mark_finished
from pixelpersona.runs.reading import TIMINGS, read_run, read_timings, save_timings
from pixelpersona.tracking.jsonl import JsonlTracker
from tests.corrupting import check_reader

quick_and_thorough = pytest.mark.parametrize("thorough", [False, pytest.param(True, marks=pytest.mark.slow)])

CONFIG = {
    "method": {"kind": "lora"},
    "model": {"path": None, "prompt": "pixel art", "image_size": 128},
    "sampler": {"kind": "dpm", "strength": 0.5, "guidance": 3.0, "num_steps": 8},
    "dataset": {"kind": "folder"},
    "loop": {"num_steps": 3, "num_epochs": None, "batch_size": 1, "seed": 0},
    "optimizer": {"kind": "adamw", "lr": 1e-3},
    "lora": {"rank": 4},
}
RECORDS = {
    "config.yaml": CONFIG,
    "overrides.yaml": ["lora.rank=4", "name=a"],
    "versions.json": {"torch": "2.13.0"},
    "git.json": {"commit": "abc", "dirty": False},
    "data.json": {"pairs": "d" * 64, "base": "b" * 64},
}
ROW = {"step": 2, "train/loss": 0.5, "val/loss": 1}
BEST = {"kept": [{"folder": "step-000002", "value": 0.5, "step": 2}]}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    tracker = JsonlTracker(folder)
    tracker.scalars({"train/loss": 0.5}, 1)
    tracker.summary({"best": 0.5})
    tracker.artifact("pairs", "dataset", [], {})
    tracker.finish()
    for name, value in RECORDS.items():
        (folder / name).write_text(json.dumps(value))  # JSON is YAML
    (folder / "best" / "step-000002").mkdir(parents=True)
    (folder / "best" / "step-000002" / "w.safetensors").write_bytes(b"best")
    (folder / "best" / "best.json").write_text(json.dumps(BEST))
    (folder / "w.safetensors").write_bytes(b"last")
    save_timings(folder, {"base": 0.25})
    return folder


@quick_and_thorough
@pytest.mark.parametrize("name", RECORDS)
def test_records_of_a_run(run: Path, name: str, thorough: bool) -> None:
    assert check_reader(run / name, lambda: read_run(run).method, RECORDS[name], thorough=thorough) > 10


@quick_and_thorough
def test_the_configuration_of_a_run_on_a_card(run: Path, tmp_path: Path, thorough: bool) -> None:
    def read() -> None:
        with export_adapter._naming_the_run(run / "w.safetensors"):
            trained = export_adapter._run_config(run / "w.safetensors") or CONFIG
            info = card_info(trained, title="title")
            lora_metadata(info, trained, is_sd1=True)
        write_card(tmp_path / "card", info)

    assert check_reader(run / "config.yaml", read, CONFIG, thorough=thorough, named=str(run)) > 10


@quick_and_thorough
def test_metrics(run: Path, thorough: bool) -> None:
    def line(text: str) -> str:
        return text + "\n"

    def resume() -> None:
        JsonlTracker(run, resume_step=2).finish()

    file = run / "metrics.jsonl"
    assert check_reader(file, lambda: read_run(run), ROW, thorough=thorough, as_text=line) > 10
    rows = file.read_bytes()
    for text in ("[]\n", '{"step": "x"}\n', '{"train/loss": 1}\n', '{"step": NaN}\n', "\xff\n"):
        file.write_bytes(rows + text.encode("latin-1"))
        with pytest.raises(ValueError, match=r"metrics\.jsonl, line 2: "):
            resume()
        assert file.read_bytes() == rows + text.encode("latin-1")


@quick_and_thorough
def test_summary_and_artifacts(run: Path, thorough: bool) -> None:
    tracker = JsonlTracker(run, resume_step=2)

    def summary() -> None:
        tracker.summary({"best": 0.5})

    assert check_reader(run / "summary.json", summary, {"best": 0.5}, thorough=thorough) > 10
    artifacts = run / "artifacts.jsonl"
    artifacts.write_bytes(b"\xff\xfe")
    tracker.artifact("pairs", "dataset", [], {})
    assert artifacts.read_bytes().startswith(b'\xff\xfe{"name": "pairs"')
    tracker.finish()


@quick_and_thorough
def test_the_record_of_the_best_weights(run: Path, thorough: bool) -> None:
    trained = TrainedWeights("run", run / "w.safetensors", "run/w.safetensors")
    file = run / "best" / "best.json"

    def read() -> None:
        assert best_weights(trained).file.read_bytes() == b"best"  # never the last ones in silence

    assert check_reader(file, read, BEST, thorough=thorough) > 10
    check_reader(run / "data.json", lambda: base_of(trained), RECORDS["data.json"], thorough=thorough)
    check_reader(run / "config.yaml", lambda: training_of(trained), CONFIG, thorough=thorough)


@dataclass
class Settings:
    lr: float = 0.5


@quick_and_thorough
def test_a_damaged_marker_counts_as_unfinished_and_never_hides_a_change(run: Path, thorough: bool) -> None:
    inputs = {"pairs": "p"}
    mark_finished(run, Settings(), inputs, [run / "w.safetensors"])
    document = json.loads((run / FINISHED).read_text())
    read: Callable[[], object] = lambda: is_finished(run, Settings(), inputs)  # noqa: E731
    check_reader(run / FINISHED, read, document, thorough=thorough, named=str(run))
    (run / "w.safetensors").write_bytes(b"other")
    assert not is_finished(run, Settings(), inputs)


@quick_and_thorough
def test_timings(run: Path, thorough: bool) -> None:
    document = {"seconds_per_portrait": {"base": 0.25}}
    assert check_reader(run / TIMINGS, lambda: read_timings(run), document, thorough=thorough) > 10


def small_results() -> EvalResults:
    variants = [
        EvalResult(
            variant=name,
            metrics={"likeness_raw": Estimate(0.5, 0.4, 0.6)},
            per_photo={"likeness_raw": [0.4, 0.6]},
            photo_ids=["a", "b"],
            seeds=[1, 2],
            base_sha256="b" * 64,
            adapter_sha256=adapter,
            features_sha256="f" * 64,
            num_parameters=0,
        )
        for name, adapter in (("base", None), ("lora-r4", "4" * 64))
    ]
    difference = Difference("lora-r4", "base", "likeness_raw", Estimate(0.0, -0.1, 0.1))
    return EvalResults(variants, [difference], {"prompt": "pixel art"})


@quick_and_thorough
def test_results(tmp_path: Path, thorough: bool) -> None:
    file = tmp_path / "result.json"
    save_results(small_results(), file)
    document = json.loads(file.read_text())
    assert check_reader(file, lambda: load_results(file), document, thorough=thorough) > 10


@quick_and_thorough
def test_trade_offs(tmp_path: Path, thorough: bool) -> None:
    file = tmp_path / "tradeoff.json"
    settings = [Setting("base", s, 1.0, None, [0.1, 0.2], [0.8, 0.9], "dpm-20", 10) for s in (0.3, 0.6)]
    save_tradeoff(Tradeoff(settings, [0.8, 0.9], ["a", "b"], [1, 2], "b" * 64, "f" * 64), file)
    document = json.loads(file.read_text())
    assert check_reader(file, lambda: load_tradeoff(file), document, thorough=thorough) > 10


@quick_and_thorough
@pytest.mark.parametrize("suffix", [".hex", ".gpl", ".pal", ".act", ".png"])
def test_palettes(tmp_path: Path, suffix: str, thorough: bool) -> None:
    file = tmp_path / f"palette{suffix}"
    if suffix == ".png":
        Image.fromarray(named_palette("pico8").rgb[None]).save(file)
    else:
        write_palette(named_palette("pico8"), file)
    assert check_reader(file, lambda: read_palette(file), thorough=thorough) > 10


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("result.json", b'{"variants": NaN'),
        ("result.json", b"[]"),
        ("run/metrics.jsonl", b'{"step": 1, "train/loss": Infinity}\n'),
        ("run/versions.json", b"\xff"),
        ("timings.json", b"3"),
    ],
)
def test_report_ends_with_one_line_and_writes_nothing(
    run: Path, name: str, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = run.parent
    save_results(small_results(), runs / "result.json")
    (runs / name).write_bytes(content)
    before = {path: path.read_bytes() for path in runs.rglob("*") if path.is_file()}
    with pytest.raises(SystemExit) as stop:
        report.main([f"paths.runs={runs}"])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{runs / name}")
    assert {path: path.read_bytes() for path in runs.rglob("*") if path.is_file()} == before


def test_the_process_ends_with_exit_code_2(run: Path) -> None:
    (run.parent / "result.json").write_bytes(b"{")
    words = [sys.executable, "-m", "pixelpersona.report", f"paths.runs={run.parent}"]
    ended = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.startswith(f"{run.parent / 'result.json'}: not a readable result file (")
    assert len(ended.stderr.splitlines()) == 1
