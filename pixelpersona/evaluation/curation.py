"""Which of many drawn portraits are kept: well formed, in given proportions, and no copies of photos."""

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pixelpersona.models.features import similarities

_ROWS = 1024  # pictures compared at once: 16,000 photos are 64 MB of cosines
_SHRINKAGE = 1e-3  # of the covariance towards a sphere: it can be inverted whatever the features are


def strangeness(real: Tensor, drawn: Tensor) -> NDArray[np.float64]:
    """How far each drawn picture is from the mean of real ones, in units of the real ones' own distances.

    real, drawn: features [N, D] and [M, D] → float64 [M]. Per feature in deviations of the real ones.
    """
    deviation, mean = real.double().std(dim=0).clamp(min=1e-6), real.double().mean(dim=0)
    far, usual = (((f.double() - mean) / deviation).square().mean(dim=1).sqrt() for f in (drawn, real))
    found: NDArray[np.float64] = ((far - usual.mean()) / usual.std()).numpy()
    return found


def photo_side(real: Tensor, drawn: Tensor) -> NDArray[np.float64]:
    """How far each drawn picture lies on the real ones' side of what tells the two sets apart best.

    Fisher's linear discriminant (1936), both sets weighing the same. real, drawn: features [N, D] and [M, D]
    → float64 [M], of any scale and offset: for ranking.
    """
    photos, pictures = real.double().numpy(), drawn.double().numpy()
    covariances = [np.cov(features, rowvar=False, bias=True) for features in (photos, pictures)]
    within = np.mean(covariances, axis=0)
    sphere = np.trace(within) / len(within) * np.eye(len(within))
    within = (1 - _SHRINKAGE) * within + _SHRINKAGE * sphere
    apart = photos.mean(axis=0) - pictures.mean(axis=0)
    found: NDArray[np.float64] = pictures @ np.linalg.solve(within, apart)
    return found


def standard_scores(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values [N] as deviations from their mean; zeros when all are the same."""
    deviation = float(values.std())
    return (values - values.mean()) / deviation if deviation > 0 else np.zeros_like(values)


def nearest_similarity(pictures: Tensor, photos: Tensor, *, same: bool = False) -> NDArray[np.float64]:
    """The highest cosine of each picture with any photo, after centring on the photos' mean, float64 [M].

    pictures, photos: likeness features [M, D] and [N, D]. same: they are the same pictures in the same order,
    and none counts as its own neighbour. Raises ValueError when `same` and the numbers differ.
    """
    if same and len(pictures) != len(photos):
        raise ValueError(f"same: {len(pictures)} pictures are not the {len(photos)} photos")
    found = np.empty(len(pictures))
    for start in range(0, len(pictures), _ROWS):
        cosines = similarities(photos, pictures[start : start + _ROWS])
        if same:
            cosines.diagonal(start).fill_(-2.0)
        found[start : start + len(cosines)] = cosines.max(dim=1).values.numpy()
    return found


def proportional_choice(
    groups: Sequence[Hashable], order: Sequence[int], num: int, wanted: Sequence[Hashable]
) -> list[int]:
    """Indices of `num` of the candidates, of every group as many as its share of `wanted` asks for.

    groups: of every candidate. order: candidates that may be taken, best first. wanted: the groups of a
    population; shares are rounded by largest remainders. A group with too few gives its places to the best
    of all that are left. Ascending; fewer than `num` when `order` is shorter.
    """
    counts = Counter(wanted)
    exact = {group: num * count / len(wanted) for group, count in counts.items()}
    places = {group: int(share) for group, share in exact.items()}
    by_remainder = sorted(exact, key=lambda group: (places[group] - exact[group], str(group)))
    for group in by_remainder[: num - sum(places.values())]:
        places[group] += 1
    taken, left = [], []
    for index in order:
        if places.get(groups[index], 0) > 0:
            places[groups[index]] -= 1
            taken.append(index)
        else:
            left.append(index)
    return sorted([*taken, *left][:num])
