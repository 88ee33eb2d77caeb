"""`python -m pixelpersona.prepare dataset=folder dataset.path=DIR`: photos → pairs → latents and text."""

from dataclasses import dataclass, field
from pathlib import Path

from pixelpersona.build.data import AugmentConfig, DatasetConfig, PathsConfig, make_pairs
from pixelpersona.build.models import ModelConfig, make_base
from pixelpersona.door import door
from pixelpersona.pixel.pixelation import Pixelation


@dataclass(kw_only=True, slots=True)
class PrepareConfig:
    """encode: also fill the cache of latents and text, which needs the base."""

    name: str = "prepare"
    timing: Path | None = None
    encode: bool = True
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    pixelate: Pixelation = field(default_factory=Pixelation)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    paths: PathsConfig = field(default_factory=PathsConfig)


@door("prepare", PrepareConfig)
def main(config: PrepareConfig) -> None:
    """Make what is missing; say where it is."""
    pair_set = make_pairs(config.dataset, config.pixelate, config.augment, config.model, config.paths)
    if config.encode:
        from pixelpersona.data.latents import encode_pairs
        from pixelpersona.models.codec import Codec

        codec = Codec(make_base(config.model))
        for split in ("train", "heldout"):
            if pair_set.pairs(split):
                encode_pairs(pair_set, split, codec, config.paths.cache)
    sizes = ", ".join(f"{len(pair_set.pairs(split))} {split}" for split in ("train", "heldout"))
    print(f"pairs: {sizes}; in {pair_set.folder}")


if __name__ == "__main__":
    main()
