"""Schema of the group `model`: which Stable Diffusion model, and how it draws portraits."""

from dataclasses import dataclass, field

from pixelpersona.config.field_kinds import PATH, TEXT


@dataclass(kw_only=True, slots=True)
class ModelConfig:
    """A base model.

    name: tiny or sd15.
    path: null for the packaged base, else a hub id or a folder in diffusers' layout.
    image_size: side of its pictures, pixels.
    cell: pixels per latent cell and side.
    prompt: the style prompt, in training and in use.
    strength: default of sampler.strength when variants are compared.
    portrait_strength: default of sampler.strength in `stylize`.
    guidance: default of sampler.guidance; 1 is off.
    framing: how its portraits are cropped: portrait, tight or center.
    """

    name: str
    path: str | None = field(metadata=PATH)
    image_size: int
    cell: int
    prompt: str = field(metadata=TEXT)
    strength: float
    portrait_strength: float
    guidance: float
    framing: str
