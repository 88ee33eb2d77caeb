"""Inception features, for KID and FID values that are comparable with published ones.

The network is torch-fidelity's, as torchmetrics wraps it; the user provides the file of its weights.
"""

import hashlib
import pickle
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchmetrics.image import fid

from pixelpersona.models.features import check_pictures

WEIGHTS = "weights-inception-2015-12-05-6726825d.pth"
_SOURCE = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{WEIGHTS}"
# Part of sha256. Change it with every change of this file that changes a feature's value.
_VERSION = "inception-features-1"
_UNREADABLE = (pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError, KeyError, AttributeError)


class InceptionFeatures:
    """The 2,048 pooled features of Inception v3 (Szegedy et al. 2016, arXiv:1512.00567) that FID is defined
    with (Heusel et al. 2017, arXiv:1706.08500), for `distribution.kid` and `distribution.fid`.

    The network was trained on natural photos, so the features are not used for likeness. Pictures of any size
    are resized to 299 pixels with antialiasing, as in torchmetrics. Computed in float32 and one picture at a
    time, so that a value does not depend on its batch. With few pictures, this FID is large and biased.

    weights: the file `weights-inception-2015-12-05-6726825d.pth`.
    Raises ValueError when the file is missing or holds something else, or torch-fidelity is not installed.
    """

    def __init__(self, weights: Path) -> None:
        if not weights.is_file():
            raise ValueError(f"eval.features_path={weights}: no such file; {WEIGHTS} is at {_SOURCE}")
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        self.sha256 = hashlib.sha256(f"{_VERSION}:{digest}".encode()).hexdigest()
        self._net = _load(weights)

    @torch.no_grad()
    def features(self, images: NDArray[np.uint8]) -> Tensor:
        """uint8 [B, H, W, 3] → float32 [B, 2048]. Raises ValueError for anything else."""
        check_pictures(images)
        pixels = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
        return torch.cat([self._net(picture[None]).float() for picture in pixels])


def _load(weights: Path) -> nn.Module:
    """The network, frozen and in eval mode.

    The file is first read as tensors only, because torch-fidelity would unpickle any object in it.
    """
    try:
        state: Mapping[str, Tensor] = torch.load(weights, map_location="cpu", weights_only=True)
        missing = {"Conv2d_1a_3x3.conv.weight", "Mixed_7c.branch_pool.conv.weight"} - state.keys()
    except _UNREADABLE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"eval.features_path={weights}: not a file of weights ({reason})") from error
    if missing:
        raise ValueError(f"eval.features_path={weights}: not Inception's weights; {WEIGHTS} is at {_SOURCE}")
    try:
        net: nn.Module = fid.NoTrainInceptionV3("inception-v3-compat", ["2048"], str(weights))
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision built for another torch
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"eval.features=inception needs torch-fidelity: pip install -e '.[inception]' ({reason})"
        ) from error
    return net.requires_grad_(False).eval()
