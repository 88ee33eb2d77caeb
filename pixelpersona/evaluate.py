"""`python -m pixelpersona.evaluate`: every variant on the same held-out photos and seeds → result.json."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pixelpersona.build.data import AugmentConfig, DatasetConfig, PathsConfig, make_pairs
from pixelpersona.build.evaluation import EvalConfig, make_benchmark, variants
from pixelpersona.build.inference import SamplerConfig
from pixelpersona.build.models import ModelConfig, make_base
from pixelpersona.build.sheets import save_sheets
from pixelpersona.build.tracking import TrackerConfig, TrackerMode, log_results, make_result_tracker
from pixelpersona.door import door, overrides
from pixelpersona.pixel.finish import Finish
from pixelpersona.pixel.pixelation import Pixelation

if TYPE_CHECKING:
    from pixelpersona.data.pairset import PairSet
    from pixelpersona.evaluation.compare import Benchmark
    from pixelpersona.evaluation.result import EvalResult, EvalResults
    from pixelpersona.inference.portrait import Portrait
    from pixelpersona.models.base import BaseModel


@dataclass(kw_only=True, slots=True)
class EvaluateConfig:
    """Compares every trained run below paths.runs and writes paths.runs/result.json and sheets/.

    timings.json beside them holds what differs from run to run: the seconds per portrait of each variant.
    With eval.strengths it writes tradeoff.json instead and leaves the others as they are.
    """

    name: str = "evaluate"
    timing: Path | None = None
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    pixelate: Pixelation = field(default_factory=Pixelation)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    finish: Finish = field(default_factory=Finish)
    eval: EvalConfig = field(default_factory=EvalConfig)
    tracker: TrackerConfig = field(default_factory=TrackerConfig)
    paths: PathsConfig = field(default_factory=PathsConfig)


@dataclass(frozen=True, slots=True)
class _Inputs:
    pair_set: "PairSet"
    base: "BaseModel"
    benchmark: "Benchmark"


@door("evaluate", EvaluateConfig)
def main(config: EvaluateConfig) -> None:
    """Draw, score, compare, save; with strengths and guidances, weigh them against each other instead."""
    from pixelpersona.build.record import write_overrides

    runs = config.paths.runs
    if not runs.is_dir():
        raise ValueError(f"paths.runs={runs}: no such folder; train something first")
    config.eval.check(config.model.image_size)
    pair_set = make_pairs(config.dataset, config.pixelate, config.augment, config.model, config.paths)
    base = make_base(config.model)
    inputs = _Inputs(pair_set, base, make_benchmark(base, pair_set, config.eval, config.finish))
    file = _weigh(config, inputs) if config.eval.strengths else _compare(config, inputs)
    write_overrides(file, overrides(EvaluateConfig))
    print(f"wrote {file}")


def _compare(config: EvaluateConfig, inputs: _Inputs) -> Path:
    from pixelpersona.evaluation.compare import differences
    from pixelpersona.evaluation.result import EvalResults, save_results
    from pixelpersona.reporting.runs import save_timings

    runs, drawn = config.paths.runs, _draw(config, inputs)
    found_differences = differences(drawn.results)
    loras = [result for result in drawn.results if result.is_fine_tune]
    if len(loras) > 1:  # the ranks against the first of them, too
        found_differences += differences(loras, loras[0].variant)
    results = EvalResults(drawn.results, found_differences, _settings(config, inputs, drawn.weights))
    save_results(results, runs / "result.json")
    save_timings(runs, drawn.seconds)
    order = _worst_first(results)
    sheets = save_sheets(runs / "sheets", drawn.portraits, order, config.eval.sheet_rows)
    _track(config, results, sheets)
    return runs / "result.json"


@dataclass(frozen=True, slots=True)
class _Drawn:
    """Of every variant: its result, portraits, seconds per portrait, and the file of trained weights."""

    results: "list[EvalResult]" = field(default_factory=list)
    portraits: "dict[str, list[Portrait]]" = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    weights: dict[str, str] = field(default_factory=dict)


def _draw(config: EvaluateConfig, inputs: _Inputs) -> _Drawn:
    from tqdm import tqdm

    from pixelpersona.data.latents import encode_pairs
    from pixelpersona.evaluation.compare import compare_variant
    from pixelpersona.inference.timed import Timed
    from pixelpersona.models.codec import Codec
    from pixelpersona.pixel.compiled import compile_kernels
    from pixelpersona.reporting.table import REFERENCES

    compile_kernels()  # no variant's time
    runs, pair_set, base, benchmark = config.paths.runs, inputs.pair_set, inputs.base, inputs.benchmark
    with_photos = config.model.lora_start_strength > 0.0
    heldout = encode_pairs(pair_set, "heldout", Codec(base), config.paths.cache, photos=with_photos)
    drawn = _Drawn()
    found = variants(base, pair_set, heldout, runs, config.model, config.sampler, config.eval, config.finish)
    for variant in tqdm(found, desc="variants", unit="variant"):
        maker = Timed(variant.maker)
        result, drawn.portraits[variant.name] = compare_variant(
            variant.name,
            maker,
            benchmark,
            adapter_sha256=None if variant.weights is None else variant.weights.sha256,
            num_parameters=variant.num_parameters,
            losses={key: values[: len(benchmark.photos)] for key, values in variant.losses.items()},
        )
        drawn.results.append(result)
        if variant.weights is not None:
            drawn.weights[variant.name] = variant.weights.file.relative_to(runs).as_posix()
        if variant.name not in REFERENCES - {"nearest", "pyxelate"}:  # the others draw nothing
            drawn.seconds[variant.name] = round(maker.seconds_per_portrait, 4)
    return drawn


def _settings(config: EvaluateConfig, inputs: _Inputs, weights: dict[str, str]) -> dict[str, object]:
    from pixelpersona.build.record import versions

    inception = inputs.benchmark.inception
    return {
        "sampler": asdict(config.sampler),
        "finish": asdict(config.finish),
        "prompt": config.model.prompt,
        "pairs": inputs.pair_set.sha256,
        "num_photos": len(inputs.benchmark.photos),
        **({"weights": weights} if weights else {}),
        **({"inception_sha256": inception.sha256} if inception is not None else {}),
        "versions": versions(),
    }


def _worst_first(results: "EvalResults") -> list[int]:
    """Photo indices by the mean likeness of what was trained, of everything where nothing was."""
    import numpy as np

    tuned = [result for result in results.variants if result.adapter_sha256] or results.variants
    kept = np.mean([result.per_photo["likeness_raw"] for result in tuned], axis=0)
    return [int(index) for index in np.argsort(kept, kind="stable")]


def _track(config: EvaluateConfig, results: "EvalResults", sheets: list[Path]) -> None:
    from pixelpersona.build.record import public_config
    from pixelpersona.training.interrupt import ending

    if config.tracker.mode is TrackerMode.disabled:
        return
    runs = config.paths.runs
    tracker = make_result_tracker(config.tracker, runs, name=config.name, config=public_config(config))
    with ending(tracker):
        log_results(tracker, results, sheets)


def _weigh(config: EvaluateConfig, inputs: _Inputs) -> Path:
    from pixelpersona.build.tradeoff import weigh
    from pixelpersona.evaluation.tradeoff import save_tradeoff

    runs = config.paths.runs
    tradeoff = weigh(
        inputs.base, inputs.pair_set, inputs.benchmark, runs, config.model, config.sampler, config.eval
    )
    save_tradeoff(tradeoff, runs / "tradeoff.json")
    for variant in tradeoff.variants:
        best = tradeoff.best(variant)
        if best is None:
            told = f"no setting with a grid contrast of {tradeoff.enough:.2f} or more"
        else:
            style, likeness = best.point
            told = f"{best.sampler}, strength {best.strength:g}, guidance {best.guidance:g}"
            told += f" (grid contrast {style:.2f}, likeness {likeness:.2f})"
        print(f"{variant}: {told}")
    return runs / "tradeoff.json"


if __name__ == "__main__":
    main()
