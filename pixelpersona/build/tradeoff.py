"""Every variant at every sampler, strength and guidance of `eval=tradeoff`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pixelpersona.build.evaluation import EvalConfig, Teacher, Through, fine_tunes, make_stylizer
from pixelpersona.build.inference import SamplerConfig, make_sampler
from pixelpersona.build.models import ModelConfig
from pixelpersona.build.trained import Trained
from pixelpersona.pixel.finish import Finish

if TYPE_CHECKING:
    from pixelpersona.data.pairset import PairSet
    from pixelpersona.evaluation.compare import Benchmark
    from pixelpersona.evaluation.tradeoff import Setting, Tradeoff
    from pixelpersona.models.base import BaseModel


def weigh(
    base: "BaseModel",
    pair_set: "PairSet",
    benchmark: "Benchmark",
    runs: Path,
    model: ModelConfig,
    sampler: SamplerConfig,
    evaluation: EvalConfig,
) -> "Tradeoff":
    """The base and every LoRA below `runs`, drawn at each setting, all photos in one call."""
    from tqdm import tqdm

    from pixelpersona.build.record import versions
    from pixelpersona.evaluation.compare import style_and_likeness
    from pixelpersona.evaluation.tradeoff import Tradeoff
    from pixelpersona.inference.direct import DirectStylizer

    through = DirectStylizer(Through(base, Teacher(pair_set, evaluation)), cell=base.cell, finish=Finish())
    ceiling = style_and_likeness(through.portraits(benchmark.photos, benchmark.seeds), benchmark)[0]
    weights: dict[str, str] = {}
    settings: list[Setting] = []
    found = _settings(base, benchmark, runs, model, sampler, evaluation)
    for trained, setting in tqdm(found, desc="settings", unit="setting"):
        settings.append(setting)
        if trained is not None:
            weights[trained.name] = trained.file.relative_to(runs).as_posix()
    return Tradeoff(
        settings=settings,
        ceiling=ceiling,
        photo_ids=benchmark.photo_ids,
        seeds=benchmark.seeds,
        base_sha256=base.sha256,
        features_sha256=benchmark.features.sha256,
        conditions={
            "prompt": model.prompt,
            "pairs": pair_set.sha256,
            "weights": weights,
            "versions": versions(),
        },
    )


def _settings(
    base: "BaseModel",
    benchmark: "Benchmark",
    runs: Path,
    model: ModelConfig,
    sampler: SamplerConfig,
    evaluation: EvalConfig,
) -> Iterator[tuple[Trained | None, "Setting"]]:
    from pixelpersona.evaluation.compare import style_and_likeness
    from pixelpersona.evaluation.tradeoff import Setting

    for trained, drawer in _drawers(base, runs):
        adapter = None if trained is None else trained.name
        sha256 = None if trained is None else trained.sha256
        for told in _samplers(sampler, evaluation):
            maker = make_stylizer(drawer, model, told, Finish(), adapter)
            style, likeness = style_and_likeness(
                maker.portraits(benchmark.photos, benchmark.seeds), benchmark
            )
            yield (
                trained,
                Setting(
                    adapter or "base",
                    told.strength,
                    told.guidance,
                    sha256,
                    style,
                    likeness,
                    sampler=f"{told.kind}-{told.num_steps}",
                    num_passes=make_sampler(told).num_passes,
                ),
            )


def _samplers(sampler: SamplerConfig, evaluation: EvalConfig) -> Iterator[SamplerConfig]:
    """Of every kind and number of steps at every guidance and strength."""
    for name in evaluation.samplers or [f"{sampler.kind}-{sampler.num_steps}"]:
        kind, _, num_steps = name.partition("-")
        for guidance in evaluation.guidances:
            for strength in evaluation.strengths:
                yield SamplerConfig(kind=kind, num_steps=int(num_steps), strength=strength, guidance=guidance)


def _drawers(base: "BaseModel", runs: Path) -> "Iterator[tuple[Trained | None, BaseModel]]":
    """One at a time: each is a copy of the base."""
    yield None, base
    for trained, tuned, _ in fine_tunes(base, runs):
        yield trained, tuned
