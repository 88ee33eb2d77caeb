"""Workspace and report as they would be sent, compared with golden files; no account, no network."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import wandb
import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws

from pixelpersona import dashboard
from pixelpersona.tracking.directions import BETTER
from pixelpersona.tracking.workspace import COMPARED, report, save_dashboard, workspace

GOLDENS = Path(__file__).parent / "goldens"
ROOT = Path(__file__).resolve().parent.parent.parent

pytestmark = pytest.mark.usefixtures("own_home")


def sent(made: ws.Workspace | wr.Report) -> dict[str, object]:
    """The specification that `save` would send."""
    text = made._to_model().spec.model_dump_json(by_alias=True, exclude_none=True)
    spec: dict[str, object] = json.loads(text)
    return spec


def outline(spec: object) -> object:
    """The specification with only the table's name of a table panel, whose expression is W&B's own."""
    if isinstance(spec, dict):
        if "panel2Config" in spec:
            return {"table": spec["panel2Config"]["exp"]["fromOp"]["inputs"]["key"]["val"]}
        return {key: outline(value) for key, value in spec.items()}
    return [outline(value) for value in spec] if isinstance(spec, list) else spec


@pytest.mark.parametrize("build", [workspace, report], ids=["workspace", "report"])
def test_specification_equals_the_golden_file(build, request: pytest.FixtureRequest) -> None:  # type: ignore[no-untyped-def]
    file = GOLDENS / f"{request.node.callspec.id}.json"
    text = json.dumps(outline(sent(build("someone", "pixelpersona"))), indent=1, ensure_ascii=False) + "\n"
    if os.environ.get("UPDATE_GOLDENS"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8"), "review the change, then accept it with UPDATE_GOLDENS=1"


def test_curves_best_values_and_samples_are_shown() -> None:
    for spec in (sent(workspace("e", "p")), sent(report("e", "p"))):
        text = json.dumps(spec)
        assert all(f'"metrics": ["{name}"]' in text for name in BETTER)
        assert all(f'"metrics": ["best/{name}"]' in text for name in COMPARED)
        assert "samples/portraits" in text
        assert "samples/table" in text


def test_without_a_key_the_command_ends_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        dashboard.main([])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "no Weights & Biases key; set WANDB_API_KEY or run `wandb login`"


class Api:
    default_entity = "kim"


@pytest.fixture
def key(own_home: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setattr(wandb, "Api", Api)


@pytest.mark.usefixtures("key")
def test_with_a_key_both_are_saved_for_its_entity_or_the_given_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    saved: list[tuple[str, str]] = []
    for kind in (ws.Workspace, wr.Report):
        monkeypatch.setattr(kind, "save", lambda made: saved.append((made.entity, made.project)))
        monkeypatch.setattr(kind, "url", property(lambda made: f"https://wandb.invalid/{made.entity}"))
    dashboard.main(["tracker.project=faces"])
    dashboard.main(["tracker.project=faces", "tracker.entity=team"])
    assert saved == [("kim", "faces")] * 2 + [("team", "faces")] * 2
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["workspace: https://wandb.invalid/kim", "report: https://wandb.invalid/kim"]


@pytest.mark.usefixtures("key")
def test_a_refusal_of_wandb_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(made: ws.Workspace) -> None:
        raise RuntimeError("permission\ndenied")

    monkeypatch.setattr(ws.Workspace, "save", refuse)
    with pytest.raises(ValueError, match="did not accept the dashboard: permission denied"):
        save_dashboard("faces")


def test_without_the_library_the_extra_to_install_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "pixelpersona.tracking.workspace")
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    monkeypatch.setitem(sys.modules, "wandb_workspaces.reports.v2", None)
    with pytest.raises(SystemExit):
        dashboard.main([])
    assert "pip install 'pixelpersona[dashboard]'" in capsys.readouterr().err


def test_make_help_lists_the_dashboard() -> None:
    out = subprocess.run(["make", "-C", str(ROOT), "help"], capture_output=True, text=True, check=True)
    assert "make dashboard" in out.stdout
