"""Style against likeness at many settings: Pareto fronts and best settings. Needs no torch."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from pixelpersona.evaluation.intervals import Estimate, bootstrap_mean
from pixelpersona.evaluation.result import checked, reading
from pixelpersona.files import parse_json, write_whole

STYLE_SHARE = 0.5
"""A setting counts as pixel art from this share of the ceiling's mean grid contrast."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One variant at one setting of the sampler.

    style, likeness: raw grid contrast and raw likeness, one value per photo. sampler: kind and steps,
    "dpm-20". num_passes: UNet passes per portrait, two per step with guidance.
    """

    variant: str
    strength: float
    guidance: float
    adapter_sha256: str | None
    style: list[float]
    likeness: list[float]
    sampler: str = ""
    num_passes: int = 0

    @property
    def style_estimate(self) -> Estimate:
        return bootstrap_mean(self.style)

    @property
    def likeness_estimate(self) -> Estimate:
        return bootstrap_mean(self.likeness)

    @property
    def point(self) -> tuple[float, float]:
        """Mean style and mean likeness, both better when higher."""
        return fmean(self.style), fmean(self.likeness)


@dataclass(frozen=True, slots=True)
class Tradeoff:
    """Every variant at every setting, on the same photos and seeds.

    ceiling: raw grid contrast per photo of the target after a VAE round trip, the upper bound for a LoRA.
    conditions: common to all settings: split, prompt, data set hash, weights, versions.
    Raises ValueError naming the setting whose lists are not as long as photo_ids or not finite.
    """

    settings: list[Setting]
    ceiling: list[float]
    photo_ids: list[str]
    seeds: list[int]
    base_sha256: str
    features_sha256: str
    conditions: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lists = {"ceiling": self.ceiling}
        for s in self.settings:
            named = f"{s.variant} at strength {s.strength:g}, guidance {s.guidance:g}"
            named += f", {s.sampler}" if s.sampler else ""
            lists |= {f"{named}: style": s.style, f"{named}: likeness": s.likeness}
        for name, values in lists.items():
            if len(values) != len(self.photo_ids) or not all(map(math.isfinite, values)):
                raise ValueError(f"{name}: accepted a finite value for each of {len(self.photo_ids)} photos")

    @property
    def variants(self) -> list[str]:
        return list(dict.fromkeys(setting.variant for setting in self.settings))

    @property
    def style_threshold(self) -> float:
        """Mean grid contrast from which a setting counts as pixel art."""
        return STYLE_SHARE * fmean(self.ceiling)

    def of(self, variant: str) -> list[Setting]:
        return [setting for setting in self.settings if setting.variant == variant]

    def front(self, variant: str) -> list[Setting]:
        """Pareto front of a variant's settings, by ascending style."""
        among = self.of(variant)
        kept = [among[index] for index in pareto_front([setting.point for setting in among])]
        return sorted(kept, key=lambda setting: setting.point)

    def best(self, variant: str) -> Setting | None:
        """The setting with the highest mean likeness among those that count as pixel art; None without any.

        The choice is by means alone: a setting whose interval overlaps may be as good.
        """
        drawn = [setting for setting in self.of(variant) if setting.point[0] >= self.style_threshold]
        return max(drawn, key=lambda setting: setting.point[1], default=None)


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Ascending indices of the points that no other point dominates; higher is better in both coordinates.

    A point dominates another if it is at least as high in both and higher in one; equal points do not.
    """
    front: list[int] = []
    best: tuple[float, float] | None = None  # the last point kept: the highest second coordinate so far
    for index in sorted(range(len(points)), key=lambda index: points[index], reverse=True):
        if best is None or points[index] == best or points[index][1] > best[1]:
            front.append(index)
            best = points[index]
    return sorted(front)


def save_tradeoff(tradeoff: Tradeoff, path: Path) -> None:
    """Write tradeoff.json atomically: all values per photo, and means, fronts and best settings."""
    best = {variant: tradeoff.best(variant) for variant in tradeoff.variants}
    rows = [
        asdict(s) | {"mean": {"style": asdict(s.style_estimate), "likeness": asdict(s.likeness_estimate)}}
        for s in tradeoff.settings
    ]
    content = {
        "best": {variant: s and _summary(s) for variant, s in best.items()},
        "style_threshold": tradeoff.style_threshold,
        "front": {variant: [_summary(s) for s in tradeoff.front(variant)] for variant in best},
        **asdict(tradeoff),
        "settings": rows,
    }
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    write_whole(path, text + "\n")


def load_tradeoff(path: Path) -> Tradeoff:
    """Read a file of `save_tradeoff`. Raises ValueError naming the file and what is wrong with it."""
    with reading(path, "trade-off", "evaluate eval=tradeoff"):
        raw = parse_json(path.read_bytes())
        return Tradeoff(
            settings=[_decode(setting) for setting in checked(raw["settings"], list)],
            ceiling=[float(value) for value in raw["ceiling"]],
            photo_ids=[checked(name, str) for name in checked(raw["photo_ids"], list)],
            seeds=[checked(seed, int) for seed in checked(raw["seeds"], list)],
            base_sha256=checked(raw["base_sha256"], str),
            features_sha256=checked(raw["features_sha256"], str),
            conditions=checked(raw["conditions"], dict),
        )


def _decode(raw: Mapping[str, Any]) -> Setting:
    adapter = raw["adapter_sha256"]
    return Setting(
        variant=checked(raw["variant"], str),
        strength=float(raw["strength"]),
        guidance=float(raw["guidance"]),
        adapter_sha256=None if adapter is None else checked(adapter, str),
        style=[float(value) for value in raw["style"]],
        likeness=[float(value) for value in raw["likeness"]],
        sampler=checked(raw["sampler"], str),
        num_passes=checked(raw["num_passes"], int),
    )


def _summary(setting: Setting) -> dict[str, float | str]:
    chosen = {name: getattr(setting, name) for name in ("strength", "guidance", "sampler")}
    return chosen | dict(zip(("style", "likeness"), setting.point, strict=True))
