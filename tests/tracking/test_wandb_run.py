"""Offline W&B runs, read back from their files with W&B's command line; no network, no prompt."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import wandb
from PIL import Image

from pixelpersona.files import read_jsonl
from pixelpersona.tracking.jsonl import JsonlTracker
from pixelpersona.tracking.tracker import Trackers
from pixelpersona.tracking.wandb_run import artifact_name
from pixelpersona.tracking.wandb_start import has_key
from tests.tracking.reading import inspect, of_kind, read_run
from tests.tracking.starting import start_run

pytestmark = pytest.mark.usefixtures("own_home")


def test_an_offline_run_holds_what_metrics_jsonl_holds(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "weights.bin"
    weights.write_bytes(b"123")
    wandb_run = start_run(
        tmp_path, project="pixelpersona", group="demo", tags=["tiny"], config={"lora": {"rank": 4}}
    )
    tracker = Trackers([JsonlTracker(tmp_path), wandb_run])
    for step in range(1, 6):
        tracker.scalars({"train/loss": 1 / step, "train/grad_norm": step * 0.1, "train/lr/unet": 2e-3}, step)
        if step % 2 == 0:
            tracker.scalars({"val/loss": 0.1 * step}, step)
    tracker.images("samples/faces", [Image.new("RGB", (4, 4), c) for c in ("red", "blue")], 5, ["a", "b"])
    tracker.table("scores", ["id", "picture"], [["x", Image.new("RGB", (2, 2))]], 5)
    tracker.summary({"best_val_loss": 0.2})
    tracker.artifact("lora-r4", "model", [weights], {"base_sha256": "b" * 64})
    assert tracker.run_id == wandb_run.run_id != ""
    assert wandb_run.url is None
    tracker.finish()

    records = inspect(tmp_path)
    items = [row["item"] for row in of_kind(records, "history")]
    rows = [{"step": i.pop("train/step"), **{k: v for k, v in i.items() if k[0] != "_"}} for i in items]
    assert rows[:7] == read_jsonl(tmp_path / "metrics.jsonl")
    assert [i["_step"] for i in items] == list(range(9))  # every call adds a row
    assert rows[7]["samples/faces.captions"] == ["a", "b"]
    (run,) = of_kind(records, "run")
    assert (run["display_name"], run["project"], run["run_group"]) == ("lora-r4", "pixelpersona", "demo")
    assert run["config"]["update"]["lora"] == {"rank": 4}
    assert {"glob_name": "*", "step_metric": "train/step"}.items() <= of_kind(records, "metric")[1].items()
    assert any(u["update"].get("best_val_loss") == 0.2 for u in of_kind(records, "summary"))
    artifacts = {a.get("type"): a for a in of_kind(records, "artifact")}
    assert json.loads(artifacts["model"]["metadata"]) == {"base_sha256": "b" * 64}
    pictures = [p for p in tmp_path.glob("wandb/offline-run-*/files/media/images/samples/*.png")]
    assert {Image.open(p).convert("RGB").getpixel((0, 0)) for p in pictures} == {(255, 0, 0), (0, 0, 255)}
    (folder,) = (tmp_path / "wandb").glob("offline-run-*")
    line = f"W&B: recorded offline in {folder}; with a key, `wandb sync {folder}` uploads it\n"
    assert capfd.readouterr() == (line, "")


def test_jobs_of_a_sweep_have_separate_runs(tmp_path: Path) -> None:
    trackers = [start_run(tmp_path / name, name=name) for name in ("r4", "r8")]
    for loss, tracker in enumerate(trackers):
        tracker.scalars({"train/loss": loss}, 1)
    for tracker in trackers:
        tracker.finish()
    losses = [of_kind(inspect(tmp_path / n), "history")[0]["item"]["train/loss"] for n in ("r4", "r8")]
    assert losses == [0, 1]
    assert trackers[0].run_id != trackers[1].run_id


def test_a_resumed_run_keeps_its_id(tmp_path: Path) -> None:
    first = start_run(tmp_path / "a")
    first.finish()
    second = start_run(tmp_path / "b", run_id=first.run_id)
    second.finish()
    assert of_kind(inspect(tmp_path / "b"), "run")[0]["run_id"] == first.run_id


def test_a_run_resumed_offline_repeats_no_step_of_wandb(tmp_path: Path) -> None:
    """W&B merges rows of one run that have the same `_step`, also from different files."""
    run_id, parts = None, list[Path]()
    for number, steps in enumerate(((1, 2, 3), (3, 4), (4, 5))):
        tracker = start_run(tmp_path, run_id=run_id)
        for step in steps:
            tracker.scalars({"train/loss": 1 / step}, step)
        tracker.finish()
        run_id = tracker.run_id
        (part,) = set((tmp_path / "wandb").glob("offline-run-*")) - set(parts)
        # Folders are named after the second, and these start within one.
        parts.append(part.rename(part.with_name(f"offline-run-20200101_00000{number}-{run_id}")))
    items = [record["item"] for part in parts for record in of_kind(read_run(part), "history")]
    found = [(item["_step"], item["train/step"]) for item in items]
    assert found == list(enumerate((1, 2, 3, 3, 4, 4, 5)))
    empty = tmp_path / "wandb" / f"offline-run-20200101_000009-{run_id}"
    empty.mkdir()  # as after a kill before its file was created
    start_run(tmp_path, run_id=run_id).finish()


def test_an_offline_run_stores_alerts(tmp_path: Path) -> None:
    tracker = start_run(tmp_path)
    tracker.alert("not finite", "step 3: loss nan; samples: a, b")
    tracker.finish()
    (alert,) = of_kind(inspect(tmp_path), "alert")
    assert (alert["title"], alert["level"]) == ("not finite", "ERROR")
    assert alert["text"].endswith("samples: a, b")


def test_the_host_name_is_not_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "laptop-of-kim")
    start_run(tmp_path).finish()
    assert not [
        file for file in tmp_path.rglob("*") if file.is_file() and b"laptop-of-kim" in file.read_bytes()
    ]


def test_wandb_mode_disabled_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    tracker = start_run(tmp_path / "run")
    tracker.scalars({"train/loss": 1.0}, 1)
    tracker.images("faces", [Image.new("RGB", (1, 1))], 1)
    tracker.finish()
    assert list((tmp_path / "run").iterdir()) == []


def test_online_without_a_key_is_refused_without_a_prompt(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs a W&B key"):
        start_run(tmp_path, mode="online")


def test_with_an_invalid_key_auto_continues_offline_and_online_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "too-short")
    with pytest.raises(ValueError, match="did not start with mode=online"):
        start_run(tmp_path / "a", mode="online")
    tracker = start_run(tmp_path / "b", mode="auto")
    tracker.scalars({"train/loss": 1.0}, 1)
    tracker.finish()
    assert len(of_kind(inspect(tmp_path / "b"), "history")) == 1
    said = [line for line in capfd.readouterr().err.splitlines() if "tracking offline" in line]
    assert len(said) == 1


@pytest.mark.slow
def test_with_an_unreachable_server_auto_continues_offline(tmp_path: Path) -> None:
    """In its own process, with a closed local port as the server."""
    code = (
        "from pathlib import Path; from tests.tracking.starting import start_run\n"
        f"t = start_run(Path({str(tmp_path)!r}), start_timeout_s=2)\n"
        "t.scalars({'train/loss': 1.0}, 1); t.finish()"
    )
    env = {
        "WANDB_API_KEY": "a" * 40, "WANDB_BASE_URL": "http://127.0.0.1:9", "HOME": str(tmp_path),
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
    }  # fmt: skip
    out = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert out.stderr.count("tracking offline") == 1
    assert len(of_kind(inspect(tmp_path), "history")) == 1


@pytest.mark.parametrize(
    ("netrc", "expected"),
    [
        ("", False),
        ("machine api.wandb.ai login user password " + "a" * 40, True),
        ("machine example.org login user password " + "a" * 40, False),
        ("machine machine machine", False),
    ],
)
def test_a_key_is_found_in_netrc(tmp_path: Path, netrc: str, expected: bool) -> None:
    (tmp_path / "netrc").write_text(netrc)
    assert has_key() is expected


def test_a_key_in_netrc_counts_for_its_server_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine wandb.example.org login user password " + "a" * 40)
    assert not has_key()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert has_key()


def test_a_key_in_the_environment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    assert has_key()


@pytest.mark.parametrize("name", ["내 LoRA (1)", "a b", "x" * 200, "사진", "."])
def test_any_run_name_gives_an_artifact_name(name: str) -> None:
    made = artifact_name(name)
    assert wandb.Artifact(made, type="model").name == made
    assert made != artifact_name(name + "2")


def test_a_valid_artifact_name_is_unchanged() -> None:
    assert artifact_name("lora-r8_v1.2") == "lora-r8_v1.2"
