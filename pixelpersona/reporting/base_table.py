"""The table of a base's measurements, on its own and inside a model card."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pixelpersona.files import write_whole

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def base_table(measured: Mapping[str, Any]) -> str:
    """Markdown, one row per measurement. measured: the content of measured.json."""
    autoencoder, drawn, redrawn = (measured[key] for key in ("autoencoder", "text_to_image", "img2img"))
    losses = ", ".join(f"{loss:.3f}" for loss in measured["loss_by_level"])
    rows = [
        (f"reconstruction of {measured['num_photos']} photos", _quality(autoencoder["photo"])),
        ("reconstruction of block images made from them", _quality(autoencoder["block"])),
        ("loss of the noise prediction by tenths of the noise levels, lowest noise first", losses),
        (
            f"KID persona of {drawn['num']} pictures drawn from captions, to the photos",
            _interval(drawn["kid"]),
        ),
        ("KID persona between two halves of the photos", _interval(drawn["floor"])),
        (
            "gender in the drawn pictures, by the feature network: as in the caption",
            _percent(drawn["gender_agreement"]),
        ),
        ("age in the drawn pictures: mean distance from the caption's", _years(drawn["age_error"])),
        (
            f"img2img at strength {redrawn['strength']:g}: structure of {redrawn['num']} photos",
            _interval(redrawn["structure"]),
        ),
        (
            "img2img: likeness to the own photo higher than to another, share of pairs",
            _percent(redrawn["above_wrong"]),
        ),
    ]
    if "portraits" in measured:
        rows += _portraits_rows(measured["portraits"])
    rows += _features_rows(measured["features"])
    return "\n".join(
        ["| on held-out photos | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]
    )


def replace_table(card: Path, table: str) -> None:
    """Replace what stands between the comments BEGIN and END of a Markdown file.

    Raises ValueError naming the file when it has no such comments.
    """
    text = card.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"measure.card={card}: needs a line {BEGIN} and a line {END}")
    write_whole(card, f"{before}{BEGIN}\n{table}\n{END}{after}")


def _portraits_rows(portraits: Mapping[str, float]) -> list[tuple[str, str]]:
    kept = (portraits["kept_nearest_median"], portraits["kept_nearest_highest"])
    photos = (portraits["photos_nearest_median"], portraits["photos_nearest_99th_percentile"])
    return [
        (
            "likeness of the synthetic portraits to the nearest training photo: median, highest",
            f"{kept[0]:.3f}, {kept[1]:.3f}",
        ),
        (
            "likeness of training photos to the nearest other one: median, 99th percentile",
            f"{photos[0]:.3f}, {photos[1]:.3f}",
        ),
    ]


def _features_rows(features: Mapping[str, Any]) -> list[tuple[str, str]]:
    likeness = ", ".join(f"{name} {value:.2f}" for name, value in features["likeness"].items())
    accuracies = ", ".join(_percent(features[f"{name}_accuracy"]) for name in ("gender", "ethnicity"))
    return [
        (
            f"feature network: top-1 of pixel art of altered photos among {features['num']}",
            _interval(features["top1"]),
        ),
        ("top-1 by 12x12 colours inside the face, the floor", _interval(features["layout_top1"])),
        ("likeness to the photo", likeness),
        ("accuracy of gender, ethnicity", accuracies),
        ("mean error of the age", _years(features["age_error"])),
        *((f"KID of {name} to pixel art", _interval(value)) for name, value in features["style"].items()),
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _years(value: float) -> str:
    return f"{value:.1f} years"


def _quality(reconstruction: Mapping[str, float]) -> str:
    return f"{reconstruction['psnr']:.2f} dB PSNR, {reconstruction['ssim']:.3f} SSIM"


def _interval(estimate: Mapping[str, float]) -> str:
    return f"{estimate['mean']:.3f} ({estimate['low']:.3f} to {estimate['high']:.3f})"
