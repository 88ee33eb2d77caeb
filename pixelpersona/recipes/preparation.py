"""Photos → pairs of photo and pixel art → cached latents and text states."""

from dataclasses import asdict
from pathlib import Path

from pixelpersona.config.dataset import DatasetKind
from pixelpersona.config.evaluate import EvaluateConfig
from pixelpersona.config.prepare import PrepareConfig
from pixelpersona.config.train import TrainConfig
from pixelpersona.data.augment import Augmentation
from pixelpersona.data.duplicates import duplicate_groups
from pixelpersona.data.latents import encode_pairs
from pixelpersona.data.metadata import TRAIN, VAL
from pixelpersona.data.pairs import prepare_pairs
from pixelpersona.data.pairset import REJECTED, PairSet
from pixelpersona.data.recipe import PairRecipe, with_palette_colors
from pixelpersona.data.sources import PhotoSource, open_source
from pixelpersona.data.survey import left_out
from pixelpersona.data.verify import verify_cache
from pixelpersona.files import read_jsonl
from pixelpersona.models.codec import Codec
from pixelpersona.pixel.pixelation import Pixelation
from pixelpersona.recipes.model import load_model
from pixelpersona.terminal import say, warn


def prepare(config: PrepareConfig) -> None:
    """Make missing or damaged pairs, and with `encode` their latents and text states; print where they are.

    With `verify`, only check the cache. Raises ValueError when something in it is damaged.
    """
    if config.verify:
        _verify(config.paths.cache)
        return
    pair_set = make_pairs(config, thorough=True, report=True)
    _name_left_out(pair_set)
    _warn_of_copies(pair_set)
    if config.encode:
        codec = Codec(load_model(config.model))
        photos = config.finetune.residual_shift_strength > 0.0  # as `train` and `evaluate` need them
        for split in (split for split, size in pair_set.sizes().items() if size):
            encode_pairs(
                pair_set,
                split,
                codec,
                config.paths.cache,
                mirrored=config.dataset.mirror and split == TRAIN,
                photos=photos and split != VAL,  # the validation loss needs no photos
            )
    sizes = ", ".join(f"{size} {split}" for split, size in pair_set.sizes().items())
    say(f"pairs: {sizes}; in {pair_set.folder}")


def make_pairs(
    config: PrepareConfig | TrainConfig | EvaluateConfig, *, thorough: bool = False, report: bool = False
) -> PairSet:
    """The pair set of a configuration, prepared when it is missing.

    thorough: an existing set is checked byte by byte and repaired. report: name on stderr the files of the
    data set that are left out, and say when its captions are not used.
    """
    dataset = config.dataset
    source = open_source(dataset.kind, dataset.path)
    if report:
        for note in source.notes:
            warn(note)
        if dataset.kind is DatasetKind.folder:
            _report_captions(source, config.model.prompt)
    recipe = PairRecipe(
        size=config.model.image_size,
        framing=dataset.framing,
        pixelate=with_palette_colors(Pixelation(**asdict(config.pixelate))),
        augment=Augmentation(**asdict(config.augment)),
        variants=dataset.variants,
        caption=config.model.prompt,
    )
    return prepare_pairs(
        source,
        recipe,
        config.paths.cache,
        val_share=dataset.val_share,
        test_share=dataset.test_share,
        limit=dataset.limit,
        max_enlargement=dataset.max_enlargement,
        num_workers=dataset.num_workers,
        thorough=thorough,
    )


def training_pairs(config: TrainConfig, *, is_main: bool) -> PairSet:
    """The pair set of a training run. is_main: whether this process reports the photos that were left out.

    Raises ValueError saying what is missing when there is nothing to train or to validate on.
    """
    pair_set, dataset = make_pairs(config, report=is_main), config.dataset
    if is_main:
        _name_left_out(pair_set)
    sizes = pair_set.sizes()
    if not sizes[TRAIN] or not sizes[VAL]:
        found = ", ".join(f"{size} {split}" for split, size in sizes.items())
        raise ValueError(
            f"{dataset.path or dataset.kind}: {found} photos; training needs both train and val, at least "
            "2 photos that are not copies of each other, and dataset.val_share above 0 "
            f"(now {dataset.val_share:g})"
        )
    return pair_set


def _name_left_out(pair_set: PairSet) -> None:
    """One line on stderr about the photos that the pair set left out, if there are any."""
    if pair_set.num_rejected:
        file = pair_set.folder / REJECTED
        rejected = {str(row["id"]): str(row["reason"]) for row in read_jsonl(file)}
        warn(left_out(rejected, pair_set.num_photos, file))


def _warn_of_copies(pair_set: PairSet) -> None:
    """One line on stderr when splits that the data set defines share photos or near-duplicates."""
    pairs = pair_set.plain_pairs()
    digests, prints = [p.source_sha256 for p in pairs], [p.source_fingerprint for p in pairs]
    groups: dict[int, dict[str, str]] = {}
    for pair, group in zip(pairs, duplicate_groups(digests, prints), strict=True):
        groups.setdefault(group, {}).setdefault(pair.split, pair.photo_id)
    across = [photos for photos in groups.values() if len(photos) > 1]
    if across:
        example = " and ".join(f"{photo_id} ({split})" for split, photo_id in across[0].items())
        warn(
            f"near-duplicates in several splits: {len(across)}, such as {example}; "
            "evaluate leaves out runs that were trained on a photo it compares on"
        )


def _report_captions(source: PhotoSource, prompt: str) -> None:
    """One line when the data set has captions, which the fine-tune does not learn from."""
    num_captions = sum(source.caption(photo_id) is not None for photo_id in source.ids())
    if num_captions:
        warn(
            f"{source.name}: the captions of {num_captions} photos are not used; "
            f"all pairs are trained with model.prompt={prompt!r}"
        )


def _verify(cache: Path) -> None:
    """One line on stderr for each damaged entry, then ValueError; one line on stdout when nothing is."""
    verdict = verify_cache(cache)
    for line in verdict.damaged:
        warn(line)
    if verdict.damaged:
        raise ValueError(
            f"{cache}: {len(verdict.damaged)} damaged of {verdict.summary()}; "
            "run prepare again on the same data to repair it"
        )
    say(f"{cache}: {verdict.summary()}: nothing is damaged")
