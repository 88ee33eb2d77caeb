"""The supervised baseline: a U-Net (Ronneberger et al. 2015, arXiv:1505.04597) from photo to pixel art."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from pixelpersona.files import write_whole

BASELINE_FILE = "supervised_baseline.safetensors"


def _block(num_in: int, num_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(num_in, num_out, 3, padding=1),
        nn.GroupNorm(8, num_out),
        nn.SiLU(),
        nn.Conv2d(num_out, num_out, 3, padding=1),
        nn.GroupNorm(8, num_out),
        nn.SiLU(),
    )


class BaselineUNet(nn.Module):
    """Photo float [B, 3, H, W] in [-1, 1] → pixel art of the same shape and range.

    It works at cell resolution: pixel unshuffle folds the pixels of a cell into channels, so that one output
    vector describes a whole cell and flat cells are easy to draw. H and W are multiples of 4 * cell.

    widths: channels of the three levels, multiples of 8.
    """

    def __init__(self, *, cell: int, widths: tuple[int, int, int]) -> None:
        super().__init__()
        self.cell, self.widths = cell, widths
        folded = 3 * cell * cell
        top, middle, bottom = widths
        self.fold = nn.PixelUnshuffle(cell)
        self.unfold = nn.PixelShuffle(cell)
        self.down_top = _block(folded, top)
        self.down_middle = _block(top, middle)
        self.bottom = _block(middle, bottom)
        self.up_middle = _block(bottom + middle, middle)
        self.up_top = _block(middle + top, top)
        self.out = nn.Conv2d(top, folded, 1)
        self.shrink = nn.AvgPool2d(2)
        self.grow = nn.Upsample(scale_factor=2, mode="nearest")

    def forward(self, photo: Tensor) -> Tensor:
        top = self.down_top(self.fold(photo))
        middle = self.down_middle(self.shrink(top))
        bottom = self.bottom(self.shrink(middle))
        middle = self.up_middle(torch.cat([self.grow(bottom), middle], dim=1))
        top = self.up_top(torch.cat([self.grow(middle), top], dim=1))
        residual: Tensor = self.unfold(self.out(top))
        return photo + residual


def save_baseline(network: BaselineUNet, folder: Path) -> Path:
    """Write folder/supervised_baseline.safetensors, cell and widths in its metadata. Returns the file."""
    shape = {"cell": network.cell, "widths": list(network.widths)}
    file = folder / BASELINE_FILE
    weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    write_whole(file, save(weights, metadata={"shape": json.dumps(shape)}))
    return file


def load_baseline(path: Path) -> BaselineUNet:
    """Read what `save_baseline` wrote, from the file or its folder; frozen and in eval mode.

    Raises ValueError naming the file when it is missing or no supervised baseline, or when a weight is not
    finite.
    """
    file = path / BASELINE_FILE if path.is_dir() else path
    if not file.is_file():
        raise ValueError(f"{file}: no such supervised baseline; train one with method=supervised")
    try:
        with safe_open(file, framework="pt") as opened:
            shape = json.loads((opened.metadata() or {})["shape"])
        network = BaselineUNet(cell=shape["cell"], widths=tuple(shape["widths"]))
        weights = load_file(file)
        network.load_state_dict(weights)
    except (SafetensorError, OSError, KeyError, TypeError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{file}: not a supervised baseline ({reason})") from error
    broken = [name for name, weight in weights.items() if not torch.isfinite(weight.float()).all()]
    if broken:
        raise ValueError(
            f"{file}: {len(broken)} of {len(weights)} weights are not finite, for example {broken[0]}"
        )
    return network.requires_grad_(False).eval()
