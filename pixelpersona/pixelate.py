"""`python -m pixelpersona.pixelate photo=IN out=OUT`: a picture, a GIF or a folder to pixel art, no model."""

from pixelpersona.cli.command import command
from pixelpersona.config.pixelate import PixelateConfig


@command("pixelate", PixelateConfig)
def main(config: PixelateConfig) -> None:
    """Draw one file, or a folder of them."""
    from pixelpersona.recipes.pixelation_batch import pixelate

    pixelate(config)


if __name__ == "__main__":
    main()
