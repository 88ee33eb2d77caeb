"""`python -m pixelpersona.prepare dataset=folder dataset.path=DIR`: photos → pairs → latents and text."""

import sys
from dataclasses import dataclass, field
from pathlib import Path

from pixelpersona.build.data import AugmentConfig, DatasetConfig, PathsConfig, make_pairs
from pixelpersona.build.models import ModelConfig, make_base
from pixelpersona.door import door
from pixelpersona.pixel.pixelation import Pixelation


@dataclass(kw_only=True, slots=True)
class PrepareConfig:
    """encode: also fill the cache of latents and text, which needs the base.

    verify: instead of preparing, check everything in paths.cache against its digest and change nothing.
    """

    name: str = "prepare"
    timing: Path | None = None
    encode: bool = True
    verify: bool = False
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    pixelate: Pixelation = field(default_factory=Pixelation)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    paths: PathsConfig = field(default_factory=PathsConfig)


@door("prepare", PrepareConfig)
def main(config: PrepareConfig) -> None:
    """Make what is missing or damaged; say where it is."""
    if config.verify:
        _verify(config.paths.cache)
        return
    pair_set = make_pairs(
        config.dataset, config.pixelate, config.augment, config.model, config.paths, thorough=True
    )
    if config.encode:
        from pixelpersona.data.latents import encode_pairs
        from pixelpersona.models.codec import Codec

        codec = Codec(make_base(config.model))
        for split in ("train", "heldout"):
            if pair_set.pairs(split):
                mirrored = config.dataset.mirror and split == "train"
                encode_pairs(pair_set, split, codec, config.paths.cache, mirrored=mirrored)
    sizes = ", ".join(f"{len(pair_set.pairs(split))} {split}" for split in ("train", "heldout"))
    print(f"pairs: {sizes}; in {pair_set.folder}")


def _verify(cache: Path) -> None:
    """One line on stderr for each damaged entry, then ValueError; one line on stdout when all is sound."""
    from pixelpersona.data.verify import verify_cache

    verdict = verify_cache(cache)
    for line in verdict.damaged:
        print(line, file=sys.stderr)
    if verdict.damaged:
        raise ValueError(
            f"{cache}: {len(verdict.damaged)} damaged of {verdict.summary()}; "
            "prepare the same data again, and what is damaged is made anew"
        )
    print(f"{cache}: {verdict.summary()}: all as they were written")


if __name__ == "__main__":
    main()
