"""The trained baseline: a supervised U-Net (Ronneberger 2015, arXiv:1505.04597) from photo to pixel art."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

TRANSLATOR_FILE = "translator.safetensors"


def _block(num_in: int, num_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(num_in, num_out, 3, padding=1),
        nn.GroupNorm(8, num_out),
        nn.SiLU(),
        nn.Conv2d(num_out, num_out, 3, padding=1),
        nn.GroupNorm(8, num_out),
        nn.SiLU(),
    )


class Translator(nn.Module):
    """Photo float [B, 3, H, W] in [-1, 1] → pixel art of the same shape and range.

    It works at cell resolution: pixels are folded into channels (pixel unshuffle by `cell`), so it can
    draw a flat cell by saying one thing to all its pixels. H and W are multiples of 4 * cell.

    widths: channels of its levels, multiples of 8.
    """

    def __init__(self, *, cell: int, widths: tuple[int, int, int] = (64, 96, 128)) -> None:
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


def save_translator(translator: Translator, folder: Path) -> Path:
    """Write folder/translator.safetensors; its shape travels in the metadata."""
    folder.mkdir(parents=True, exist_ok=True)
    shape = {"cell": translator.cell, "widths": list(translator.widths)}
    file = folder / TRANSLATOR_FILE
    weights = {name: tensor.contiguous() for name, tensor in translator.state_dict().items()}
    save_file(weights, file, metadata={"shape": json.dumps(shape)})
    file.chmod(0o644)
    return file


def load_translator(folder: Path) -> Translator:
    """Read what save_translator wrote. Raises ValueError naming the file when missing or not a translator."""
    from safetensors import SafetensorError, safe_open

    file = folder / TRANSLATOR_FILE if folder.is_dir() else folder
    if not file.is_file():
        raise ValueError(f"{file}: no such translator; train one with method=translator")
    try:
        with safe_open(file, framework="pt") as opened:
            shape = json.loads((opened.metadata() or {})["shape"])
        translator = Translator(cell=shape["cell"], widths=tuple(shape["widths"]))
        translator.load_state_dict(load_file(file))
    except (SafetensorError, KeyError, RuntimeError, json.JSONDecodeError) as error:
        raise ValueError(f"{file}: not a translator ({error})") from error
    return translator.requires_grad_(False).eval()
