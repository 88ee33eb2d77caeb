"""`python -m pixelpersona.stylize photo=me.jpg out=me.png`: one photo → one pixel-art portrait."""

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import MISSING

from pixelpersona.build.data import PathsConfig
from pixelpersona.build.inference import SamplerConfig, SearchConfig, make_sampler
from pixelpersona.build.models import AdapterConfig, ModelConfig, make_base
from pixelpersona.door import door
from pixelpersona.pixel.finish import Finish

if TYPE_CHECKING:
    from PIL import Image

    from pixelpersona.inference.portrait import Portrait


@dataclass(kw_only=True, slots=True)
class StylizeConfig:
    """photo, out: a photo in, a PNG out; the true-size indexed PNG goes beside it (me.cells.png).

    num_candidates: drawings, of the seeds from `seed` on, of which the one most like the photo is kept.
    search: several strengths to try as well. scale: pixels per cell of the enlarged PNG. framing: tight,
    wide or center.
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
    search: SearchConfig = field(default_factory=SearchConfig)
    finish: Finish = field(default_factory=Finish)
    paths: PathsConfig = field(default_factory=PathsConfig)


@door("stylize", StylizeConfig)
def main(config: StylizeConfig) -> None:
    """Check all that can be checked before a model is loaded; then crop, draw, snap and write."""
    from pixelpersona.pixel.exposure import expose
    from pixelpersona.pixel.framing import crop_found
    from pixelpersona.pixel.photo import open_photo
    from pixelpersona.pixel.snap import save_cells_png, save_enlarged_png
    from pixelpersona.writing import whole

    _check(config)
    cut, found = crop_found(open_photo(config.photo), config.model.image_size, config.framing)
    if not found:
        told = "no face found, so its middle is drawn; a photo cut to head and shoulders does better"
        print(f"{config.photo}: {told}", file=sys.stderr)
    portrait = _draw(config, expose(cut))
    cells = config.out.with_suffix(".cells.png")
    with whole(config.out) as draft:
        save_enlarged_png(portrait.snapped, draft, config.scale)
    with whole(cells) as draft:
        save_cells_png(portrait.snapped, draft)
    if config.search.strengths:
        print(f"strength {portrait.strength:g}, seed {portrait.seed}")
    print(f"wrote {config.out} and {cells}")


def _check(config: StylizeConfig) -> None:
    if not 1 <= config.num_candidates <= 64:
        raise ValueError(f"num_candidates={config.num_candidates}: accepted 1 to 64")
    if not 1 <= config.scale <= 64:
        raise ValueError(f"scale={config.scale}: accepted 1 to 64")
    if config.out.suffix.lower() != ".png":
        raise ValueError(f"out={config.out}: accepted a file name ending in .png")
    config.search.check()


def _draw(config: StylizeConfig, photo: "Image.Image") -> "Portrait":
    """The best of the seeds, and of the strengths where several are to be tried."""
    samplers = [
        make_sampler(replace(config.sampler, strength=strength))
        for strength in config.search.strengths or [config.sampler.strength]
    ]

    from pixelpersona.inference.search import best_portrait, most_alike
    from pixelpersona.inference.stylizer import Stylizer
    from pixelpersona.models.adapter import merge_lora

    base = make_base(config.model)
    adapter = config.lora.file(config.model)
    if adapter is not None:
        base = merge_lora(base, adapter)[0]
    makers = [
        Stylizer(base, sampler=sampler, prompt=config.model.prompt, finish=config.finish)
        for sampler in samplers
    ]
    seeds = [config.seed + number for number in range(config.num_candidates)]
    if not config.search.strengths:
        return most_alike(makers[0], photo, seeds)
    return best_portrait(makers, photo, seeds, min_grid_contrast=config.search.min_grid_contrast)


if __name__ == "__main__":
    main()
