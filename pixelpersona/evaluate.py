"""`python -m pixelpersona.evaluate`: every variant on the same held-out photos and seeds → result.json."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

from pixelpersona.build.data import AugmentConfig, DatasetConfig, PathsConfig, make_pairs
from pixelpersona.build.evaluation import EvalConfig, make_benchmark, variants
from pixelpersona.build.inference import SamplerConfig
from pixelpersona.build.models import ModelConfig, make_base
from pixelpersona.build.sheets import save_sheets
from pixelpersona.door import door
from pixelpersona.pixel.finish import Finish
from pixelpersona.pixel.pixelation import Pixelation


@dataclass(kw_only=True, slots=True)
class EvaluateConfig:
    """Compares every trained run below paths.runs and writes paths.runs/result.json and sheets/.

    timings.json beside them holds what differs from run to run: the seconds per portrait of each variant.
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
    paths: PathsConfig = field(default_factory=PathsConfig)


@door("evaluate", EvaluateConfig)
def main(config: EvaluateConfig) -> None:
    """Draw, score, compare, save."""
    import numpy as np
    from tqdm import tqdm

    from pixelpersona.build.record import versions
    from pixelpersona.data.latents import encode_pairs
    from pixelpersona.evaluation.compare import compare_variant, differences
    from pixelpersona.evaluation.result import EvalResults, save_results
    from pixelpersona.inference.timed import Timed
    from pixelpersona.models.codec import Codec
    from pixelpersona.reporting.runs import save_timings
    from pixelpersona.reporting.table import REFERENCES

    runs = config.paths.runs
    if not runs.is_dir():
        raise ValueError(f"paths.runs={runs}: no such folder; train something first")
    pair_set = make_pairs(config.dataset, config.pixelate, config.augment, config.model, config.paths)
    base = make_base(config.model)
    heldout = encode_pairs(
        pair_set, "heldout", Codec(base), config.paths.cache, photos=config.model.lora_start_strength > 0.0
    )
    benchmark = make_benchmark(base, pair_set, config.eval, config.finish)
    results, portraits, seconds, weights = [], {}, {}, {}
    found = variants(base, pair_set, heldout, runs, config.model, config.sampler, config.eval, config.finish)
    for variant in tqdm(found, desc="variants", unit="variant"):
        maker = Timed(variant.maker)
        result, portraits[variant.name] = compare_variant(
            variant.name,
            maker,
            benchmark,
            adapter_sha256=None if variant.weights is None else variant.weights.sha256,
            num_parameters=variant.num_parameters,
            losses={key: values[: len(benchmark.photos)] for key, values in variant.losses.items()},
        )
        results.append(result)
        if variant.weights is not None:
            weights[variant.name] = variant.weights.file.relative_to(runs).as_posix()
        if variant.name not in REFERENCES - {"nearest", "pyxelate"}:  # the others draw nothing
            seconds[variant.name] = round(maker.seconds_per_portrait, 4)
    settings = {
        "sampler": asdict(config.sampler),
        "finish": asdict(config.finish),
        "prompt": config.model.prompt,
        "pairs": pair_set.sha256,
        "num_photos": len(benchmark.photos),
        **({"weights": weights} if weights else {}),
        "versions": versions(),
    }
    found_differences = differences(results)
    loras = [result for result in results if result.is_fine_tune]
    if len(loras) > 1:  # the ranks against the first of them, too
        found_differences += differences(loras, loras[0].variant)
    save_results(EvalResults(results, found_differences, settings), runs / "result.json")
    save_timings(runs, seconds)
    tuned = [r for r in results if r.adapter_sha256] or results
    kept = np.mean([r.per_photo["likeness_raw"] for r in tuned], axis=0)
    order = [int(i) for i in np.argsort(kept, kind="stable")]
    save_sheets(runs / "sheets", portraits, order, config.eval.sheet_rows)
    print(f"wrote {runs / 'result.json'}")


if __name__ == "__main__":
    main()
