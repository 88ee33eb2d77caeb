"""The data set of a run, recorded as an artifact at its tracker."""

from pixelpersona.data.pairset import MANIFEST, METADATA, PairSet
from pixelpersona.tracking.tracker import Tracker


def log_dataset(tracker: Tracker, pair_set: PairSet) -> None:
    """Record captions and digests of the pairs; no pictures, because photos may be private."""
    metadata = {
        "key": pair_set.key,
        "sha256": pair_set.sha256,
        "num_pairs": len(pair_set),
        "num_train_pairs": len(pair_set.pairs("train")),
        "num_rejected": pair_set.num_rejected,
        "recipe": dict(pair_set.recipe),
    }
    files = [pair_set.folder / MANIFEST, pair_set.folder / METADATA]
    tracker.artifact(pair_set.folder.name, "dataset", files, metadata)
