"""The verdict claims only what the intervals show."""

from dataclasses import replace

from pixelpersona.evaluation.intervals import Estimate
from pixelpersona.evaluation.result import Difference, EvalResults
from pixelpersona.reporting.verdict import verdict


def with_differences(results: EvalResults, style: Estimate, likeness: Estimate) -> EvalResults:
    """Base and one LoRA with these two differences."""
    kept = [r for r in results.variants if r.variant in ("base", "lora-r4")]
    differences = [
        Difference("lora-r4", "base", "grid_contrast_raw", style),
        Difference("lora-r4", "base", "likeness_raw", likeness),
    ]
    return replace(results, variants=kept, differences=differences)


UP, DOWN, UNCLEAR = Estimate(0.5, 0.4, 0.6), Estimate(-0.5, -0.6, -0.4), Estimate(0.01, -0.03, 0.05)


def test_two_fine_tunes_that_learned_the_style(results: EvalResults) -> None:
    style, likeness = verdict(results)
    assert style == (
        "LoRA rank 4 (+0.48, 0.46 to 0.50) and LoRA rank 8 (+0.53, 0.51 to 0.55) draw pixel art more clearly "
        "than the untouched base. (Difference in raw grid contrast, with its 95\u00a0% interval, over the "
        "same 32 photos; one training run of each: another training seed may give another difference.)"
    )
    assert "no loss is shown for LoRA rank 4 (0.00, " in likeness
    assert "LoRA rank 8 (\N{MINUS SIGN}0.12, " in likeness
    assert likeness.endswith("loses likeness.")


def test_a_fine_tune_that_did_not_learn(results: EvalResults) -> None:
    style, likeness = verdict(with_differences(results, UNCLEAR, UNCLEAR))
    assert "LoRA rank 4 (+0.01, \N{MINUS SIGN}0.03 to 0.05) is not shown to differ" in style
    assert "more clearly" not in style
    assert "less clearly" not in style
    assert "no loss is shown for LoRA rank 4" in likeness
    assert "a loss above 0.03 is unlikely" in likeness


def test_a_fine_tune_that_made_the_style_worse(results: EvalResults) -> None:
    style, likeness = verdict(with_differences(results, DOWN, UP))
    assert "draws pixel art less clearly than the untouched base" in style
    assert "keeps more likeness" in likeness
    assert "no loss" not in likeness


def test_style_and_likeness_may_differ(results: EvalResults) -> None:
    style, likeness = verdict(with_differences(results, UP, DOWN))
    assert "draws pixel art more clearly" in style
    assert "loses likeness" in likeness
    assert "no loss" not in likeness


def test_without_a_fine_tune_or_base_there_is_nothing_to_compare(results: EvalResults) -> None:
    alone = replace(results, variants=results.variants[:2], differences=[])
    assert verdict(alone) == [
        "No fine-tuned model was evaluated against the untouched base, so there is nothing to compare."
    ]
    no_base = replace(results, variants=results.variants[2:], differences=[])
    assert verdict(no_base)[0].startswith("The style was not measured")


def test_a_lora_may_be_the_baseline(results: EvalResults) -> None:
    style, likeness = verdict(results, "lora-r4")
    assert style.startswith(
        "LoRA rank 8 (+0.05, 0.03 to 0.07) draws pixel art more clearly than LoRA rank 4."
    )
    assert likeness.startswith("Likeness to the photo, compared with LoRA rank 4: LoRA rank 8 (")


def test_loras_are_judged_in_their_own_metric(results: EvalResults) -> None:
    """Rank 8 gains 0.30 over the base on its own grid, rank 4 gains 0.48 on another one."""
    variants = []
    for r in results.variants:
        shift = {"lora-r8": -0.15, "base": 0.08}.get(r.variant, 0.0)
        grid = [value + shift for value in r.per_photo["grid_contrast_raw"]]
        variants.append(replace(r, per_photo=r.per_photo | {"grid_contrast_6_raw": grid}))
    changed = replace(results, variants=variants)
    own = {"lora-r8": "grid_contrast_6_raw", "lora-r4": "grid_contrast_raw"}
    style, _ = verdict(changed, "base", own)
    assert (
        "LoRA rank 4 (+0.48, 0.46 to 0.50) and LoRA rank 8 (+0.30, 0.28 to 0.32) draw pixel art more" in style
    )
    assert "on the grid that each LoRA was trained on" in style
    style, _ = verdict(changed, "lora-r4", own)
    assert style.startswith("LoRA rank 8 (\N{MINUS SIGN}0.18, ")
    assert "Difference in gain over the base in raw grid contrast" in style
    assert "draws pixel art less clearly than LoRA rank 4" in style
    missing = verdict(results, "lora-r4", own)
    assert missing == ["The style was not measured against LoRA rank 4, so there is nothing to compare."]


def with_losses(results: EvalResults, loss: Estimate) -> EvalResults:
    found = with_differences(results, UP, UNCLEAR)
    return replace(found, differences=[*found.differences, Difference("lora-r4", "base", "noise_loss", loss)])


def test_a_fine_tune_with_a_higher_noise_loss_is_named(results: EvalResults) -> None:
    sentences = verdict(with_losses(results, UP))
    assert len(sentences) == 3
    assert "LoRA rank 4 (+0.50, 0.40 to 0.60) predicts the noise of unseen pixel art worse" in sentences[2]


def test_no_other_fine_tune_is_named(results: EvalResults) -> None:
    assert len(verdict(with_losses(results, UNCLEAR))) == 2
    assert len(verdict(with_losses(results, DOWN))) == 2
    assert len(verdict(with_losses(results, UP), own_metric={"lora-r4": "grid_contrast_raw"})) == 2
