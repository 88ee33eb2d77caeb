"""Results of a comparison, their intervals and their JSON files. Needs no torch, so reports can use it."""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from pixelpersona.evaluation.intervals import Estimate
from pixelpersona.files import parse_json, write_whole

_Kind = TypeVar("_Kind")


@dataclass(frozen=True, slots=True)
class EvalResult:
    """All metrics of one variant: of one run, or of several that differ only in their training seed.

    metrics: metric name → value with interval. per_photo: metric name → one value per photo, in the order
    of photo_ids; metrics of the whole set (KID, FID) have no entry. num_parameters: trained parameters.
    adapter_sha256 is None and num_parameters 0 when nothing was trained for the variant.
    training_seeds: those of its runs, [] where they are not recorded. members: the names of its runs when
    there are several, else []. With members, adapter_sha256 is None and per_photo {}, because they belong to
    the runs. deviations: metric name → standard deviation over the seeds, {} without members.
    Raises ValueError when a list in per_photo is not as long as photo_ids, or a number is not finite.
    """

    variant: str
    metrics: dict[str, Estimate]
    per_photo: dict[str, list[float]]
    photo_ids: list[str]
    seeds: list[int]
    base_sha256: str
    adapter_sha256: str | None
    features_sha256: str
    num_parameters: int
    training_seeds: list[int] = field(default_factory=list)
    members: list[str] = field(default_factory=list)
    deviations: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, values in self.per_photo.items():
            if len(values) != len(self.photo_ids):
                num = len(self.photo_ids)
                raise ValueError(f"{self.variant}: {name}: {len(values)} values for {num} photos")
            if not all(map(math.isfinite, values)):
                raise ValueError(f"{self.variant}: {name} is not finite for every photo")
        for name, estimate in self.metrics.items():
            if not all(map(math.isfinite, astuple(estimate))):
                raise ValueError(f"{self.variant}: {name} is not finite: {estimate}")
        if not all(map(math.isfinite, self.deviations.values())):
            raise ValueError(f"{self.variant}: a deviation is not finite")

    @property
    def is_fine_tune(self) -> bool:
        """Whether it has trained weights and predicts noise: a LoRA, not the supervised baseline."""
        return (self.adapter_sha256 is not None or bool(self.members)) and "noise_loss" in self.metrics

    @property
    def num_seeds(self) -> int:
        """Number of training seeds behind the numbers; 1 for a single run, and where nothing was trained."""
        return len(self.members) or 1


@dataclass(frozen=True, slots=True)
class Difference:
    """variant minus baseline in one metric, paired over the same photos.

    num_seeds: number of training seeds compared. deviation: standard deviation of the difference over the
    training seeds; None for one seed. Raises ValueError when a number is not finite.
    """

    variant: str
    baseline: str
    metric: str
    estimate: Estimate
    num_seeds: int = 1
    deviation: float | None = None

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (*astuple(self.estimate), self.deviation or 0.0))):
            name = f"{self.variant} minus {self.baseline}: {self.metric}"
            raise ValueError(f"{name} is not finite: {self.estimate}, deviation {self.deviation}")


@dataclass(frozen=True, slots=True)
class EvalResults:
    """The results of one evaluation.

    variants: one per run, and those without training. groups: one per set of runs that differ only in their
    training seed. settings: split, sampler, prompt, data set hash, versions. captions: photo id → what the
    data set says about the photo, for photos with a caption.
    """

    variants: list[EvalResult]
    differences: list[Difference]
    settings: dict[str, object] = field(default_factory=dict)
    groups: list[EvalResult] = field(default_factory=list)
    captions: dict[str, str] = field(default_factory=dict)

    @property
    def compared(self) -> list[EvalResult]:
        """What is compared: the variants in their order, each group in place of its first run."""
        group_of = {name: group for group in self.groups for name in group.members}
        rows = (group_of.get(result.variant, result) for result in self.variants)
        return list({row.variant: row for row in rows}.values())

    @property
    def runs_of_groups(self) -> list[EvalResult]:
        """The single runs of all groups."""
        names = {name for group in self.groups for name in group.members}
        return [result for result in self.variants if result.variant in names]

    @property
    def split(self) -> str:
        """The photos' split, "val" or "test"; results of version 0.1 do not name it and count as test."""
        return str(self.settings.get("split", "test"))

    def variant(self, name: str) -> EvalResult:
        """The result of that name, of a run or a group. Raises ValueError listing the accepted names."""
        found = {result.variant: result for result in [*self.variants, *self.groups]}
        if name not in found:
            raise ValueError(f"no variant {name!r} in the results; accepted: {', '.join(found)}")
        return found[name]


@dataclass(frozen=True, slots=True)
class Metric:
    """Title, better direction, range (infinite where unbounded) and meaning of a metric.

    is_share: whether it is a share of the photos, 0 or 1 for each.
    """

    name: str
    title: str
    better: Literal["higher", "lower"]
    low: float
    high: float
    meaning: str
    is_share: bool = False

    @property
    def stage(self) -> str:
        """Whether it is measured before ("raw") or after snapping to grid and palette; "" for neither."""
        last = self.name.rpartition("_")[2]
        return last if last in ("raw", "snapped") else ""

    @property
    def plain_title(self) -> str:
        """The title without its stage."""
        return self.title.removesuffix(f", {self.stage}")

    @property
    def range(self) -> str:
        """As text: "−1 to 1", "≥ 0", "≤ 1" or "any number"."""
        low, high = (f"{bound:g}".replace("-", "\N{MINUS SIGN}") for bound in (self.low, self.high))
        if math.isfinite(self.low):
            return f"{low} to {high}" if math.isfinite(self.high) else f"≥ {low}"
        return f"≤ {high}" if math.isfinite(self.high) else "any number"


_STAGED: tuple[Metric, ...] = (
    Metric("grid_contrast", "grid contrast", "higher", -math.inf, 1.0,
           "how clearly the picture consists of cells of this grid: 1 for pixel art, near 0 for a photo"),
    Metric("palette_error", "palette error", "lower", 0.0, math.inf,
           "colour distance to the best palette of 16 colours; 0 for a picture with at most that many"),
    Metric("structure", "structure", "higher", -1.0, 1.0,
           "structural similarity (SSIM) of brightness to the photo, at one value per cell"),
    Metric("delta_e", "colour difference", "lower", 0.0, math.inf,
           "CIEDE2000 to the photo, mean over cells; 0 for equal colours, about 1 is just noticeable"),
    Metric("likeness", "likeness", "higher", -1.0, 1.0,
           "cosine of the centred identity features of portrait and altered photo"),
    Metric("likeness_top1", "likeness top-1", "higher", 0.0, 1.0,
           "share of portraits whose own altered photo is the split's nearest one by these features",
           is_share=True),
    Metric("layout_top1", "layout top-1", "higher", 0.0, 1.0,
           "the same share by 12x12 colours alone: the floor for likeness top-1",
           is_share=True),
    Metric("kid_persona", "KID persona", "lower", -math.inf, math.inf,
           "kernel distance to the reference pixel art in the packaged features; 0 for equal distributions"),
    Metric("fid_persona", "FID persona", "lower", 0.0, math.inf,
           "Fréchet distance to the reference pixel art in these features; biased upwards on few pictures"),
    Metric("kid_inception", "KID Inception", "lower", -math.inf, math.inf,
           "kernel distance to the reference pixel art in Inception's features"),
    Metric("fid_inception", "FID Inception", "lower", 0.0, math.inf,
           "Fréchet distance in Inception's features; biased upwards, strongly below 2,048 pictures"),
)  # fmt: skip


_LOSSES = (
    Metric("noise_loss", "noise loss", "lower", 0.0, math.inf,
           "squared error of the predicted noise on pixel art of these photos, "
           "at fixed noise, over all noise levels"),
    Metric("residual_shift_loss", "residual-shift loss", "lower", 0.0, math.inf,
           "the same on img2img's path from photo to pixel art, where the noise contains their difference"),
)  # fmt: skip
_BY_STAGE = [
    replace(m, name=f"{m.name}_{stage}", title=f"{m.title}, {stage}")
    for stage in ("raw", "snapped")
    for m in _STAGED
]
METRICS: dict[str, Metric] = {m.name: m for m in (*_BY_STAGE, *_LOSSES)}
"""All metrics of an evaluation, in the order of the tables: raw, the same snapped, and losses."""

STYLE, LIKENESS = "grid_contrast_raw", "likeness_raw"
"""The metrics that fine-tunes are judged by, both on raw pictures: is it pixel art, is it the person?"""


def metric_of(name: str) -> Metric:
    """The metric of that name: one of `METRICS`, or one of them with another parameter.

    "palette_error_8_raw" is palette_error_raw with 8 colours, "grid_contrast_6_raw" is grid_contrast_raw
    for cells of 6 pixels. An unknown name gives a metric without title, range and meaning.
    """
    if name in METRICS:
        return METRICS[name]
    if found := re.fullmatch(r"(palette_error|grid_contrast)_(\d+)_(raw|snapped)", name):
        known = METRICS[f"{found[1]}_{found[3]}"]
        if found[1] == "palette_error":
            variation = f"{found[2]} colours"
            meaning = known.meaning.replace("16 colours", variation)
        else:
            variation = f"cells of {found[2]} pixels"
            meaning = f"{known.meaning}; {variation}"
        title = known.title.replace(",", f" ({variation}),")
        return replace(known, name=name, title=title, meaning=meaning)
    return Metric(name, name, "higher", -math.inf, math.inf, "")


def require_same_features(results: Iterable[EvalResult]) -> str:
    """The feature hash that all results share; metrics in different features are not comparable.

    Raises ValueError when two hashes differ or there is no result.
    """
    found: dict[str, str] = {}
    for result in results:
        found.setdefault(result.features_sha256, result.variant)
    if len(found) != 1:
        described = ", ".join(f"{variant} has {sha[:12]}" for sha, variant in found.items())
        described = described or "there is no variant"
        raise ValueError(f"features_sha256 must be the same for all variants: {described}")
    return next(iter(found))


def save_results(results: EvalResults, path: Path) -> None:
    """Write result.json atomically; the settings must be JSON values."""
    text = json.dumps(asdict(results), indent=1, ensure_ascii=False, allow_nan=False)
    write_whole(path, text + "\n")


def load_results(path: Path) -> EvalResults:
    """Read a file of `save_results`. Raises ValueError naming the file and what is wrong with it."""
    with reading(path, "result", "evaluate"):
        raw = parse_json(path.read_bytes())
        results = EvalResults(
            variants=[_decode_variant(v) for v in checked(raw["variants"], list)],
            differences=[_decode_difference(d) for d in checked(raw["differences"], list)],
            settings=checked(raw["settings"], dict),
            # Version 0.1 had neither groups nor captions.
            groups=[_decode_variant(v) for v in checked(raw.get("groups", []), list)],
            captions={
                str(photo_id): checked(caption, str)
                for photo_id, caption in checked(raw.get("captions", {}), dict).items()
            },
        )
        names = {result.variant for result in results.variants}
        if unknown := {name for group in results.groups for name in group.members} - names:
            raise ValueError(f"groups: {min(unknown)} is not among the variants")
        return results


@contextmanager
def reading(path: Path, kind: str, command: str) -> Iterator[None]:
    """Turn errors of reading and decoding a JSON file into a ValueError that names the file."""
    try:
        yield
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; `{command}` writes it") from None
    except KeyError as error:
        raise ValueError(f"{path}: the key {error} is missing") from None
    except (OSError, ValueError, TypeError, AttributeError, OverflowError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: not a readable {kind} file ({reason})") from None


def checked(value: Any, kind: type[_Kind]) -> _Kind:
    """A value read from JSON. Raises ValueError when it is of another type."""
    if not isinstance(value, kind):
        raise ValueError(f"expected a {kind.__name__}, found {str(value)[:60]!r}")
    return value


def _decode(raw: Mapping[str, Any]) -> Estimate:
    return Estimate(float(raw["mean"]), float(raw["low"]), float(raw["high"]))


def _decode_difference(raw: Mapping[str, Any]) -> Difference:
    deviation = raw.get("deviation")
    return Difference(
        variant=checked(raw["variant"], str),
        baseline=checked(raw["baseline"], str),
        metric=checked(raw["metric"], str),
        estimate=_decode(raw["estimate"]),
        num_seeds=checked(raw.get("num_seeds", 1), int),
        deviation=None if deviation is None else float(deviation),
    )


def _decode_variant(raw: Mapping[str, Any]) -> EvalResult:
    adapter = raw["adapter_sha256"]
    return EvalResult(
        variant=checked(raw["variant"], str),
        metrics={str(name): _decode(estimate) for name, estimate in raw["metrics"].items()},
        per_photo={str(name): [float(v) for v in values] for name, values in raw["per_photo"].items()},
        photo_ids=[checked(i, str) for i in checked(raw["photo_ids"], list)],
        seeds=[checked(s, int) for s in checked(raw["seeds"], list)],
        base_sha256=checked(raw["base_sha256"], str),
        adapter_sha256=None if adapter is None else checked(adapter, str),
        features_sha256=checked(raw["features_sha256"], str),
        num_parameters=checked(raw["num_parameters"], int),
        training_seeds=[checked(s, int) for s in checked(raw.get("training_seeds", []), list)],
        members=[checked(name, str) for name in checked(raw.get("members", []), list)],
        deviations={str(name): float(value) for name, value in raw.get("deviations", {}).items()},
    )
