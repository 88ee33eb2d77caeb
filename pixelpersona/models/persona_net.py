"""The feature network: identity embedding, age, gender and ethnicity; small enough to be packaged.

Plain 3x3 convolutions: on a CPU with bf16 matrix units they train three times as fast as inverted residuals
of the same size. GroupNorm (Wu & He 2018, arXiv:1803.08494), so that no value depends on the batch. The last
map is pooled by a global depthwise convolution (Chen et al. 2018, arXiv:1804.07573) instead of a mean: in
centred faces, eyes and mouth have fixed positions.
"""

import hashlib
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from pixelpersona.files import write_whole

IMAGE_SIZE = 128
NUM_EMBEDDING = 128
GENDERS = ("female", "male")
ETHNICITIES = ("white", "black", "asian", "indian")
WEIGHTS_FILE = "persona.safetensors"
_WIDTHS = (24, 32, 64, 80)
_NUM_TOP = 192
_NUM_GROUPS = 8
# Mean and standard deviation over UTKFace, years: the head starts at the mean age, and its loss near 1.
_AGE_MEAN, AGE_DEVIATION = 33.0, 20.0


class Persona(NamedTuple):
    """Outputs of the network.

    embedding: float [B, 128] of length 1, for cosine similarities. age: float [B], years.
    gender, ethnicity: logits float [B, 2] and [B, 4], in the order of GENDERS and ETHNICITIES.
    """

    embedding: Tensor
    age: Tensor
    gender: Tensor
    ethnicity: Tensor


class PersonaNet(nn.Module):
    """float [B, 3, 128, 128] in [-1, 1] → `Persona`; 0.3 M parameters, 70 M multiplications per picture."""

    def __init__(self) -> None:
        super().__init__()
        first, second, third, fourth = _WIDTHS
        self.early = nn.ModuleList([_layer(3, first, stride=2), _layer(first, second, stride=2)])
        self.late = nn.Sequential(
            _Residual(second),
            _layer(second, third, stride=2),
            _Residual(third),
            _layer(third, fourth, stride=2),
            _Residual(fourth),
            nn.Conv2d(fourth, _NUM_TOP, 1, bias=False),
            nn.GroupNorm(_NUM_GROUPS, _NUM_TOP),
            nn.SiLU(),
        )
        side = IMAGE_SIZE // 16
        self.places = nn.Conv2d(_NUM_TOP, _NUM_TOP, side, groups=_NUM_TOP)
        self.embedding = nn.Linear(_NUM_TOP, NUM_EMBEDDING)
        self.attributes = nn.Linear(_NUM_TOP, 1 + len(GENDERS) + len(ETHNICITIES))

    def early_maps(self, images: Tensor) -> list[Tensor]:
        """Activations of the first two layers: float [B, 24, 64, 64] and [B, 32, 32, 32]."""
        first = self.early[0](images)
        return [first, self.early[1](first)]

    def persona(self, early: Tensor) -> Persona:
        """The last of `early_maps` → the network's outputs."""
        top = self.places(self.late(early)).flatten(1)
        widths = [1, len(GENDERS), len(ETHNICITIES)]
        age, gender, ethnicity = self.attributes(top).float().split(widths, dim=1)
        return Persona(
            embedding=F.normalize(self.embedding(top).float(), dim=1),
            age=_AGE_MEAN + AGE_DEVIATION * age[:, 0],
            gender=gender,
            ethnicity=ethnicity,
        )

    def forward(self, images: Tensor) -> Persona:
        return self.persona(self.early_maps(images)[-1])


class _Residual(nn.Module):
    """Residual block of two 3x3 convolutions (He et al. 2016, arXiv:1512.03385)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _layer(width, width)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(_NUM_GROUPS, width)

    def forward(self, hidden: Tensor) -> Tensor:
        return F.silu(hidden + self.norm(self.second(self.first(hidden))))


def _layer(num_in: int, num_out: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(num_in, num_out, 3, stride=stride, padding=1, bias=False),
        nn.GroupNorm(_NUM_GROUPS, num_out),
        nn.SiLU(),
    )


def save_persona_net(net: PersonaNet, folder: Path) -> Path:
    """Write folder/persona.safetensors in fp16, atomically. Returns the file."""
    file = folder / WEIGHTS_FILE
    weights = {name: value.detach().half().contiguous() for name, value in net.state_dict().items()}
    write_whole(file, save(weights))
    return file


def load_persona_net(folder: Path) -> tuple[PersonaNet, str]:
    """Load folder/persona.safetensors: the network in float32 on the CPU, frozen, and the file's sha256.

    Raises ValueError naming the file when it is missing, holds another network or a value that is not finite.
    """
    file = folder / WEIGHTS_FILE
    if not file.is_file():
        raise ValueError(f"{file}: no feature network there; train one with pretrain stage=features")
    net = PersonaNet()
    try:
        net.load_state_dict({name: value.float() for name, value in load_file(file).items()})
    except (RuntimeError, OSError, SafetensorError) as error:
        raise ValueError(f"{file}: not this feature network ({str(error).splitlines()[0]})") from error
    if not all(torch.isfinite(weight).all() for weight in net.state_dict().values()):
        raise ValueError(f"{file}: some of its weights are not finite")
    return net.requires_grad_(False).eval(), hashlib.sha256(file.read_bytes()).hexdigest()
