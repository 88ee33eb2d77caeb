"""`python -m pixelpersona.stylize photo=me.jpg out=me.png`: one photo → one pixel-art portrait."""

from pixelpersona.cli.command import command
from pixelpersona.config.stylize import StylizeConfig


@command("stylize", StylizeConfig)
def main(config: StylizeConfig) -> None:
    """Draw the portrait."""
    from pixelpersona.recipes.stylization import stylize

    stylize(config)


if __name__ == "__main__":
    main()
