"""What an evaluation may compare: weights of its base that were not trained on its photos."""

from collections.abc import Sequence
from pathlib import Path

from pixelpersona.data.duplicates import duplicate_groups
from pixelpersona.data.pairset import Pair
from pixelpersona.data.training_photos import read_training_photos, trained_on
from pixelpersona.models.adapter import lora_file, read_fitting_lora
from pixelpersona.models.base import BaseModel
from pixelpersona.reporting.table import RESERVED_VARIANTS
from pixelpersona.runs.discovery import TrainedWeights, base_of, name_weights
from pixelpersona.terminal import warn


def comparable_runs(
    found: Sequence[TrainedWeights], base_sha256: str, pairs: Sequence[Pair]
) -> list[TrainedWeights]:
    """The runs on this base whose training photos contain none of the pairs' photos, nor a near-duplicate.

    The others are named on stderr, and so are runs without a record of their training photos, which are kept.
    Raises ValueError when no run is left because all were trained on such photos, or a record cannot be read.
    """
    kept: list[TrainedWeights] = []
    unknown: list[str] = []
    contaminated: list[str] = []
    for trained in found:
        sha256 = base_of(trained)
        if sha256 is not None and sha256 != base_sha256:  # a folder may hold runs of several bases
            warn(
                f"{trained.name}: left out, trained on another base ({sha256[:12]}) "
                f"than the one compared ({base_sha256[:12]})"
            )
            continue
        photos = read_training_photos(trained.file.parent)
        if photos is None:
            unknown.append(trained.name)
        elif copies := trained_on(pairs, photos):
            photo, copy = next(iter(copies.items()))
            line = (
                f"trained on {len(copies)} of the {len(pairs)} photos compared or on near-duplicates of them"
            )
            contaminated.append(f"{trained.name}: left out, {line}, such as {photo} ({copy} in its training)")
            warn(contaminated[-1])
            continue
        kept.append(trained)
    if unknown:
        warn(f"{', '.join(unknown)}: training photos unknown, may include those compared")
    if contaminated and not kept:
        raise ValueError(f"no run is left to compare; {contaminated[0]}")
    return kept


def warn_of_copies(pairs: Sequence[Pair]) -> None:
    """Warn on stderr when some of the photos compared are near-duplicates, which add no information."""
    groups = duplicate_groups([p.source_sha256 for p in pairs], [p.source_fingerprint for p in pairs])
    first: dict[int, str] = {}
    copies = {
        pair.photo_id: first[group]
        for pair, group in zip(pairs, groups, strict=True)
        if first.setdefault(group, pair.photo_id) != pair.photo_id
    }
    if copies:
        photo, other = next(iter(copies.items()))
        warn(
            f"{len(copies)} of the {len(pairs)} photos compared are near-duplicates of others, such as "
            f"{photo} of {other}: intervals are too narrow"
        )


def other_adapters(
    paths: Sequence[Path], found: Sequence[TrainedWeights], base: BaseModel
) -> list[TrainedWeights]:
    """The LoRAs of adapter.paths, read and checked before anything is drawn.

    found: the runs to compare. Raises ValueError naming adapter.paths and the file that is missing, cannot be
    read, does not fit the base, is among the runs, or occurs twice.
    """
    known = {trained.file.resolve(): trained.name for trained in found}
    try:
        files = [lora_file(path) for path in paths]
        for file in files:
            if file.resolve() in known:
                raise ValueError(f"{file}: already compared, as the run {known[file.resolve()]}")
            read_fitting_lora(base, file)
        return name_weights(files, taken=[*RESERVED_VARIANTS, *known.values()])
    except ValueError as error:
        raise ValueError(f"adapter.paths: {str(error).removeprefix('adapter.path=')}") from None
