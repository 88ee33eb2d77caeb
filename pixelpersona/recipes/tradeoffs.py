"""Trade-offs: base and LoRAs at every sampler, strength and guidance → tradeoff.json."""

from collections.abc import Iterator, Sequence

from tqdm import tqdm

from pixelpersona.config.evaluate import EvaluateConfig
from pixelpersona.evaluation.compare import style_and_likeness
from pixelpersona.evaluation.tradeoff import Setting, Tradeoff, save_tradeoff
from pixelpersona.inference.direct import DirectStylizer, RoundTrip
from pixelpersona.inference.sampler import Sampler
from pixelpersona.inference.stylizer import Stylizer
from pixelpersona.models.base import BaseModel
from pixelpersona.models.codec import Codec
from pixelpersona.recipes.evaluation import Inputs, fine_tunes, load_inputs, target_of
from pixelpersona.runs.discovery import TrainedWeights
from pixelpersona.runs.records import versions, write_overrides
from pixelpersona.terminal import say


def weigh_tradeoffs(config: EvaluateConfig, overrides: Sequence[str]) -> None:
    """Draw the photos at each setting and write tradeoff.json to paths.runs; print the best settings.

    overrides: the command line's settings, as typed. Raises ValueError for settings that cannot be measured.
    """
    runs = config.paths.runs
    inputs = load_inputs(config)
    benchmark = inputs.benchmark
    # The autoencoder bounds what a LoRA can reach; nothing is postprocessed here.
    through_vae = DirectStylizer(RoundTrip(Codec(inputs.base), target_of(inputs)), cell=inputs.base.cell)
    ceiling = style_and_likeness(through_vae.portraits(benchmark.photos, benchmark.seeds), benchmark)[0]
    settings: list[Setting] = []
    weights: dict[str, str] = {}
    samplers = _samplers(config)
    for trained, model in _models(inputs):
        name = "base" if trained is None else trained.name
        if trained is not None:
            weights[name] = trained.recorded
        for sampler in tqdm(samplers, desc=name, unit="setting"):
            settings.append(_measure(name, trained, model, sampler, config.model.prompt, inputs))
    tradeoff = Tradeoff(
        settings=settings,
        ceiling=ceiling,
        photo_ids=benchmark.photo_ids,
        seeds=benchmark.seeds,
        base_sha256=inputs.base.sha256,
        features_sha256=benchmark.features.sha256,
        conditions={
            "split": str(config.eval.split),
            "prompt": config.model.prompt,
            "pairs": inputs.pair_set.sha256,
            "weights": weights,
            "versions": versions(),
        },
    )
    save_tradeoff(tradeoff, runs / "tradeoff.json")
    for variant in tradeoff.variants:
        say(f"{variant}: {_best(tradeoff, variant)}")
    write_overrides(runs / "tradeoff.json", overrides)
    say(f"wrote {runs / 'tradeoff.json'}")


def _samplers(config: EvaluateConfig) -> list[Sampler]:
    """Every kind and number of steps at every guidance and strength."""
    names = config.eval.samplers or [f"{config.sampler.kind}-{config.sampler.num_steps}"]
    return [
        Sampler(
            kind=name.partition("-")[0],
            num_steps=int(name.partition("-")[2]),
            strength=strength,
            guidance=guidance,
        )
        for name in names
        for guidance in config.eval.guidances
        for strength in config.eval.strengths
    ]


def _models(inputs: Inputs) -> Iterator[tuple[TrainedWeights | None, BaseModel]]:
    """The base and each fine-tune, one at a time: each fine-tune is a copy of the base."""
    yield None, inputs.base
    for trained, tuned, _ in fine_tunes(inputs):
        yield trained, tuned


def _measure(
    name: str,
    trained: TrainedWeights | None,
    model: BaseModel,
    sampler: Sampler,
    prompt: str,
    inputs: Inputs,
) -> Setting:
    stylizer = Stylizer(model, sampler=sampler, prompt=prompt)
    benchmark = inputs.benchmark
    style, likeness = style_and_likeness(stylizer.portraits(benchmark.photos, benchmark.seeds), benchmark)
    return Setting(
        name,
        sampler.strength,
        sampler.guidance,
        None if trained is None else trained.sha256,
        style,
        likeness,
        sampler=f"{sampler.kind}-{sampler.num_steps}",
        num_passes=sampler.num_passes,
    )


def _best(tradeoff: Tradeoff, variant: str) -> str:
    best = tradeoff.best(variant)
    if best is None:
        return f"no setting with a grid contrast of {tradeoff.style_threshold:.2f} or more"
    style, likeness = best.point
    return (
        f"{best.sampler}, strength {best.strength:g}, guidance {best.guidance:g} "
        f"(grid contrast {style:.2f}, likeness {likeness:.2f})"
    )
