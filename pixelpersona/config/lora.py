"""Schema of the group `lora`: which adapter to train."""

from dataclasses import dataclass


@dataclass(kw_only=True, slots=True)
class LoraConfig:
    """A LoRA on the UNet, and on the text encoder if asked for.

    rank: 1 or more.
    alpha: the update is scaled by alpha / rank; the rank unless given.
    dropout: dropout in front of the adapter's layers, 0 to below 1.
    targets: suffixes of the names of the modules that get a LoRA.
    text_encoder: also train a LoRA of this rank on the text encoder's attention.
    """

    rank: int
    alpha: float
    dropout: float
    targets: list[str]
    text_encoder: bool
