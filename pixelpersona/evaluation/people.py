"""Results by group of people: gender, age and ethnicity, as the photos' captions state them."""

from collections.abc import Mapping, Sequence

from pixelpersona.data.attributes import Attributes, read_attributes
from pixelpersona.evaluation.intervals import Estimate, bootstrap_mean, proportion
from pixelpersona.evaluation.result import EvalResult, EvalResults, metric_of

MIN_PHOTOS = 8
"""Smaller groups are left out, because their intervals would be too wide."""

_AGE_BANDS = ("below 16 years", "16 to 39 years", "40 to 64 years", "65 years and above")
_FIRST_AGES = (16, 40, 65)  # of the second and later bands


def age_band(age: int) -> int:
    """0 below 16 years, 1 below 40, 2 below 65, else 3."""
    return sum(age >= first for first in _FIRST_AGES)


def groups_of_people(captions: Mapping[str, str], photo_ids: Sequence[str]) -> dict[str, list[int]]:
    """Name of a group → indices of its photos, for groups of at least MIN_PHOTOS.

    captions: photo id → caption. A photo is in one group of each kind that its caption mentions.
    """
    members: dict[str, list[int]] = {}
    for index, photo_id in enumerate(photo_ids):
        for name in _names(read_attributes(captions.get(photo_id))):
            members.setdefault(name, []).append(index)
    order = ["women", "men", *_AGE_BANDS]
    others = sorted(members.keys() - set(order))
    return {name: members[name] for name in [*order, *others] if len(members.get(name, [])) >= MIN_PHOTOS}


def estimate_of_group(
    results: EvalResults, result: EvalResult, metric: str, photos: Sequence[int]
) -> Estimate | None:
    """A variant's metric over some of its photos, with its 95 % interval; None for metrics of the whole set.

    Of several training seeds: the mean over them for each photo, and an interval over the photos alone.
    """
    runs = [results.variant(name) for name in result.members] or [result]
    if any(metric not in run.per_photo for run in runs):
        return None
    values = [sum(run.per_photo[metric][index] for run in runs) / len(runs) for index in photos]
    is_share = metric_of(metric).is_share and len(runs) == 1
    return proportion(values) if is_share else bootstrap_mean(values)


def _names(person: Attributes) -> list[str]:
    names = []
    if person.gender is not None:
        names.append({"female": "women", "male": "men"}[person.gender])
    if person.age is not None:
        names.append(_AGE_BANDS[age_band(person.age)])
    if person.ethnicity is not None:
        names.append(person.ethnicity)
    return names
