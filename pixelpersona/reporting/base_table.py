"""The table of a base's measurements, on its own and inside a model card."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pixelpersona.evaluation.intervals import proportion
from pixelpersona.files import write_whole

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def base_table(measured: Mapping[str, Any]) -> str:
    """Markdown, one row per measurement. measured: the content of measured.json."""
    autoencoder, drawn, redrawn = (measured[key] for key in ("autoencoder", "text_to_image", "img2img"))
    losses = ", ".join(f"{loss:.3f}" for loss in measured["loss_by_level"])
    kid, floor = _interval(drawn["kid"]), _interval(drawn["floor"])
    gender = _share(drawn["gender_agreement"], drawn.get("num_gender"))
    age = _years(drawn["age_error"])
    kept, above_wrong = _interval(redrawn["structure"]), _percent(redrawn["above_wrong"])
    lines = [
        "| on test photos | |",
        "|---|---|",
        f"| reconstruction of {measured['num_photos']} photos | {_quality(autoencoder['photo'])} |",
        f"| reconstruction of block images made from them | {_quality(autoencoder['block'])} |",
        f"| loss of the noise prediction by tenths of the noise levels, lowest noise first | {losses} |",
        f"| KID persona of {drawn['num']} pictures drawn from captions, to the photos | {kid} |",
        f"| KID persona between two halves of the photos | {floor} |",
        f"| gender in the drawn pictures, by the feature network: as in the caption | {gender} |",
        f"| age in the drawn pictures: mean distance from the caption's | {age} |",
        f"| img2img at strength {redrawn['strength']:g}: structure of {redrawn['num']} photos | {kept} |",
        f"| img2img: likeness to the own photo higher than to another, share of pairs | {above_wrong} |",
    ]
    if "portraits" in measured:
        lines += _portraits_lines(measured["portraits"])
    return "\n".join([*lines, *_features_lines(measured["features"])])


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


def _portraits_lines(near: Mapping[str, float]) -> list[str]:
    kept = f"{near['kept_nearest_median']:.3f}, {near['kept_nearest_highest']:.3f}"
    photos = f"{near['photos_nearest_median']:.3f}, {near['photos_nearest_99th_percentile']:.3f}"
    return [
        f"| likeness of the synthetic portraits to the nearest training photo: median, highest | {kept} |",
        f"| likeness of training photos to the nearest other one: median, 99th percentile | {photos} |",
    ]


def _features_lines(features: Mapping[str, Any]) -> list[str]:
    likeness = ", ".join(f"{name} {value:.2f}" for name, value in features["likeness"].items())
    accuracies = ", ".join(
        _share(features[f"{name}_accuracy"], features.get(f"num_{name}")) for name in ("gender", "ethnicity")
    )
    num, top1 = features["num"], _interval(features["top1"])
    return [
        f"| feature network: top-1 of pixel art of altered photos among {num} | {top1} |",
        f"| top-1 by 12x12 colours inside the face, the floor | {_interval(features['layout_top1'])} |",
        f"| likeness to the photo | {likeness} |",
        f"| accuracy of gender, ethnicity | {accuracies} |",
        f"| mean error of the age | {_years(features['age_error'])} |",
        *(f"| KID of {name} to pixel art | {_interval(kid)} |" for name, kid in features["style"].items()),
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _share(share: float, num: int | None) -> str:
    """With its interval, unless the number of pictures is 0 or, as in version 0.1, not recorded."""
    if not num:
        return _percent(share)
    hits = round(share * num)
    found = proportion([1.0] * hits + [0.0] * (num - hits))
    return f"{_percent(share)} ({100 * found.low:.1f} to {100 * found.high:.1f})"


def _years(value: float) -> str:
    return f"{value:.1f} years"


def _quality(reconstruction: Mapping[str, float]) -> str:
    return f"{reconstruction['psnr']:.2f} dB PSNR, {reconstruction['ssim']:.3f} SSIM"


def _interval(estimate: Mapping[str, float]) -> str:
    return f"{estimate['mean']:.3f} ({estimate['low']:.3f} to {estimate['high']:.3f})"
