"""`python -m pixelpersona.pixelate photo=IN out=OUT`: a picture, a GIF or a folder to pixel art, no model."""

from pixelpersona.cli.command import command
from pixelpersona.cli.next_steps import NextStep
from pixelpersona.config.pixelate import PixelateConfig
from pixelpersona.config.prepare import PrepareConfig
from pixelpersona.config.stylize import StylizeConfig


def next_steps(config: PixelateConfig) -> list[NextStep]:
    """A folder: make training pairs of it; a photo: draw it with the model, which does not read GIFs."""
    if config.photo.is_dir():
        words: tuple[str, ...] = ("dataset=folder", f"dataset.path={config.photo}")
        purpose = "prepare these pictures for training in this style"
        return [NextStep(purpose, "prepare", PrepareConfig, ("pixelate",), words)]
    if config.out.suffix.lower() == ".gif":
        return []
    words = (f"photo={config.photo}", f"out={config.out.with_stem(config.out.stem + '-portrait')}")
    return [NextStep("draw a portrait of it with the model", "stylize", StylizeConfig, words=words)]


@command("pixelate", PixelateConfig, next_steps=next_steps)
def main(config: PixelateConfig) -> None:
    """Draw one file, or a folder of them."""
    from pixelpersona.recipes.pixelation_batch import pixelate

    pixelate(config)


if __name__ == "__main__":
    main()
