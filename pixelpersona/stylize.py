"""`python -m pixelpersona.stylize photo=me.jpg out=me.png`: one photo → one pixel-art portrait."""

import sys
from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import MISSING

from pixelpersona.build.data import PathsConfig
from pixelpersona.build.inference import SamplerConfig, make_sampler
from pixelpersona.build.models import AdapterConfig, ModelConfig, make_base
from pixelpersona.door import door
from pixelpersona.pixel.finish import Finish


@dataclass(kw_only=True, slots=True)
class StylizeConfig:
    """photo, out: a photo in, a PNG out; the true-size indexed PNG goes beside it (me.cells.png).

    num_candidates: drawings, of the seeds from `seed` on, of which the one most like the photo is kept.
    scale: pixels per cell of the enlarged PNG. framing: tight, wide or center.
    """

    name: str = "stylize"
    timing: Path | None = None
    photo: Path = MISSING
    out: Path = MISSING
    seed: int = 0
    num_candidates: int = 4
    scale: int = 16
    framing: str = "tight"
    model: ModelConfig = field(default_factory=ModelConfig)
    lora: AdapterConfig = field(default_factory=AdapterConfig)
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    finish: Finish = field(default_factory=Finish)
    paths: PathsConfig = field(default_factory=PathsConfig)


@door("stylize", StylizeConfig)
def main(config: StylizeConfig) -> None:
    """Check all that can be checked before a model is loaded; then crop, draw, snap and write."""
    from pixelpersona.pixel.exposure import expose
    from pixelpersona.pixel.framing import crop_square
    from pixelpersona.pixel.photo import open_photo
    from pixelpersona.pixel.portrait import find_face
    from pixelpersona.pixel.snap import save_cells_png, save_enlarged_png

    if not 1 <= config.num_candidates <= 64:
        raise ValueError(f"num_candidates={config.num_candidates}: accepted 1 to 64")
    if not 1 <= config.scale <= 64:
        raise ValueError(f"scale={config.scale}: accepted 1 to 64")
    if config.out.suffix.lower() != ".png":
        raise ValueError(f"out={config.out}: accepted a file name ending in .png")
    whole = open_photo(config.photo)
    photo = expose(crop_square(whole, config.model.image_size, config.framing))
    if config.framing != "center" and find_face(whole) is None:
        told = "no face found, so its middle is drawn; a photo cut to head and shoulders does better"
        print(f"{config.photo}: {told}", file=sys.stderr)
    sampler = make_sampler(config.sampler)

    from pixelpersona.inference.search import most_alike
    from pixelpersona.inference.stylizer import Stylizer
    from pixelpersona.models.adapter import merge_lora

    base = make_base(config.model)
    adapter = config.lora.file(config.model)
    if adapter is not None:
        base = merge_lora(base, adapter)[0]
    stylizer = Stylizer(base, sampler=sampler, prompt=config.model.prompt, finish=config.finish)
    seeds = [config.seed + number for number in range(config.num_candidates)]
    portrait = most_alike(stylizer, photo, seeds)
    cells = config.out.with_suffix(".cells.png")
    config.out.parent.mkdir(parents=True, exist_ok=True)
    save_enlarged_png(portrait.snapped, config.out, config.scale)
    save_cells_png(portrait.snapped, cells)
    print(f"wrote {config.out} and {cells}")


if __name__ == "__main__":
    main()
