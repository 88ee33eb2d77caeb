"""The landmark network: eyes, nose tip and corners of the mouth in a head-and-shoulders crop.

A small fully convolutional network that predicts one heatmap per landmark. It is exported with folded batch
norm (Ioffe & Szegedy 2015, arXiv:1502.03167), so that a few lines of NumPy can run it.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pixelpersona.files import whole

LANDMARKS = ("left eye", "right eye", "nose tip", "left mouth corner", "right mouth corner")
"""The channels of the heatmaps. Left and right as seen in the picture."""

INPUT_SIZE, HEATMAP_SIZE = 64, 32
WEIGHTS_FILE = "landmarks.npz"
LAYERS = ("stem", "down1", "mid1", "down2", "mid2", "wide2", "wide4", "merge", "heads")
_STD_OFFSET = 0.05  # keeps the noise of flat pictures small


class LandmarkNet(nn.Module):
    """float [B, 3, 64, 64] in [0, 1], RGB → heatmaps (logits), float [B, 5, 32, 32]; 0.17 M parameters.

    Every layer is a 3x3 convolution; all but the last are followed by batch norm and ReLU.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = _layer(3, 16)
        self.down1 = _layer(16, 32, stride=2)
        self.mid1 = _layer(32, 32)
        self.down2 = _layer(32, 64, stride=2)
        self.mid2 = _layer(64, 64)
        self.wide2 = _layer(64, 64, dilation=2)
        self.wide4 = _layer(64, 64, dilation=4)
        self.merge = _layer(32 + 64, 32)
        self.heads = nn.Conv2d(32, len(LANDMARKS), 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        fine = self.mid1(self.down1(self.stem(standardised(images))))
        coarse = self.wide4(self.wide2(self.mid2(self.down2(fine))))
        coarse = F.interpolate(coarse, scale_factor=2.0, mode="nearest")
        heatmaps: Tensor = self.heads(self.merge(torch.cat([fine, coarse], dim=1)))
        return heatmaps


def standardised(images: Tensor) -> Tensor:
    """Each picture of a batch minus its mean, divided by its standard deviation plus 0.05.

    Mean and population standard deviation (correction 0) are taken over all pixels and channels.
    """
    std, mean = torch.std_mean(images, dim=(1, 2, 3), correction=0, keepdim=True)
    return (images - mean) / (std + _STD_OFFSET)


def soft_argmax(heatmaps: Tensor) -> Tensor:
    """Expected position under the softmax of each heatmap: float [B, K, h, w] → [B, K, 2].

    x and y as fractions of the picture, 0 at the left or top border, 1 at the other; cell i of n is at
    (i + 0.5) / n. Also called integral regression (Sun et al. 2018, arXiv:1711.08229).
    """
    height, width = heatmaps.shape[2:]
    shares = heatmaps.flatten(2).softmax(dim=2).reshape(heatmaps.shape)
    x = shares.sum(dim=2) @ cell_centres(width, heatmaps)
    y = shares.sum(dim=3) @ cell_centres(height, heatmaps)
    return torch.stack([x, y], dim=2)


def cell_centres(num: int, like: Tensor) -> Tensor:
    """Centres of `num` cells as fractions of the side, [num], with dtype and device of `like`."""
    return (torch.arange(num, dtype=like.dtype, device=like.device) + 0.5) / num


def save_landmark_net(net: LandmarkNet, file: Path) -> None:
    """Write `folded` weights to a .npz file, atomically. Raises ValueError as `folded` does."""
    arrays = folded(net)
    with whole(file) as draft, draft.open("wb") as opened:
        np.savez(opened, allow_pickle=False, **arrays)


def folded(net: LandmarkNet) -> dict[str, NDArray[np.float16]]:
    """Weights with batch norm, as it is in evaluation, folded into the convolutions.

    "stem.weight" [16, 3, 3, 3], "stem.bias" [16] and so on, float16, for every layer of LAYERS.
    net: in evaluation mode. Raises ValueError naming the array when a value is not finite in float16.
    """
    arrays: dict[str, NDArray[np.float16]] = {}
    for name in LAYERS:
        weight, bias = _folded_layer(getattr(net, name))
        for key, value in ((f"{name}.weight", weight), (f"{name}.bias", bias)):
            arrays[key] = value.detach().cpu().half().contiguous().numpy()
            if not np.isfinite(arrays[key]).all():
                raise ValueError(f"{key} of the landmark network: some values are not finite in float16")
    return arrays


def _folded_layer(layer: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight and bias of one convolution that computes what the whole layer does before its ReLU."""
    if isinstance(layer, nn.Sequential):
        conv, norm = layer[0], layer[1]
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        layer = fuse_conv_bn_eval(conv, norm)
    assert isinstance(layer, nn.Conv2d)
    assert layer.bias is not None
    return layer.weight, layer.bias


def _layer(num_in: int, num_out: int, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(num_in, num_out, 3, stride, padding=dilation, dilation=dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(num_out), nn.ReLU())
