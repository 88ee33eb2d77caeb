"""Tables by group in a page and in a study."""

from dataclasses import replace
from pathlib import Path

from pixelpersona.evaluation.intervals import bootstrap_mean
from pixelpersona.evaluation.result import EvalResults, load_results, save_results
from pixelpersona.reporting.page import render_page
from pixelpersona.reporting.people_table import people_tables
from pixelpersona.reporting.study import Study, render_study


def captioned(results: EvalResults) -> EvalResults:
    ids = results.variants[0].photo_ids
    return replace(
        results, captions={name: f"a photo of a {'man' if i % 2 else 'woman'}" for i, name in enumerate(ids)}
    )


def test_groups_are_rows_and_models_are_columns(results: EvalResults) -> None:
    tables = people_tables(captioned(results))
    assert [table.title for table in tables] == [
        "likeness, raw\u00a0↑, by group",
        "grid contrast, raw\u00a0↑, by group",
    ]
    half = len(results.variants[0].photo_ids) // 2
    likeness = tables[0]
    assert likeness.columns == ["group", "untouched base", "LoRA rank 4", "LoRA rank 8"]
    assert [title for title, _ in likeness.rows] == [f"women ({half} photos)", f"men ({half} photos)"]
    women = bootstrap_mean(results.variant("lora-r8").per_photo["likeness_raw"][::2])
    assert likeness.rows[0][1][2].text.startswith(f"{women.mean:.2f}")


def test_page_and_study_show_them_where_there_are_captions(results: EvalResults, tmp_path: Path) -> None:
    with_groups = captioned(results)
    save_results(with_groups, tmp_path / "result.json")
    assert load_results(tmp_path / "result.json") == with_groups
    study = Study(title="?", results=with_groups)
    text = render_study(study, picture=None, results_file="results.json")
    assert text.index("## Numbers") < text.index("## By group") < text.index("## Settings")
    assert "likeness, raw\u00a0↑, by group" in text
    assert "By gender, age and ethnicity" in render_page(with_groups)
    assert "By group" not in render_study(replace(study, results=results), picture=None, results_file="r")
    assert "By gender, age and ethnicity" not in render_page(results)
    assert people_tables(results) == []
