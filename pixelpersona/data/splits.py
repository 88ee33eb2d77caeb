"""The three splits: train (weights), val (checkpoints, samples, tuning), test (the final comparison)."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pixelpersona.data.metadata import TEST, TRAIN, VAL
from pixelpersona.data.sources import PhotoSource


@dataclass(frozen=True, slots=True)
class SplitShares:
    """Shares of the train photos that become val or test photos where the data set defines no such split.

    Raises ValueError when one is negative or both together leave no photo to train on.
    """

    val: float
    test: float

    def __post_init__(self) -> None:
        if min(self.val, self.test) < 0 or not self.val + self.test < 1:
            raise ValueError(
                f"dataset.val_share={self.val:g}, dataset.test_share={self.test:g}: "
                "accepted 0 or more each, below 1 together"
            )


def defined_splits(source: PhotoSource) -> set[str]:
    """The splits that a data set defines."""
    return {split for photo_id in source.ids() if (split := source.split(photo_id)) is not None}


def decide_splits(
    given: Sequence[str | None],
    digests: Sequence[str],
    groups: Sequence[int],
    defined: Collection[str],
    shares: SplitShares,
) -> list[str]:
    """The split of each photo.

    given: the splits by the data set. digests: content hashes of the photos, hex.
    groups: a number for each photo; train photos with equal numbers (copies) stay in one split.
    defined: splits that the data set defines; nothing is taken from val or test photos, and nothing is added.
    A split that it does not define is taken from its train photos, photos without a split included, by the
    smallest content hash of a group, so that other photos keep their split when photos are added. With few
    photos every split with a share above 0 gets at least one: with three groups or more train, val and test;
    with two train and val.
    """
    splits = [split or TRAIN for split in given]
    members: dict[int, list[int]] = {}
    for index, split in enumerate(splits):
        if split == TRAIN:
            members.setdefault(groups[index], []).append(index)
    smallest = {group: min(digests[index] for index in indices) for group, indices in members.items()}
    ordered = sorted(members, key=smallest.__getitem__)  # test photos first, then val photos
    wanted = {TEST: shares.test, VAL: shares.val}
    taken = {name: share for name, share in wanted.items() if name not in defined and share > 0}
    start, limit = 0, 0.0
    for number, (name, share) in enumerate(taken.items(), start=1):
        limit += share
        below = sum(_fraction(smallest[group]) < limit for group in ordered[start:])
        room = len(ordered) - start - 1 - (len(taken) - number)  # one for train and for each later split
        end = start + (min(max(below, 1), room) if room > 0 else 0)
        for group in ordered[start:end]:
            for index in members[group]:
                splits[index] = name
        start = end
    return splits


def _fraction(digest: str) -> float:
    """A number in [0, 1), uniform over contents."""
    return float(int(digest[:13], 16) / 16**13)
