"""The verdict on the fine-tunes, in sentences computed from results."""

from collections.abc import Mapping

import numpy as np

from pixelpersona.evaluation.result import LIKENESS, METRICS, STYLE, Estimate, EvalResults, paired_difference
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
    where its 95 % interval, paired over photos, excludes 0.
    own_metric: variant → grid-contrast metric of the grid it was trained on, where that differs from the
    grid of the comparison. Such a LoRA is compared with the base in its own metric, and with another LoRA by
    the gains of both over the base.
    Noise aligned with the cells counts as grid contrast, too. Therefore a fine-tune is named whose noise loss
    is higher than the base's, unless it was trained on a grid of its own.
    """
    own = own_metric or {}
    tuned = [r.variant for r in results.variants if r.is_fine_tune and r.variant != baseline]
    found = {v: _style(results, v, baseline, own) for v in tuned}
    style = {v: e for v, e in found.items() if e is not None}
    if not style:
        missing = "No fine-tuned model was evaluated" if not tuned else "The style was not measured"
        return [f"{missing} against {with_article(baseline)}, so there is nothing to compare."]
    num_photos = len(results.variant(next(iter(style))).photo_ids)
    kept = {v: e for v in style if (e := difference(results, v, baseline, LIKENESS)) is not None}
    gain = "gain over the base in " if own and baseline != "base" else ""
    measure = f"{gain}raw grid contrast{' on the grid that each LoRA was trained on' if own else ''}"
    sentences = [_style_sentence(style, baseline, measure, num_photos), _likeness_sentence(kept, baseline)]
    if baseline == "base":
        losses = {v: difference(results, v, baseline, "noise_loss") for v in style if v not in own}
        failed = _by_significance({v: e for v, e in losses.items() if e}, "noise_loss")["worse"]
        sentences += [_failed_sentence(failed)] if failed else []
    return sentences


def _style(results: EvalResults, variant: str, baseline: str, own: Mapping[str, str]) -> Estimate | None:
    metric = own.get(variant, STYLE)
    other = own.get(baseline, metric)
    if metric == other:
        return difference(results, variant, baseline, metric)
    mine, theirs = (_gain(results, v, m) for v, m in ((variant, metric), (baseline, other)))
    return None if mine is None or theirs is None else paired_difference(mine, theirs)


def _gain(results: EvalResults, variant: str, metric: str) -> list[float] | None:
    """A LoRA minus the base, per photo, because photos themselves have more contrast on some grids."""
    tuned, base = (results.variant(v).per_photo.get(metric) for v in (variant, "base"))
    return None if tuned is None or base is None else np.subtract(tuned, base).tolist()


def _style_sentence(style: dict[str, Estimate], baseline: str, measure: str, num_photos: int) -> str:
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
    return (
        f"{'; '.join(parts)}. (Difference in {measure}, with its 95\u00a0% interval, over the same "
        f"{num_photos} photos.)"
    )


def _likeness_sentence(kept: dict[str, Estimate], baseline: str) -> str:
    if not kept:
        return "Likeness to the photo was not measured."
    groups = _by_significance(kept, LIKENESS)
    parts = []
    if group := groups[""]:
        limit = format_number(max(-e.low for e in group.values()), interval_places(group.values()))
        parts.append(f"no loss is shown for {_named(group)}, and a loss above {limit} is unlikely")
    if group := groups["worse"]:
        parts.append(f"{_named(group)} {'lose' if len(group) > 1 else 'loses'} likeness")
    if group := groups["better"]:
        parts.append(f"{_named(group)} {'keep' if len(group) > 1 else 'keeps'} more likeness")
    return f"Likeness to the photo, compared with {with_article(baseline)}: {'; '.join(parts)}."


def _failed_sentence(failed: dict[str, Estimate]) -> str:
    verb, its = ("predict", "their") if len(failed) > 1 else ("predicts", "its")
    return (
        f"Check the pictures: {_named(failed)} {verb} the noise of unseen pixel art worse than the "
        f"untouched base (difference in noise loss), so {its} training may have failed; noise aligned with "
        "the cells counts as grid contrast."
    )


def _by_significance(estimates: dict[str, Estimate], metric: str) -> dict[str, dict[str, Estimate]]:
    groups: dict[str, dict[str, Estimate]] = {"better": {}, "worse": {}, "": {}}
    for variant, estimate in estimates.items():
        groups[significance(estimate, METRICS[metric])][variant] = estimate
    return groups


def _named(group: dict[str, Estimate]) -> str:
    """ "LoRA rank 4 (+0.50, 0.49 to 0.51) and LoRA rank 8 (+0.54, 0.53 to 0.55)"."""
    places = interval_places(group.values(), differences=True)
    names = [
        f"{variant_title(v)} ({format_number(e.mean, places, signed=True)}, {format_interval(e, places)})"
        for v, e in group.items()
    ]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
