"""Quality gate of an export: is the LoRA evaluated, does it draw pixel art, does it keep the person?"""

from pixelpersona.evaluation.intervals import Estimate, paired_difference
from pixelpersona.evaluation.result import LIKENESS, STYLE, EvalResult, EvalResults

_LARGEST_LOSS = 2.0  # likeness is a cosine


def export_warnings(
    results: EvalResults | None,
    adapter_sha256: str,
    *,
    max_likeness_loss: float,
    base_sha256: str | None = None,
) -> list[str]:
    """Reasons not to export these weights, as messages; [] when there are none.

    results: of an evaluation, None when there is none. adapter_sha256: of the LoRA's file, lower-case hex.
    base_sha256: of the base it is merged into, None for an export without a base.
    Judged on raw pictures, by differences to the variant "base" paired over the same photos:

    - style: the lower bound of the 95 % interval in grid contrast must be above 0;
    - likeness: the mean must not fall by more than `max_likeness_loss` (0 to 2, as likeness is a cosine).

    Raises ValueError when max_likeness_loss is out of range.
    """
    if not 0.0 <= max_likeness_loss <= _LARGEST_LOSS:
        raise ValueError(f"max_likeness_loss={max_likeness_loss}: accepted 0 to {_LARGEST_LOSS:g}")
    found = {} if results is None else {r.adapter_sha256: r for r in results.variants}
    tuned = found.get(adapter_sha256)
    if results is None or tuned is None:
        return ["no evaluation of these weights was found"]
    if base_sha256 is not None and base_sha256 != tuned.base_sha256:
        return [f"{tuned.variant} was evaluated on another base ({tuned.base_sha256[:12]})"]
    base = next((r for r in results.variants if r.variant == "base"), None)
    if base is None or (base.photo_ids, base.seeds) != (tuned.photo_ids, tuned.seeds):
        return [f"{tuned.variant} was not evaluated beside the untouched base on the same photos and seeds"]
    reasons = []
    style, likeness = (_difference(tuned, base, metric) for metric in (STYLE, LIKENESS))
    if style is None:
        reasons.append(f"{tuned.variant}: the style ({STYLE}) was not measured")
    elif style.low <= 0.0:
        reasons.append(
            f"{tuned.variant} is not shown to draw pixel art more clearly than the untouched base "
            f"({STYLE} {_text(style)}; the interval must be above 0)"
        )
    if likeness is None:
        reasons.append(f"{tuned.variant}: the likeness ({LIKENESS}) was not measured")
    elif -likeness.mean > max_likeness_loss:
        reasons.append(
            f"{tuned.variant} loses likeness: {LIKENESS} {_text(likeness)} against the untouched base "
            f"(max_likeness_loss={max_likeness_loss:g})"
        )
    return reasons


def _difference(tuned: EvalResult, base: EvalResult, metric: str) -> Estimate | None:
    """Computed from the values per photo, not read from the file, whose differences need not match them."""
    if metric not in tuned.per_photo or metric not in base.per_photo:
        return None
    return paired_difference(tuned.per_photo[metric], base.per_photo[metric])


def _text(estimate: Estimate) -> str:
    return f"{estimate.mean:+.3f}, {estimate.low:+.3f} to {estimate.high:+.3f}"
