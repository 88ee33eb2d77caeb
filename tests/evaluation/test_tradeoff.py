"""The Pareto front against its definition, and the best setting by its rule."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelpersona.evaluation.tradeoff import (
    ENOUGH,
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
    "lora-r4": {0.3: (0.3, 0.85), 0.45: (0.41, 0.8), 0.6: (0.5, 0.8), 0.75: (0.45, 0.6)},
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


def beaten(point: tuple[float, float], others: list[tuple[float, float]]) -> bool:
    return any(o[0] >= point[0] and o[1] >= point[1] and o != point for o in others)


few_values = st.sampled_from([0.0, 0.25, 0.5, 1.0])
points = st.tuples(few_values, few_values) | st.tuples(st.floats(-1, 1), st.floats(-1, 1))


@given(st.lists(points, max_size=40))
def test_the_front_against_comparing_every_pair(found: list[tuple[float, float]]) -> None:
    expected = [index for index, point in enumerate(found) if not beaten(point, found)]
    assert pareto_front(found) == expected


def test_fronts_and_the_best_of_each_variant(tradeoff: Tradeoff) -> None:
    assert tradeoff.variants == ["base", "lora-r4"]
    assert tradeoff.enough == pytest.approx(ENOUGH * 0.8)
    assert [s.strength for s in tradeoff.front("lora-r4")] == [0.3, 0.6]
    assert [(s.variant, s.strength) for s in tradeoff.front()] == [
        ("base", 0.3),
        ("lora-r4", 0.3),
        ("lora-r4", 0.6),
    ]
    assert tradeoff.best("base") is None
    best = tradeoff.best("lora-r4")
    assert best is not None
    assert best.strength in (0.45, 0.6)  # equally alike but for rounding


def test_the_best_is_the_most_alike_of_those_that_are_pixel_art(tradeoff: Tradeoff) -> None:
    """Against filtering and sorting all of them."""
    for variant in tradeoff.variants:
        drawn = [s for s in tradeoff.of(variant) if sum(s.style) / 4 >= 0.4]
        ranked = sorted(drawn, key=lambda s: -sum(s.likeness) / 4)
        best = tradeoff.best(variant)
        assert (best is None) == (not ranked)
        if best is not None:
            assert best.point[1] == pytest.approx(ranked[0].point[1])


def test_what_is_written_is_read_back(tradeoff: Tradeoff, tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        save_tradeoff(tradeoff, tmp_path / name)
    assert load_tradeoff(tmp_path / "a.json") == tradeoff
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    told = json.loads((tmp_path / "a.json").read_text())
    assert told["best"]["base"] is None
    assert told["best"]["lora-r4"]["guidance"] == 1.0
    assert [s["strength"] for s in told["front"]["lora-r4"]] == [0.3, 0.6]
    assert told["settings"][0]["mean"]["style"].keys() == {"mean", "low", "high"}
    assert told["settings"][0]["style"] == tradeoff.settings[0].style


def test_wrong_values_are_named(tradeoff: Tradeoff, tmp_path: Path) -> None:
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
