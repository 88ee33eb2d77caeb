"""The verdict: two plain sentences computed from results, and careful where nothing is shown."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pixelpersona.evaluation.result import (
    LIKENESS,
    METRICS,
    STYLE,
    Estimate,
    EvalResults,
    paired_difference,
)
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
    results: EvalResults, baseline: str = "base", own_style: Mapping[str, str] | None = None
) -> list[str]:
    """Two sentences: is the style learnt, and is the likeness kept. A third where training broke down.

    The style is judged before snapping, since snapping puts anything on the grid; all fine-tunes are
    named, not only the best, because picking the best of several flatters it. "better" and "worse" are
    said only where the 95 % interval of the paired difference excludes 0.
    own_style: variant → the metric of its style, for LoRAs whose training pairs have another grid than the
    comparison. The base is judged by the variant's; two LoRAs by what each brings over the base in its own.
    Noise that keeps to the cells counts as grid contrast, too: a fine-tune that predicts the noise of
    held-out pixel art worse than the base is named; one of other pairs than the held-out ones is not.
    """
    own = own_style or {}
    tuned = [r.variant for r in results.variants if r.is_fine_tune and r.variant != baseline]
    found = {v: _style(results, v, baseline, own) for v in tuned}
    style = {v: e for v, e in found.items() if e is not None}
    if not style:
        missing = "No fine-tuned model was evaluated" if not tuned else "The style was not measured"
        return [f"{missing} against {with_article(baseline)}, so there is nothing to compare."]
    num_photos = len(results.variant(next(iter(style))).photo_ids)
    kept = {v: e for v in style if (e := difference(results, v, baseline, LIKENESS)) is not None}
    grid = "grid contrast" + (", each LoRA over the base on the grid of its own pairs," if own else "")
    sentences = [_style_sentence(style, baseline, grid, num_photos), _likeness_sentence(kept, baseline)]
    if baseline == "base":
        losses = {v: difference(results, v, baseline, "val_loss") for v in style if v not in own}
        broken = _by_significance({v: e for v, e in losses.items() if e}, "val_loss")["worse"]
        sentences += [_broken_sentence(broken)] if broken else []
    return sentences


def _style(results: EvalResults, variant: str, baseline: str, own: Mapping[str, str]) -> Estimate | None:
    metric = own.get(variant, STYLE)
    other = own.get(baseline, metric)
    if metric == other:
        return difference(results, variant, baseline, metric)
    mine, theirs = (_gain(results, v, m) for v, m in ((variant, metric), (baseline, other)))
    return None if mine is None or theirs is None else paired_difference(mine, theirs)


def _gain(results: EvalResults, variant: str, metric: str) -> list[float] | None:
    """What a LoRA brings over the base, per photo: a photo shows some grids more than others by itself."""
    tuned, base = (results.variant(v).per_photo.get(metric) for v in (variant, "base"))
    return None if tuned is None or base is None else np.subtract(tuned, base).tolist()


def _style_sentence(style: dict[str, Estimate], baseline: str, grid: str, num_photos: int) -> str:
    base = with_article(baseline)
    groups = _by_significance(style, STYLE)
    parts = []
    for mark, comparison in (("better", "more"), ("worse", "less")):
        if group := groups[mark]:
            verb = "draw" if len(group) > 1 else "draws"
            parts.append(f"{_named(group)} {verb} pixel art {comparison} clearly than {base}")
    if group := groups[""]:
        verb = "are" if len(group) > 1 else "is"
        parts.append(f"{_named(group)} {verb} not shown to differ from {base}")
    return (
        f"{'; '.join(parts)}. (Difference in {grid} before any snapping, with its 95\u00a0% interval, "
        f"over the same {num_photos} photos.)"
    )


def _likeness_sentence(kept: dict[str, Estimate], baseline: str) -> str:
    if not kept:
        return "Likeness to the photo was not measured."
    groups = _by_significance(kept, LIKENESS)
    parts = []
    if group := groups[""]:
        worst = max(-e.low for e in group.values())
        places = interval_places(group.values())
        parts.append(
            f"no loss is shown for {_named(group)}, and one above {format_number(worst, places)} is unlikely"
        )
    if group := groups["worse"]:
        parts.append(f"{_named(group)} {'lose' if len(group) > 1 else 'loses'} some of it")
    if group := groups["better"]:
        parts.append(f"{_named(group)} {'keep' if len(group) > 1 else 'keeps'} more of it")
    return f"Likeness to the photo, against {with_article(baseline)}: {'; '.join(parts)}."


def _broken_sentence(broken: dict[str, Estimate]) -> str:
    verb, its = ("predict", "their") if len(broken) > 1 else ("predicts", "its")
    return (
        f"Look at the pictures: {_named(broken)} {verb} the noise of held-out pixel art worse than the "
        f"untouched base (difference in validation loss); {its} training may have broken down, and noise "
        "that keeps to the cells counts as grid contrast."
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
