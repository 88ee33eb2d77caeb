"""What speaks against giving a LoRA away: is it evaluated, does it draw pixel art, does it keep the person.

No torch: it reads results.
"""

from pixelpersona.evaluation.result import (
    LIKENESS,
    STYLE,
    Estimate,
    EvalResult,
    EvalResults,
    paired_difference,
)

_LARGEST_LOSS = 2.0  # likeness is a cosine


def doubts(
    results: EvalResults | None,
    adapter_sha256: str,
    *,
    max_likeness_loss: float = 0.1,
    base_sha256: str | None = None,
    baseline: str = "base",
) -> list[str]:
    """Plain words, one per reason not to export these weights; [] when nothing speaks against it.

    results: of an evaluation, None when there is none. adapter_sha256: of the LoRA's file, lower-case hex.
    base_sha256: of the base it is exported with, None when that is left to the user.
    Judged on raw pictures, as differences to the untouched base paired over the same photos:

    - style: the lower bound of the 95 % interval in grid contrast must be above 0;
    - likeness: the mean must not fall by more than `max_likeness_loss` (in units of the cosine).

    Raises ValueError when max_likeness_loss is not 0 to 2.
    """
    if not 0.0 <= max_likeness_loss <= _LARGEST_LOSS:
        raise ValueError(f"max_likeness_loss={max_likeness_loss}: accepted 0 to {_LARGEST_LOSS:g}")
    found = {} if results is None else {r.adapter_sha256: r for r in results.variants}
    tuned = found.get(adapter_sha256)
    if results is None or tuned is None:
        return ["no evaluation of these very weights was found"]
    if base_sha256 is not None and base_sha256 != tuned.base_sha256:
        return [f"{tuned.variant} was evaluated on another base ({tuned.base_sha256[:12]})"]
    base = next((r for r in results.variants if r.variant == baseline), None)
    if base is None or (base.photo_ids, base.seeds) != (tuned.photo_ids, tuned.seeds):
        return [f"{tuned.variant} was not evaluated beside the untouched base on the same photos and seeds"]
    reasons = [_style(tuned, base), _likeness(tuned, base, max_likeness_loss)]
    return [reason for reason in reasons if reason]


def _style(tuned: EvalResult, base: EvalResult) -> str:
    gain = _difference(tuned, base, STYLE)
    if gain is None:
        return f"{tuned.variant}: the style ({STYLE}) was not measured"
    if gain.low > 0.0:
        return ""
    return (
        f"{tuned.variant} is not shown to draw pixel art more clearly than the untouched base "
        f"({STYLE} {_told(gain)}; the interval must be above 0)"
    )


def _likeness(tuned: EvalResult, base: EvalResult, max_loss: float) -> str:
    change = _difference(tuned, base, LIKENESS)
    if change is None:
        return f"{tuned.variant}: the likeness ({LIKENESS}) was not measured"
    if -change.mean <= max_loss:
        return ""
    return (
        f"{tuned.variant} loses the person: {LIKENESS} {_told(change)} against the untouched base "
        f"(max_likeness_loss={max_loss:g})"
    )


def _difference(tuned: EvalResult, base: EvalResult, metric: str) -> Estimate | None:
    """From the single photos, not from the differences a file says it has: those may be anybody's."""
    if metric not in tuned.per_photo or metric not in base.per_photo:
        return None
    return paired_difference(tuned.per_photo[metric], base.per_photo[metric])


def _told(estimate: Estimate) -> str:
    return f"{estimate.mean:+.3f}, {estimate.low:+.3f} to {estimate.high:+.3f}"
