"""The verdict: two plain sentences computed from results, and careful where nothing is shown."""

from __future__ import annotations

from pixelpersona.evaluation.result import METRICS, Estimate, EvalResults
from pixelpersona.reporting.table import (
    difference,
    format_interval,
    format_number,
    interval_places,
    significance,
    variant_title,
)

STYLE = "grid_contrast_raw"
LIKENESS = "likeness_raw"


def verdict(results: EvalResults, baseline: str = "base") -> list[str]:
    """Two sentences: is the style learnt, and is the likeness kept.

    The style is judged before snapping, since snapping puts anything on the grid; all fine-tunes are
    named, not only the best, because picking the best of several flatters it. "better" and "worse" are
    said only where the 95 % interval of the paired difference excludes 0.
    """
    tuned = [r.variant for r in results.variants if r.is_fine_tune]
    found = {v: difference(results, v, baseline, STYLE) for v in tuned}
    style = {v: e for v, e in found.items() if e is not None}
    if not style:
        missing = "No fine-tuned model was evaluated" if not tuned else "The style was not measured"
        return [f"{missing} against the {variant_title(baseline)}, so there is nothing to compare."]
    num_photos = len(results.variant(next(iter(style))).photo_ids)
    kept = {v: e for v in style if (e := difference(results, v, baseline, LIKENESS)) is not None}
    return [_style_sentence(style, baseline, num_photos), _likeness_sentence(kept, baseline)]


def _style_sentence(style: dict[str, Estimate], baseline: str, num_photos: int) -> str:
    base = variant_title(baseline)
    groups = _by_significance(style, STYLE)
    parts = []
    for mark, comparison in (("better", "more"), ("worse", "less")):
        if group := groups[mark]:
            verb = "draw" if len(group) > 1 else "draws"
            parts.append(f"{_named(group)} {verb} pixel art {comparison} clearly than the {base}")
    if group := groups[""]:
        verb = "are" if len(group) > 1 else "is"
        parts.append(f"{_named(group)} {verb} not shown to differ from the {base}")
    return (
        f"{'; '.join(parts)}. (Difference in grid contrast before any snapping, with its 95\u00a0% interval, "
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
    return f"Likeness to the photo, against the {variant_title(baseline)}: {'; '.join(parts)}."


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
