"""Evaluation: every variant on the same photos and seeds → result.json and contact sheets."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial

import numpy as np
from PIL import Image
from tqdm import tqdm

from pixelpersona.config.evaluate import EvaluateConfig
from pixelpersona.data.latents import LatentSet, encode_pairs
from pixelpersona.data.pairset import PairSet
from pixelpersona.data.recipe import with_palette_colors
from pixelpersona.evaluation.compare import Benchmark, differences, score_variant
from pixelpersona.evaluation.fidelity import GALLERY_SIZE
from pixelpersona.evaluation.framed_features import FramedFeatures
from pixelpersona.evaluation.result import EvalResults, save_results
from pixelpersona.evaluation.training_seeds import group_seeds
from pixelpersona.inference.direct import (
    DirectStylizer,
    Draw,
    NetworkDraw,
    PixelationDraw,
    RecordedTarget,
    RoundTrip,
    unchanged,
)
from pixelpersona.inference.portrait import PortraitMaker
from pixelpersona.inference.sampler import Sampler
from pixelpersona.inference.stylizer import Stylizer
from pixelpersona.inference.timing import Timed
from pixelpersona.models.adapter import ADAPTER_FILE, merge_lora
from pixelpersona.models.base import BaseModel
from pixelpersona.models.baseline import BASELINE_FILE, load_baseline
from pixelpersona.models.codec import Codec
from pixelpersona.models.inception import InceptionFeatures
from pixelpersona.pixel.compiled import compile_kernels
from pixelpersona.pixel.damage import damage
from pixelpersona.pixel.pixelation import Pixelation
from pixelpersona.pixel.postprocess import Postprocess
from pixelpersona.recipes.check_eval import check_eval, check_num_photos
from pixelpersona.recipes.comparable_runs import comparable_runs, other_adapters, warn_of_copies
from pixelpersona.recipes.model import load_model, picture_framing
from pixelpersona.recipes.preparation import make_pairs
from pixelpersona.reporting.sheets import save_sheets
from pixelpersona.reporting.tracked_results import log_results
from pixelpersona.runs.discovery import TrainedWeights, best_weights, find_trained, training_of
from pixelpersona.runs.reading import save_timings
from pixelpersona.runs.records import plain_config, public_config, versions, write_overrides
from pixelpersona.terminal import say, warn
from pixelpersona.tracking.environment import check_environment
from pixelpersona.tracking.opening import open_tracker
from pixelpersona.training.interrupt import ending
from pixelpersona.training.objectives.diffusion import DiffusionObjective
from pixelpersona.training.validation import fixed_noise_loss

_NOT_DRAWN = ("photo", "target", "target-vae")  # references, neither drawn nor timed


@dataclass(frozen=True, slots=True)
class Inputs:
    """What all variants share. trained: the runs to compare, LoRAs and baselines, and other LoRAs.

    captions: of the benchmark's photos, where the data set has one.
    """

    pair_set: PairSet
    base: BaseModel
    benchmark: Benchmark
    postprocess: Postprocess
    trained: list[TrainedWeights]
    captions: dict[str, str]


@dataclass(frozen=True, slots=True)
class Variant:
    """One row of the comparison. losses: metric → fixed-noise loss per photo.

    training: the seed of its run and what identifies the other settings, see `training_of`.
    """

    name: str
    maker: PortraitMaker
    weights: TrainedWeights | None = None
    training: tuple[int, str] | None = None
    num_parameters: int = 0
    losses: dict[str, list[float]] = field(default_factory=dict)


def evaluate(config: EvaluateConfig, overrides: Sequence[str]) -> None:
    """Draw, score and compare; write result.json, timings.json and sheets/ to paths.runs.

    overrides: the command line's settings, as typed. Raises ValueError for settings that cannot be measured.
    """
    runs = config.paths.runs
    check_environment(config.tracker.mode.value)
    inputs = load_inputs(config)
    compile_kernels()  # so that no variant's seconds include it
    benchmark = inputs.benchmark
    results, pictures, seconds, weights, settings = [], {}, {}, {}, {}
    shown, kind = benchmark.photos, config.eval.damage
    if kind is not None:
        shown = [damage(photo, kind, seed) for photo, seed in zip(shown, benchmark.seeds, strict=True)]
    for variant in tqdm(_variants(config, inputs), desc="variants", unit="variant"):
        maker = Timed(variant.maker)
        portraits = maker.portraits(shown, benchmark.seeds)
        drawn = [(portrait.image, portrait.snapped.image()) for portrait in portraits]
        pictures[variant.name] = drawn
        result = score_variant(
            variant.name,
            [raw for raw, _ in drawn],
            [Image.fromarray(snapped) for _, snapped in drawn],
            benchmark,
            adapter_sha256=None if variant.weights is None else variant.weights.sha256,
            num_parameters=variant.num_parameters,
            training_seed=None if variant.training is None else variant.training[0],
            losses=variant.losses,
        )
        results.append(result)
        if variant.weights is not None:
            weights[variant.name] = variant.weights.recorded
        if variant.training is not None:
            settings[variant.name] = variant.training[1]
        if variant.name not in _NOT_DRAWN:
            seconds[variant.name] = round(maker.seconds_per_portrait, 4)

    groups = group_seeds(results, settings)
    evaluation = EvalResults(results, [], _settings(config, inputs, weights), groups, inputs.captions)
    compared = differences(evaluation)
    tuned = [result for result in evaluation.compared if result.is_fine_tune]
    if len(tuned) > 1:  # also each rank against the first one
        compared += differences(evaluation, tuned[0].variant, tuned)
    evaluation = replace(evaluation, differences=compared)
    save_results(evaluation, runs / "result.json")
    save_timings(runs, seconds)
    sheets = save_sheets(runs / "sheets", pictures, _worst_first(evaluation), config.eval.sheet_rows)
    tracker = open_tracker(
        runs,
        run_name=config.name,
        job_type="evaluate",
        config=public_config(config),
        metrics_file=False,
        **plain_config(config.tracker),
    )
    with ending(tracker):
        log_results(tracker, evaluation, sheets)
        run_folders = {trained.name: trained.file.parent for trained in inputs.trained}
        for result in results:
            if result.variant in run_folders:
                means = {f"test/{name}": estimate.mean for name, estimate in result.metrics.items()}
                tracker.add_result(run_folders[result.variant], means)
    write_overrides(runs / "result.json", overrides)
    say(f"wrote {runs / 'result.json'}")


def load_inputs(config: EvaluateConfig) -> Inputs:
    """Pairs, base, and the photos of eval.split with the targets drawn from them as reference pictures.

    Raises ValueError when there are no runs, or a setting or an adapter of adapter.paths cannot be measured.
    """
    evaluation, model = config.eval, config.model
    if not config.paths.runs.is_dir() and not config.adapter.paths:
        raise ValueError(f"paths.runs={config.paths.runs}: no such folder; train something first")
    check_eval(evaluation, model.image_size)
    pair_set = make_pairs(config)
    check_num_photos(config, pair_set.sizes()[evaluation.split])
    # noise_loss compares with the noise; trade-offs have no losses.
    base = load_model(model, prediction_type=None if evaluation.strengths else "epsilon")
    postprocess = Postprocess(**asdict(config.postprocess))
    path = evaluation.features_path
    split = pair_set.pairs(evaluation.split)
    pairs = split[: evaluation.num_photos]
    others = split[len(pairs) : GALLERY_SIZE]
    found = [w for name in (BASELINE_FILE, ADAPTER_FILE) for w in find_trained(config.paths.runs, name)]
    found += other_adapters(config.adapter.paths, found, base)
    trained = comparable_runs(found, base.sha256, pairs)
    warn_of_copies(pairs)
    benchmark = Benchmark(
        [Image.fromarray(pair_set.photo(pair.id)) for pair in pairs],
        [pair.id for pair in pairs],
        [evaluation.seed + number for number in range(len(pairs))],
        [Image.fromarray(pair_set.pixel(pair.id)) for pair in pairs],
        FramedFeatures(picture_framing(config.dataset, model)),
        cell=base.cell,
        base_sha256=base.sha256,
        num_colors=postprocess.num_colors,
        others={pair.id: Image.fromarray(pair_set.photo(pair.id)) for pair in others},
        also_cells=evaluation.also_cells,
        also_colors=evaluation.also_colors,
        inception=None if path is None else InceptionFeatures(path),
    )
    captions = {pair.id: pair.photo_caption for pair in pairs if pair.photo_caption is not None}
    return Inputs(pair_set, base, benchmark, postprocess, trained, captions)


def target_of(inputs: Inputs) -> RecordedTarget:
    """The target pictures of the benchmark's photos."""
    pair_set, ids = inputs.pair_set, inputs.benchmark.photo_ids
    return RecordedTarget(
        [pair_set.photo(pair_id) for pair_id in ids], [pair_set.pixel(pair_id) for pair_id in ids]
    )


def _target(config: EvaluateConfig, inputs: Inputs) -> Draw:
    """The recorded targets; or, of damaged photos, what the same algorithm draws from them."""
    if config.eval.damage is None:
        return target_of(inputs)
    return PixelationDraw(with_palette_colors(Pixelation(**asdict(config.pixelate))))


def fine_tunes(inputs: Inputs) -> Iterator[tuple[TrainedWeights, BaseModel, int]]:
    """Every LoRA to compare: its file, the base with it merged, its number of parameters.

    One that cannot be used (see `merge_lora`: damaged, not finite, all zero) is named on stderr and left out.
    """
    for trained in inputs.trained:
        if trained.file.name == BASELINE_FILE:
            continue
        try:
            merged, num_parameters = merge_lora(inputs.base, trained.file)
        except ValueError as error:
            _leave_out(trained, error)
        else:
            yield trained, merged, num_parameters


def _leave_out(trained: TrainedWeights, error: ValueError) -> None:
    reason = str(error).removeprefix("adapter.path=")
    warn(f"{trained.name}: left out, {reason}")


def _variants(config: EvaluateConfig, inputs: Inputs) -> Iterator[Variant]:
    """References, the base, baselines and LoRAs, in the order of the table."""
    base, postprocess, prompt = inputs.base, inputs.postprocess, config.model.prompt
    sampler = Sampler(**asdict(config.sampler))
    shift_strength = config.finetune.residual_shift_strength
    latents = encode_pairs(
        inputs.pair_set, config.eval.split, Codec(base), config.paths.cache, photos=shift_strength > 0.0
    )
    num_photos = len(inputs.benchmark.photos)
    num_colors, target = postprocess.num_colors, _target(config, inputs)
    nearest = Pixelation(factor=base.cell, palette=num_colors, fit="kmeans", downsample="nearest")
    pyxelate = Pixelation(factor=base.cell, palette=num_colors)
    for name, draw in (
        ("photo", unchanged),
        ("nearest", PixelationDraw(nearest)),
        ("pyxelate", PixelationDraw(pyxelate)),
        ("target", target),
        ("target-vae", RoundTrip(Codec(base), target)),
    ):
        yield Variant(name, DirectStylizer(draw, cell=base.cell, postprocess=postprocess))

    stylizer = Stylizer(base, sampler=sampler, prompt=prompt, postprocess=postprocess)
    yield Variant("base", stylizer, losses=_losses(base, latents, shift_strength, num_photos))
    if sampler.guidance != 1.0:
        unguided = replace(sampler, guidance=1.0)
        yield Variant("base-g1", Stylizer(base, sampler=unguided, prompt=prompt, postprocess=postprocess))

    for trained in inputs.trained:
        if trained.file.name != BASELINE_FILE:
            continue
        training = training_of(trained)
        # A baseline is taken at its best weights; a LoRA at its last, which are what a user gets.
        trained = best_weights(trained)
        try:
            network = load_baseline(trained.file)
        except ValueError as error:
            _leave_out(trained, error)
            continue
        yield Variant(
            trained.name,
            DirectStylizer(NetworkDraw(network), cell=base.cell, postprocess=postprocess),
            weights=trained,
            training=training,
            num_parameters=sum(p.numel() for p in network.parameters()),
        )
    for trained, tuned, num_parameters in fine_tunes(inputs):
        yield Variant(
            trained.name,
            Stylizer(tuned, sampler=sampler, prompt=prompt, postprocess=postprocess),
            weights=trained,
            training=training_of(trained),
            num_parameters=num_parameters,
            losses=_losses(tuned, latents, shift_strength, num_photos),
        )


def _losses(
    base: BaseModel, latents: LatentSet, residual_shift_strength: float, num_photos: int
) -> dict[str, list[float]]:
    """Losses of the first photos: over the whole schedule, and along the residual shift if there is one."""
    # The cached text states are those of the base's own text encoder, which a LoRA may have changed.
    latents = replace(latents, text=Codec(base).encode_text(latents.captions))
    objective = DiffusionObjective(
        base.unet, base.noise_schedule, residual_shift_strength=residual_shift_strength
    )
    measure = partial(fixed_noise_loss, objective, latents, num_pictures=num_photos)
    losses = {"noise_loss": measure().tolist()}
    if residual_shift_strength:
        losses["residual_shift_loss"] = measure(residual_shift=True).tolist()
    return losses


def _settings(config: EvaluateConfig, inputs: Inputs, weights: dict[str, str]) -> dict[str, object]:
    inception = inputs.benchmark.inception
    return {
        "split": str(config.eval.split),
        "sampler": asdict(config.sampler),
        "postprocess": asdict(config.postprocess),
        "prompt": config.model.prompt,
        "pairs": inputs.pair_set.sha256,
        "num_photos": len(inputs.benchmark.photos),
        "gallery": len(inputs.benchmark.gallery),
        **({} if config.eval.damage is None else {"damage": config.eval.damage}),
        **({"weights": weights} if weights else {}),
        **({"inception_sha256": inception.sha256} if inception is not None else {}),
        "versions": versions(),
    }


def _worst_first(results: EvalResults) -> list[int]:
    """Photo indices, lowest likeness first: the mean over trained variants, or over all if there is none."""
    trained = [result for result in results.variants if result.adapter_sha256] or results.variants
    likeness = np.mean([result.per_photo["likeness_raw"] for result in trained], axis=0)
    return [int(index) for index in np.argsort(likeness, kind="stable")]
