"""Pareto fronts compared with their definition, best settings, and the file."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelpersona.evaluation.tradeoff import (
    STYLE_SHARE,
    Setting,
    Tradeoff,
    load_tradeoff,
    pareto_front,
    save_tradeoff,
)

PHOTOS = ["a", "b", "c", "d"]
# strength: (style, likeness) of each variant
LEVELS = {
    "base": {0.3: (0.1, 0.9), 0.6: (0.2, 0.8)},
    "lora-r4": {0.3: (0.3, 0.85), 0.45: (0.41, 0.79), 0.6: (0.5, 0.8), 0.75: (0.45, 0.6)},
}


def setting(variant: str, strength: float, style: float, like: float) -> Setting:
    spread = [-0.02, -0.01, 0.01, 0.02]
    return Setting(
        variant, strength, 1.0, None, [style + s for s in spread], [like + s for s in reversed(spread)]
    )


@pytest.fixture
def tradeoff() -> Tradeoff:
    settings = [setting(v, s, *values) for v, levels in LEVELS.items() for s, values in levels.items()]
    return Tradeoff(settings, [0.7, 0.8, 0.8, 0.9], PHOTOS, [0, 1, 2, 3], "b" * 64, "f" * 64, {"prompt": "p"})


def dominated(point: tuple[float, float], others: list[tuple[float, float]]) -> bool:
    return any(o[0] >= point[0] and o[1] >= point[1] and o != point for o in others)


few_values = st.sampled_from([0.0, 0.25, 0.5, 1.0])
points = st.tuples(few_values, few_values) | st.tuples(st.floats(-1, 1), st.floats(-1, 1))


@given(st.lists(points, max_size=40))
def test_the_front_equals_its_definition(found: list[tuple[float, float]]) -> None:
    expected = [index for index, point in enumerate(found) if not dominated(point, found)]
    assert pareto_front(found) == expected


def test_front_and_best_setting_of_each_variant(tradeoff: Tradeoff) -> None:
    assert tradeoff.variants == ["base", "lora-r4"]
    assert tradeoff.style_threshold == pytest.approx(STYLE_SHARE * 0.8)
    assert [s.strength for s in tradeoff.front("lora-r4")] == [0.3, 0.6]
    assert [s.strength for s in tradeoff.front("base")] == [0.3, 0.6]
    assert tradeoff.best("base") is None
    best = tradeoff.best("lora-r4")
    assert best is not None
    assert best.strength == 0.6  # 0.3 has a higher likeness, but its style is below the threshold


def test_a_saved_file_is_read_back_and_holds_means_fronts_and_best_settings(
    tradeoff: Tradeoff, tmp_path: Path
) -> None:
    for name in ("a.json", "b.json"):
        save_tradeoff(tradeoff, tmp_path / name)
    assert load_tradeoff(tmp_path / "a.json") == tradeoff
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    saved = json.loads((tmp_path / "a.json").read_text())
    assert saved["best"]["base"] is None
    assert saved["best"]["lora-r4"]["guidance"] == 1.0
    assert [s["strength"] for s in saved["front"]["lora-r4"]] == [0.3, 0.6]
    assert saved["settings"][0]["mean"]["style"].keys() == {"mean", "low", "high"}
    assert saved["settings"][0]["style"] == tradeoff.settings[0].style


STUDIES = Path(__file__).resolve().parents[2] / "experiments"


@pytest.mark.parametrize("file", sorted(STUDIES.glob("*/tradeoff.json")), ids=lambda file: file.parent.name)
def test_committed_tradeoffs_are_what_would_be_saved(file: Path, tmp_path: Path) -> None:
    tradeoff = load_tradeoff(file)
    save_tradeoff(tradeoff, tmp_path / "again.json")
    committed, again = (json.loads(f.read_text(encoding="utf-8")) for f in (file, tmp_path / "again.json"))
    for setting in [*committed["settings"], *again["settings"]]:
        for estimate in setting.pop("mean").values():
            assert estimate["low"] <= estimate["mean"] <= estimate["high"]
    assert again == committed


def test_wrong_values_and_broken_files_are_named(tradeoff: Tradeoff, tmp_path: Path) -> None:
    first = tradeoff.settings[0]
    for wrong in (replace(first, style=first.style[1:]), replace(first, style=[float("nan")] * 4)):
        with pytest.raises(ValueError, match=r"base at strength 0\.3, guidance 1: style: accepted a finite"):
            replace(tradeoff, settings=[wrong])
    with pytest.raises(ValueError, match="ceiling"):
        replace(tradeoff, ceiling=[])
    with pytest.raises(ValueError, match="eval=tradeoff"):
        load_tradeoff(tmp_path / "none.json")
    for text, reason in (("{}", "'settings' is missing"), ("[", "not a readable trade-off")):
        (tmp_path / "broken.json").write_text(text)
        with pytest.raises(ValueError, match=reason):
            load_tradeoff(tmp_path / "broken.json")
