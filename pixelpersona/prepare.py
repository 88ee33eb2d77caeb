"""`python -m pixelpersona.prepare dataset=folder dataset.path=DIR`: photos → pairs → latents and text."""

from pixelpersona.cli.command import command
from pixelpersona.config.prepare import PrepareConfig


@command("prepare", PrepareConfig)
def main(config: PrepareConfig) -> None:
    """Make what is missing or damaged."""
    from pixelpersona.recipes.preparation import prepare

    prepare(config)


if __name__ == "__main__":
    main()
