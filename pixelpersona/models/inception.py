"""Inception's features, for a KID and an FID beside our own: those that others publish are measured in them.

The network is torch-fidelity's, as torchmetrics wraps it; its weights are a file that a user brings.
"""

import hashlib
import pickle
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Mapping

WEIGHTS = "weights-inception-2015-12-05-6726825d.pth"
_SOURCE = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{WEIGHTS}"
# Covered by the hash: a change of this file that changes a value must change it.
_VERSION = "inception-features-1"
_UNREADABLE = (pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError, KeyError, AttributeError)


class InceptionFeatures:
    """The 2,048 pooled features of Inception v3 (Szegedy et al. 2016, arXiv:1512.00567) in the form that FID
    is defined with (Heusel et al. 2017, arXiv:1706.08500), for `distribution.kid` and `fid`.

    They know natural photos and no style or person: likeness is not measured in them. Pictures of any size
    are resized to 299 pixels with antialiasing, as torchmetrics does. Always float32 and one picture at a
    time: a value does not depend on the batch it came with. Few pictures make this FID large and biased.

    weights: the file `weights-inception-2015-12-05-6726825d.pth`.
    Raises ValueError when the file is missing or holds something else, or torch-fidelity is not installed.
    """

    num_features = 2048

    def __init__(self, weights: Path) -> None:
        if not weights.is_file():
            raise ValueError(f"eval.features_path={weights}: no such file; {WEIGHTS} is at {_SOURCE}")
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        self.sha256 = hashlib.sha256(f"{_VERSION}:{digest}".encode()).hexdigest()
        self._net = _load(weights)

    @torch.no_grad()
    def features(self, images: NDArray[np.uint8]) -> Tensor:
        """uint8 [B, H, W, 3] → float32 [B, 2048]. Raises ValueError for anything else."""
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3 or len(images) == 0:
            told = f"{images.dtype} {images.shape}"
            raise ValueError(f"features: {told}; accepted uint8 [B, H, W, 3], B 1 or more")
        pixels = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
        return torch.cat([self._net(picture[None]).float() for picture in pixels])


def _load(weights: Path) -> nn.Module:
    """The network in eval mode. First the file is read as tensors only: torch-fidelity unpickles anything."""
    try:
        state: Mapping[str, Tensor] = torch.load(weights, map_location="cpu", weights_only=True)
        missing = {"Conv2d_1a_3x3.conv.weight", "Mixed_7c.branch_pool.conv.weight"} - state.keys()
    except _UNREADABLE as error:
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"eval.features_path={weights}: not a file of weights ({told})") from error
    if missing:
        raise ValueError(f"eval.features_path={weights}: not Inception's weights; {WEIGHTS} is at {_SOURCE}")
    try:
        from torchmetrics.image.fid import NoTrainInceptionV3

        net: nn.Module = NoTrainInceptionV3("inception-v3-compat", ["2048"], str(weights))
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision built for another torch
        told = str(error).splitlines()[0]
        raise ValueError(
            f"eval.features=inception needs torch-fidelity: pip install -e '.[inception]' ({told})"
        ) from error
    return net.requires_grad_(False).eval()
