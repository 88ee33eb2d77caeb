"""Schema of the group `model`: which Stable Diffusion, and how portraits are drawn with it."""

from dataclasses import dataclass, field


@dataclass(kw_only=True, slots=True)
class ModelConfig:
    """A base model.

    name: tiny or sd15.
    path: null for the packaged base, else a hub id or a folder in diffusers' layout.
    image_size: side of its pictures, pixels.
    cell: pixels per latent cell and side.
    prompt: the words that stand for the style, in training and in use.
    strength: default of sampler.strength when variants are compared.
    portrait_strength: default of sampler.strength in `stylize`.
    guidance: default of sampler.guidance; 1 is off.
    framing: how its portraits are cropped: tight, wide or center.
    """

    name: str
    path: str | None = field(metadata={"path": True})
    image_size: int
    cell: int
    prompt: str = field(metadata={"text": True})
    strength: float
    portrait_strength: float
    guidance: float
    framing: str
