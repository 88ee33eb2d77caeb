"""The verdict on the fine-tunes, in sentences computed from results."""

from collections.abc import Mapping, Sequence

import numpy as np

from pixelpersona.evaluation.intervals import Estimate
from pixelpersona.evaluation.result import LIKENESS, METRICS, STYLE, Difference, EvalResults
from pixelpersona.evaluation.training_seeds import SeedRows, compare_seeds, seed_rows
from pixelpersona.reporting.table import (
    difference,
    format_interval,
    format_number,
    interval_places,
    significance,
    variant_title,
    with_article,
)


def verdict(
    results: EvalResults, baseline: str = "base", own_metric: Mapping[str, str] | None = None
) -> list[str]:
    """Whether the style is learned and the likeness kept, in two sentences; a third warns of failed training.

    The style is judged on raw pictures, because snapping puts any picture on the grid. All fine-tunes are
    named, not only the best, because a selected best looks better than it is. A difference is only claimed
    where its 95 % interval, paired over photos and over training seeds where there are several, excludes 0.
    With a single training seed, the first sentence says so.
    own_metric: variant → grid-contrast metric of the grid it was trained on, where that differs from the
    grid of the comparison. Such a LoRA is compared with the base in its own metric, and with another LoRA by
    the gains of both over the base.
    Noise aligned with the cells counts as grid contrast, too. Therefore the third sentence names the
    fine-tunes whose noise loss is higher than the base's, except those trained on a grid of their own.
    """
    own = own_metric or {}
    tuned = [r.variant for r in results.compared if r.is_fine_tune and r.variant != baseline]
    found = {v: _style(results, v, baseline, own) for v in tuned}
    style = {v: d for v, d in found.items() if d is not None}
    if not style:
        missing = "No fine-tuned model was evaluated" if not tuned else "The style was not measured"
        return [f"{missing} against {with_article(baseline)}, so there is nothing to compare."]
    num_photos = len(results.variant(next(iter(style))).photo_ids)
    kept = {v: d for v in style if (d := difference(results, v, baseline, LIKENESS)) is not None}
    gain = "gain over the base in " if own and baseline != "base" else ""
    measure = f"{gain}raw grid contrast{' on the grid that each LoRA was trained on' if own else ''}"
    over = f"over the same {num_photos} photos{_over_seeds(style, is_trained=baseline != 'base')}"
    sentences = [_style_sentence(style, baseline, measure, over), _likeness_sentence(kept, baseline)]
    if baseline == "base":
        losses = {v: difference(results, v, baseline, "noise_loss") for v in style if v not in own}
        failed = _by_significance({v: d for v, d in losses.items() if d}, "noise_loss")["worse"]
        sentences += [_failed_sentence(failed)] if failed else []
    return sentences


def baselines(results: EvalResults) -> list[str]:
    """What fine-tunes are compared with: the base and, if there are several, the first one of them."""
    tuned = [r.variant for r in results.compared if r.is_fine_tune]
    return ["base", tuned[0]] if len(tuned) > 1 else ["base"]


def seeds_text(results: EvalResults) -> str:
    """The number of training seeds of each model and what its intervals cover; "" if nothing was trained."""
    trained = [r for r in results.compared if r.num_parameters]
    groups = [r for r in trained if r.members]
    single = [variant_title(r.variant) for r in trained if not r.members]
    sentences = []
    if groups:
        named = _listed(
            [f"{variant_title(r.variant)} ({', '.join(map(str, r.training_seeds))})" for r in groups]
        )
        sentences.append(
            f"Trained with several seeds: {named}. Their numbers are means over the seeds, with intervals "
            "over seeds and photos, and SD, the standard deviation over the seeds."
        )
    if single:
        sentences.append(
            f"Trained with one seed: {_listed(single)}. Such intervals are over photos alone and do not show "
            "how much another training seed would change."
        )
    return " ".join(sentences)


def _style(results: EvalResults, variant: str, baseline: str, own: Mapping[str, str]) -> Difference | None:
    metric = own.get(variant, STYLE)
    other = own.get(baseline, metric)
    if metric == other:
        return difference(results, variant, baseline, metric)
    mine, theirs = (_gain(results, v, m) for v, m in ((variant, metric), (baseline, other)))
    if mine is None or theirs is None:
        return None
    return Difference(variant, baseline, metric, *compare_seeds(mine, theirs))


def _gain(results: EvalResults, variant: str, metric: str) -> SeedRows | None:
    """A LoRA minus the base, per photo, because photos themselves have more contrast on some grids."""
    tuned, base = (seed_rows(results, v, metric) for v in (variant, "base"))
    if tuned is None or base is None:
        return None
    (untuned,) = base.values()
    return {seed: np.subtract(values, untuned).tolist() for seed, values in tuned.items()}


def _over_seeds(found: Mapping[str, Difference], *, is_trained: bool) -> str:
    """ " and 3 training seeds". is_trained: whether the baseline was trained, too."""
    nums = {d.num_seeds for d in found.values()}
    if nums == {1}:
        what = "one training run of each" if is_trained or len(found) > 1 else "one training run"
        return f"; {what}: another training seed may give another difference"
    if len(nums) == 1:
        return f" and {nums.pop()} training seeds"
    each = ", ".join(f"{variant_title(v)} {d.num_seeds}" for v, d in found.items())
    return f"; number of training seeds: {each}"


def _style_sentence(style: dict[str, Difference], baseline: str, measure: str, over: str) -> str:
    base = with_article(baseline)
    groups = _by_significance(style, STYLE)
    parts = []
    for mark, one, several, what in (
        ("better", "draws", "draw", "pixel art more clearly than"),
        ("worse", "draws", "draw", "pixel art less clearly than"),
        ("", "is", "are", "not shown to differ from"),
    ):
        if group := groups[mark]:
            parts.append(f"{_named(group)} {several if len(group) > 1 else one} {what} {base}")
    return f"{'; '.join(parts)}. (Difference in {measure}, with its 95\u00a0% interval, {over}.)"


def _likeness_sentence(kept: dict[str, Difference], baseline: str) -> str:
    if not kept:
        return "Likeness to the photo was not measured."
    groups = _by_significance(kept, LIKENESS)
    parts = []
    if group := groups[""]:
        estimates = _estimates(group)
        limit = format_number(max(-e.low for e in estimates), interval_places(estimates))
        parts.append(f"no loss is shown for {_named(group)}, and a loss above {limit} is unlikely")
    if group := groups["worse"]:
        parts.append(f"{_named(group)} {'lose' if len(group) > 1 else 'loses'} likeness")
    if group := groups["better"]:
        parts.append(f"{_named(group)} {'keep' if len(group) > 1 else 'keeps'} more likeness")
    return f"Likeness to the photo, compared with {with_article(baseline)}: {'; '.join(parts)}."


def _failed_sentence(failed: dict[str, Difference]) -> str:
    verb, its = ("predict", "their") if len(failed) > 1 else ("predicts", "its")
    return (
        f"Check the pictures: {_named(failed)} {verb} the noise of unseen pixel art worse than the "
        f"untouched base (difference in noise loss), so {its} training may have failed; noise aligned with "
        "the cells counts as grid contrast."
    )


def _by_significance(found: dict[str, Difference], metric: str) -> dict[str, dict[str, Difference]]:
    groups: dict[str, dict[str, Difference]] = {"better": {}, "worse": {}, "": {}}
    for variant, one in found.items():
        groups[significance(one.estimate, METRICS[metric])][variant] = one
    return groups


def _estimates(group: Mapping[str, Difference]) -> list[Estimate]:
    return [one.estimate for one in group.values()]


def _named(group: dict[str, Difference]) -> str:
    """ "LoRA rank 4 (+0.50, 0.49 to 0.51) and LoRA rank 8 (+0.54, 0.53 to 0.55)"."""
    places = interval_places(_estimates(group), differences=True)
    names = [
        f"{variant_title(v)} ({format_number(e.mean, places, signed=True)}, {format_interval(e, places)})"
        for v, e in zip(group, _estimates(group), strict=True)
    ]
    return _listed(names)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
