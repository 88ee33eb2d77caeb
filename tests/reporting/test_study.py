"""The files of a study, and the same page without a study."""

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from pixelpersona.evaluation.result import EvalResults, load_results
from pixelpersona.evaluation.tradeoff import Tradeoff, load_tradeoff
from pixelpersona.reporting.study import Study, render_study, write_study
from pixelpersona.reporting.verdict import verdict


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    path = tmp_path / "sheet.png"
    Image.new("RGB", (20, 10), "red").save(path)
    return path


def study(results: EvalResults) -> Study:
    return Study(
        title="Is rank 8 worth it?", results=results, commands=["make demo"], notes="One seed.",
        would_change="A second seed.", portrait_seconds={"lora-r4": 1.25},
    )  # fmt: skip


def write(folder: Path, results: EvalResults, sheet: Path) -> str:
    return write_study(folder, study(results), sheet).read_text(encoding="utf-8")


def test_a_study_has_question_answer_commands_and_numbers(
    tmp_path: Path, results: EvalResults, sheet: Path
) -> None:
    folder = tmp_path / "experiments" / "rank"
    text = write(folder, results, sheet)
    assert text.startswith("# Is rank 8 worth it?\n")
    assert all(sentence in text for sentence in verdict(results))
    assert "```sh\nmake demo\n```" in text
    assert "(sheet.png)" in text
    assert "**What would change the result.** A second seed." in text
    assert "One seed." in text
    assert "1.25" in text
    assert verdict(results, "lora-r4")[0] in text
    assert "### Difference to LoRA rank 4, paired over the same photos" in text
    assert "- sampler: num_steps 12, guidance 3.0" in text
    assert "f" * 64 in text
    assert load_results(folder / "results.json") == results
    assert (folder / "sheet.png").read_bytes() == sheet.read_bytes()
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "results.json", "sheet.png"]


def test_a_study_includes_its_trade_off(
    tmp_path: Path, results: EvalResults, sheet: Path, tradeoff: Tradeoff
) -> None:
    readme = write_study(tmp_path / "study", replace(study(results), tradeoff=tradeoff), sheet)
    text = readme.read_text(encoding="utf-8")
    assert text.index("## Numbers") < text.index("## Trade-offs") < text.index("## Settings")
    assert "| LoRA rank 4 | dpm-20 | 0.6 | 1 |" in text
    assert load_tradeoff(tmp_path / "study" / "tradeoff.json") == tradeoff
    assert "(tradeoff.png)" in text
    with Image.open(tmp_path / "study" / "tradeoff.png") as plot:
        assert plot.width == 840
        assert len(plot.convert("RGB").getcolors(plot.width * plot.height)) > 100


def test_a_page_without_picture_links_its_result_file(results: EvalResults) -> None:
    text = render_study(study(results), picture=None, results_file="result.json")
    assert "![" not in text
    assert "[result.json](result.json)" in text
    assert "## Trade-offs" not in text


def test_writing_again_changes_nothing(tmp_path: Path, results: EvalResults, sheet: Path) -> None:
    folder = tmp_path / "study"
    first = write(folder, results, sheet)
    again = write(folder, load_results(folder / "results.json"), folder / "sheet.png")
    assert again == first
    assert (folder / "sheet.png").read_bytes() == sheet.read_bytes()


def test_a_missing_sheet_is_refused_before_anything_is_written(tmp_path: Path, results: EvalResults) -> None:
    with pytest.raises(ValueError, match=r"none\.png: the contact sheet of the study does not exist"):
        write(tmp_path / "study", results, tmp_path / "none.png")
    assert not (tmp_path / "study").exists()


def test_results_in_different_features_are_refused(tmp_path: Path, results: EvalResults, sheet: Path) -> None:
    mixed = replace(
        results, variants=[*results.variants[:3], replace(results.variants[3], features_sha256="0")]
    )
    with pytest.raises(ValueError, match="features_sha256"):
        write(tmp_path / "study", mixed, sheet)
