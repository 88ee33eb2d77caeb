"""Runs that differ in their training seed alone are one row, and differences are over their seeds."""

from dataclasses import replace

import numpy as np
import pytest

from pixelpersona.evaluation.intervals import (
    Estimate,
    crossed_mean,
    paired_difference,
    paired_proportions,
    pooled_mean,
    proportion,
)
from pixelpersona.evaluation.result import EvalResult, EvalResults
from pixelpersona.evaluation.training_seeds import compare_seeds, compare_variants, group_seeds

NUM = 16


def run(name: str, seed: int | None = None, level: float = 0.5, hits: int = NUM) -> EvalResult:
    """A run; without a seed, the untouched base."""
    rng = np.random.default_rng(0 if seed is None else seed + 1)
    values = (level + rng.normal(0.0, 0.05) + rng.normal(0.0, 0.1, NUM)).tolist()
    top1 = [1.0] * hits + [0.0] * (NUM - hits)
    return EvalResult(
        variant=name,
        metrics={
            "likeness_raw": Estimate(float(np.mean(values)), 0.0, 1.0),
            "likeness_top1_raw": proportion(top1),
            "kid_persona_raw": Estimate(level, level - 0.2, level + 0.1),
        },
        per_photo={"likeness_raw": values, "likeness_top1_raw": top1},
        photo_ids=[f"p{i}" for i in range(NUM)],
        seeds=list(range(NUM)),
        base_sha256="b" * 64,
        adapter_sha256=None if seed is None else f"{seed}" * 64,
        features_sha256="f" * 64,
        num_parameters=0 if seed is None else 8,
        training_seeds=[] if seed is None else [seed],
    )


FOURS = [run(f"lora-r4-seed_{seed}", seed, hits=NUM - seed) for seed in (0, 1, 2)]
EIGHTS = [run(f"lora-r8-seed_{seed}", seed, level=0.6) for seed in (0, 1, 2)]
SETTINGS = {r.variant: r.variant.partition("-seed")[0] for r in [*FOURS, *EIGHTS]}


@pytest.fixture
def results() -> EvalResults:
    variants = [run("base"), *FOURS, *EIGHTS]
    return EvalResults(variants, [], groups=group_seeds(variants, SETTINGS))


def test_runs_of_the_same_settings_are_one_row(results: EvalResults) -> None:
    assert [row.variant for row in results.compared] == ["base", "lora-r4", "lora-r8"]
    four = results.variant("lora-r4")
    assert (four.training_seeds, four.num_seeds) == ([0, 1, 2], 3)
    assert four.members == [r.variant for r in FOURS]
    assert (four.adapter_sha256, four.per_photo) == (None, {})
    assert results.runs_of_groups == [*FOURS, *EIGHTS]


def test_mean_spread_and_interval_of_a_row_are_over_seeds_and_photos(results: EvalResults) -> None:
    four = results.variant("lora-r4")
    values = np.array([r.per_photo["likeness_raw"] for r in FOURS])
    assert four.metrics["likeness_raw"] == crossed_mean(values)
    assert four.deviations["likeness_raw"] == pytest.approx(values.mean(axis=1).std(ddof=1))
    # A share stays in its range, and KID has no values per photo.
    top1 = pooled_mean([r.metrics["likeness_top1_raw"] for r in FOURS])
    assert four.metrics["likeness_top1_raw"] == replace(top1, high=1.0)
    assert four.metrics["likeness_top1_raw"].low < FOURS[2].metrics["likeness_top1_raw"].mean
    kid = results.variant("lora-r8").metrics["kid_persona_raw"]
    assert (kid.mean, kid.low, kid.high) == pytest.approx((0.6, 0.4, 0.7))


def test_a_run_alone_or_of_unknown_settings_is_in_no_group() -> None:
    assert group_seeds(FOURS[:1], SETTINGS) == []
    assert group_seeds(FOURS, {}) == []
    assert group_seeds(FOURS, {r.variant: r.variant for r in FOURS}) == []
    assert group_seeds([replace(r, training_seeds=[]) for r in FOURS], SETTINGS) == []


def test_a_second_run_of_one_seed_does_not_count_twice() -> None:
    again = replace(FOURS[0], variant="again")
    variants = [*FOURS, again]
    (group,) = group_seeds(variants, SETTINGS | {"again": "lora-r4"})
    assert group.members == [r.variant for r in FOURS]
    assert [r.variant for r in EvalResults(variants, [], groups=[group]).compared] == ["lora-r4", "again"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["lora-r4-seed_0", "lora-r4-seed_1"], "lora-r4"),
        (["a/lora-r4-seed_0-mirror_True", "a/lora-r4-seed_1-mirror_True"], "a/lora-r4-mirror_True"),
        (["lora-r4", "lora-r4-seed_1"], "lora-r4-2_seeds"),
        (["mine", "yours"], "mine-2_seeds"),
    ],
)
def test_the_name_of_a_group_is_that_of_its_runs_without_the_seed(names: list[str], expected: str) -> None:
    runs = [replace(r, variant=name) for r, name in zip(FOURS, names, strict=False)]
    (group,) = group_seeds(runs, dict.fromkeys(names, "same"))
    assert group.variant == expected


def test_a_difference_to_the_base_is_over_all_seeds(results: EvalResults) -> None:
    found = compare_variants(results, "lora-r4", "base", "likeness_raw")
    values = np.array([r.per_photo["likeness_raw"] for r in FOURS])
    over_base = values - np.array(results.variant("base").per_photo["likeness_raw"])
    assert found is not None
    assert (found.estimate, found.num_seeds) == (crossed_mean(over_base), 3)
    assert found.deviation == pytest.approx(values.mean(axis=1).std(ddof=1))


def test_a_difference_between_ranks_is_paired_by_seed(results: EvalResults) -> None:
    """Here both ranks share what a seed does, so that pairing removes all of it."""
    found = compare_variants(results, "lora-r8", "lora-r4", "likeness_raw")
    assert found is not None
    assert (found.num_seeds, found.deviation) == (3, pytest.approx(0.0, abs=1e-9))
    assert (found.estimate.low, found.estimate.high) == pytest.approx((0.1, 0.1))
    shuffled = replace(results, variants=[*results.variants[:4], *EIGHTS[::-1]])
    assert compare_variants(shuffled, "lora-r8", "lora-r4", "likeness_raw") == found


def test_a_difference_of_shares_is_over_the_intervals_of_pairs(results: EvalResults) -> None:
    found = compare_variants(results, "lora-r8", "lora-r4", "likeness_top1_raw")
    pairs = [
        (a.per_photo["likeness_top1_raw"], b.per_photo["likeness_top1_raw"])
        for a, b in zip(EIGHTS, FOURS, strict=True)
    ]
    assert found is not None
    assert found.estimate == pooled_mean([paired_proportions(a, b) for a, b in pairs])
    assert found.estimate.mean == pytest.approx(1 / NUM)


def test_a_run_compared_with_several_seeds_is_a_comparison_of_one(results: EvalResults) -> None:
    alone = run("other", seed=1, level=0.7)
    more = replace(results, variants=[*results.variants, alone])
    found = compare_variants(more, "other", "lora-r4", "likeness_raw")
    known = paired_difference(alone.per_photo["likeness_raw"], FOURS[1].per_photo["likeness_raw"])
    assert found is not None
    assert (found.estimate, found.num_seeds, found.deviation) == (known, 1, None)


def test_without_a_common_seed_runs_are_compared_in_order() -> None:
    a, b, c = ([0.1, 0.4], [0.2, 0.9], [0.3, 0.5])
    found, num_seeds, _ = compare_seeds({0: a, 1: b}, {5: c, 6: a, 7: b})
    assert num_seeds == 2
    assert found == crossed_mean(np.array([np.subtract(a, c), np.subtract(b, a)]))
    assert compare_seeds({-1: a}, {5: c}) == (paired_difference(a, c), 1, None)


def test_without_values_per_photo_there_is_no_difference(results: EvalResults) -> None:
    assert compare_variants(results, "lora-r4", "base", "kid_persona_raw") is None
    assert compare_variants(results, "lora-r4", "nobody", "likeness_raw") is None
