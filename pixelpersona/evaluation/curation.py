"""Which of many drawn portraits are kept: well formed, in given proportions, and no copies of photos."""

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.preprocessing import scale
from torch import Tensor

from pixelpersona.models.features import similarities

_ROWS = 1024  # pictures compared at once: 16,000 photos are 64 MB of cosines
_STRANGE_PERCENTILE = 95.0  # of the photos' own distances to their mean: beyond is no skin, but a pattern
_SHRINKAGE = 1e-3  # of the covariance towards a sphere: it can be inverted whatever the features are


def strangeness(real: Tensor, drawn: Tensor) -> NDArray[np.float64]:
    """How far each drawn picture is from the mean of real ones, in units of the real ones' own distances.

    real, drawn: features [N, D] and [M, D] → float64 [M]. Per feature in deviations of the real ones.
    """
    deviation, mean = real.double().std(dim=0).clamp(min=1e-6), real.double().mean(dim=0)
    far, usual = (((f.double() - mean) / deviation).square().mean(dim=1).sqrt() for f in (drawn, real))
    found: NDArray[np.float64] = ((far - usual.mean()) / usual.std()).numpy()
    return found


def form(
    real: tuple[Tensor, Tensor], drawn: tuple[Tensor, Tensor], support: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """How well formed each drawn face is, float64 [M], and which are better than malformed, bool [M].

    real, drawn: surface and likeness features of photos and pictures, [N, D] and [M, D] each. support: how
    many windows of the face search agree on each picture. The sum of three standard scores: `photo_side` in
    likeness features, log(1 + support), and minus the surface's excess `strangeness`. Malformed are those
    below the mean, and those with a surface stranger than 95 % of the photos have.
    """
    strange = strangeness(real[0], drawn[0])
    scores = (photo_side(real[1], drawn[1]), np.log1p(support), -np.clip(strange, 0.0, None))
    found: NDArray[np.float64] = np.sum([scale(np.asarray(score, np.float64)) for score in scores], axis=0)
    strangest = np.percentile(strangeness(real[0], real[0]), _STRANGE_PERCENTILE)
    return found, (strange <= strangest) & (found >= 0.0)


def photo_side(real: Tensor, drawn: Tensor) -> NDArray[np.float64]:
    """How far each drawn picture lies on the real ones' side of what tells the two sets apart best.

    Fisher's linear discriminant (1936), both sets weighing the same. real, drawn: features [N, D] and [M, D]
    → float64 [M], above 0 where a picture is nearer to the photos.
    """
    both = torch.cat([drawn, real]).double().numpy()
    is_photo = np.repeat([0, 1], [len(drawn), len(real)])
    fisher = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=_SHRINKAGE, priors=[0.5, 0.5])
    found: NDArray[np.float64] = fisher.fit(both, is_photo).decision_function(both[: len(drawn)])
    return found


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
    groups: Sequence[Hashable],
    order: Sequence[int],
    num: int,
    wanted: Sequence[Hashable],
    poor: Sequence[int] = (),
) -> list[int]:
    """Indices of `num` of the candidates, of every group as many as its share of `wanted` asks for.

    groups: of every candidate. order: candidates that may be taken, best first. wanted: the groups of a
    population; shares are rounded by largest remainders. A group with too few gives its places to the best
    of all that are left. poor: candidates that get only what `order` cannot fill, best first. Ascending;
    fewer than `num` when both together are.
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
