"""Selects drawn portraits: well formed, in given proportions, and not copies of photos."""

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.preprocessing import scale
from torch import Tensor

from pixelpersona.models.features import similarities

_ROWS = 1024  # pictures compared at once; with 16,000 photos, 64 MB of cosines
_STRANGE_PERCENTILE = 95.0  # of the photos; surfaces that are stranger are patterns, not skin
_SHRINKAGE = 1e-3  # of the covariance towards a multiple of the identity, which makes it invertible


def strangeness(real: Tensor, drawn: Tensor) -> NDArray[np.float64]:
    """Standard score of each drawn picture's distance to the mean of the real ones, float64 [M].

    real, drawn: features [N, D] and [M, D]. Distances are RMS over features standardised by the real
    pictures; mean and deviation of the score are those of the real pictures' own distances.
    """
    deviation, mean = real.double().std(dim=0).clamp(min=1e-6), real.double().mean(dim=0)
    far, usual = (((f.double() - mean) / deviation).square().mean(dim=1).sqrt() for f in (drawn, real))
    found: NDArray[np.float64] = ((far - usual.mean()) / usual.std()).numpy()
    return found


def form(
    real: tuple[Tensor, Tensor], drawn: tuple[Tensor, Tensor], support: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Score of how well formed each drawn face is, float64 [M], and which faces are acceptable, bool [M].

    real, drawn: surface and likeness features of photos and pictures, [N, D] and [M, D] each. support:
    number of windows of the face detector that agree, per picture. The score is the sum of three standard
    scores: `photo_side` of the likeness features, log(1 + support), and minus the positive part of the
    surface's `strangeness`. Acceptable faces score at least the mean and have a surface no stranger than the
    95th percentile of the photos.
    """
    strange = strangeness(real[0], drawn[0])
    scores = (photo_side(real[1], drawn[1]), np.log1p(support), -np.clip(strange, 0.0, None))
    found: NDArray[np.float64] = np.sum([scale(np.asarray(score, np.float64)) for score in scores], axis=0)
    strangest = np.percentile(strangeness(real[0], real[0]), _STRANGE_PERCENTILE)
    return found, (strange <= strangest) & (found >= 0.0)


def photo_side(real: Tensor, drawn: Tensor) -> NDArray[np.float64]:
    """Fisher's linear discriminant (1936) of each drawn picture, float64 [M]; above 0 on the photos' side.

    real, drawn: features [N, D] and [M, D]; both sets have the same prior.
    """
    both = torch.cat([drawn, real]).double().numpy()
    is_photo = np.repeat([0, 1], [len(drawn), len(real)])
    fisher = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=_SHRINKAGE, priors=[0.5, 0.5])
    found: NDArray[np.float64] = fisher.fit(both, is_photo).decision_function(both[: len(drawn)])
    return found


def nearest_similarity(pictures: Tensor, photos: Tensor, *, same: bool = False) -> NDArray[np.float64]:
    """Highest cosine of each picture with any photo, after centring on the photos' mean, float64 [M].

    pictures, photos: likeness features [M, D] and [N, D]. same: both are the same pictures in the same order,
    and a picture is not its own neighbour. Raises ValueError when `same` and the numbers differ.
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
    groups: Sequence[Hashable],
    order: Sequence[int],
    num: int,
    wanted: Sequence[Hashable],
    poor: Sequence[int] = (),
) -> list[int]:
    """Choose `num` candidates whose groups have the proportions of `wanted`; ascending indices.

    groups: group of every candidate. order: indices of the eligible candidates, best first. wanted: groups of
    the members of a population; fractional places are rounded by the largest-remainder method. Places that a
    group cannot fill go to the best remaining candidates, then to those of `poor`, best first. Returns fewer
    than `num` when both together are fewer.
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
    return sorted([*taken, *left, *poor][:num])
