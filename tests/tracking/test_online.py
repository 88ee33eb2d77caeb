"""Online runs with a local server; each in its own process, because W&B connects once per process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pixelpersona.files import read_jsonl
from tests.tracking.reading import of_kind, read_run

ROOT = Path(__file__).resolve().parent.parent.parent
HEAD = """\
import sys
from pathlib import Path
from tests.tracking.fake_server import Server
server = Server()
server.use()
from pixelpersona.tracking.jsonl import JsonlTracker
from pixelpersona.tracking.tracker import Trackers
from tests.tracking.starting import start_run
"""


def run(code: str, home: Path) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", HEAD + code]
    # W&B itself would wait for its server more than twice as long.
    return subprocess.run(
        command, env=env, cwd=home, capture_output=True, text=True, check=False, timeout=120
    )


def test_a_run_ends_when_the_server_becomes_unreachable(tmp_path: Path) -> None:
    out = run(
        "folder = Path('run')\n"
        "wandb_run = start_run(folder, finish_timeout_s=1)\n"
        "tracker = Trackers([JsonlTracker(folder), wandb_run])\n"
        "print(wandb_run.url)\n"
        "tracker.scalars({'train/loss': 1.0}, 1)\n"
        "server.close()\n"
        "tracker.scalars({'train/loss': 0.5}, 2)\n"
        "tracker.finish()\n",
        tmp_path,
    )
    assert out.returncode == 0, out.stderr
    assert out.stdout.startswith("W&B: http://127.0.0.1")
    assert "/kim/faces/runs/" in out.stdout
    assert "wandb sync" in out.stderr
    (kept,) = (tmp_path / "run" / "wandb").glob("run-*")
    rows = [record["item"] for record in of_kind(read_run(kept), "history")]
    found = [{"step": row["train/step"], "train/loss": row["train/loss"]} for row in rows]
    assert found == read_jsonl(tmp_path / "run" / "metrics.jsonl")


@pytest.mark.parametrize("gone", ["close", "fall_silent"])
def test_a_stopped_run_does_not_wait_for_an_unreachable_server(tmp_path: Path, gone: str) -> None:
    """During the default wait of 300 s, the sender of the signal would kill the process."""
    out = run(
        "tracker = start_run(Path('run'))\n"
        "tracker.scalars({'train/loss': 1.0}, 1)\n"
        f"server.{gone}()\n"
        "tracker.scalars({'train/loss': 0.5}, 2)\n"
        "tracker.finish(143)\n"
        "print('finished')\n"
        "sys.exit(143)\n",
        tmp_path,
    )
    assert out.returncode == 143, out.stderr
    assert out.stdout.splitlines()[1:] == ["finished"]
    (kept,) = (tmp_path / "run" / "wandb").glob("run-*")
    assert (
        out.stderr.count(f"`wandb sync --include-online {kept.relative_to(tmp_path)}` uploads the rest") == 1
    )
    assert [row["item"]["train/loss"] for row in of_kind(read_run(kept), "history")] == [1.0, 0.5]


def test_results_are_added_to_the_summary_of_the_run_they_judge(tmp_path: Path) -> None:
    out = run(
        "judged = start_run(Path('runs/lora-r4'))\n"
        "judged.scalars({'val/loss': 0.5}, 1)\n"
        "judged.finish()\n"
        "tracker = start_run(Path('runs'), job_type='evaluate')\n"
        "tracker.add_result(Path('runs/lora-r4'), {'test/likeness': 0.25})\n"
        "tracker.add_result(Path('runs/without-wandb'), {'test/likeness': 0.75})\n"
        "tracker.finish()\n"
        "import json\n"
        "print(json.dumps([server.summaries[judged.run_id], server.summaries[tracker.run_id]]))\n",
        tmp_path,
    )
    assert out.returncode == 0, out.stderr
    assert "did not accept" not in out.stderr
    judged, evaluation = json.loads(out.stdout.splitlines()[-1])
    assert {key: value for key, value in judged.items() if key[0] != "_"} == {
        "train/step": 1, "val/loss": 0.5, "best/val/loss": 0.5, "test/likeness": 0.25,
    }  # fmt: skip
    assert "test/likeness" not in evaluation


def test_results_of_a_run_that_is_not_at_the_server_are_reported(tmp_path: Path) -> None:
    """Such as an offline run before `wandb sync`; a damaged record is named."""
    out = run(
        "offline = start_run(Path('runs/lora-r4'), mode='offline')\n"
        "offline.finish()\n"
        "tracker = start_run(Path('runs'), job_type='evaluate')\n"
        "tracker.add_result(Path('runs/lora-r4'), {'test/likeness': 0.25})\n"
        "Path('runs/lora-r4/wandb/run.json').write_text('{')\n"
        "tracker.add_result(Path('runs/lora-r4'), {'test/likeness': 0.25})\n"
        "tracker.finish()\n",
        tmp_path,
    )
    assert out.returncode == 0, out.stderr
    _, first, second = out.stderr.splitlines()  # the first line is W&B's own, about the key
    assert first.startswith("W&B did not accept the results of lora-r4 for its summary: ")
    assert second.startswith("runs/lora-r4/wandb/run.json: not readable")


@pytest.mark.slow  # W&B waits for an answer
@pytest.mark.parametrize("gone", ["close", "fall_silent"])
def test_a_run_succeeds_although_the_server_does_not_accept_its_artifact(tmp_path: Path, gone: str) -> None:
    (tmp_path / "weights").write_bytes(b"123")
    out = run(
        "wandb_run = start_run(Path('run'), finish_timeout_s=1)\n"
        "tracker = Trackers([JsonlTracker(Path('run')), wandb_run])\n"
        f"server.{gone}()\n"
        "tracker.artifact('lora', 'model', [Path('weights')], {})\n"
        "tracker.finish()\n",
        tmp_path,
    )
    assert out.returncode == 0, out.stderr
    assert out.stderr.count("W&B did not accept lora: ") == 1
    assert [row["name"] for row in read_jsonl(tmp_path / "run" / "artifacts.jsonl")] == ["lora"]


@pytest.mark.parametrize("moment", ["start", "end", "stop"])
def test_ctrl_c_ends_the_process_while_the_server_does_not_answer(tmp_path: Path, moment: str) -> None:
    """W&B itself would wait at the end of the process until start or finish timeout."""
    out = run(
        "try:\n"
        f"    if {moment == 'start'}: server.interrupt()\n"
        "    tracker = start_run(Path('run'), start_timeout_s=300)\n"
        "    tracker.scalars({'train/loss': 1.0}, 1)\n"
        "    server.interrupt()\n"
        f"    tracker.finish({143 if moment == 'stop' else 0})\n"
        "except KeyboardInterrupt:\n"
        "    sys.exit(130)\n",
        tmp_path,
    )
    assert out.returncode == 130, out.stderr
    if moment != "start":
        (kept,) = (tmp_path / "run" / "wandb").glob("run-*")
        assert f"`wandb sync --include-online {kept.relative_to(tmp_path)}` uploads the rest" in out.stderr
        assert [row["item"]["train/loss"] for row in of_kind(read_run(kept), "history")] == [1.0]


def test_the_dashboard_command_saves_a_workspace_and_a_report(tmp_path: Path) -> None:
    out = run(
        "import json\n"
        "from pixelpersona import dashboard\n"
        "dashboard.main(['tracker.project=faces'])\n"
        "print(json.dumps(server.views))\n",
        tmp_path,
    )
    assert out.returncode == 0, out.stderr
    *addresses, views = out.stdout.splitlines()
    assert [line.partition(": ")[0] for line in addresses] == ["workspace", "report"]
    assert all("/kim/faces" in line for line in addresses)
    sent = [(view["entityName"], view["projectName"], view["displayName"]) for view in json.loads(views)]
    assert sent == [("kim", "faces", "PixelPersona"), ("kim", "faces", "PixelPersona: runs compared")]
