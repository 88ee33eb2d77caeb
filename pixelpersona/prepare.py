"""`python -m pixelpersona.prepare dataset=folder dataset.path=DIR`: photos → pairs → latents and text."""

from pixelpersona.cli.command import command
from pixelpersona.cli.next_steps import NextStep
from pixelpersona.config.prepare import PrepareConfig
from pixelpersona.config.train import TrainConfig


def next_steps(config: PrepareConfig) -> list[NextStep]:
    """Train on the pairs."""
    shared = ("dataset", "pixelate", "augment", "model", "finetune", "paths")
    return [] if config.verify else [NextStep("fine-tune on these pairs", "train", TrainConfig, shared)]


@command("prepare", PrepareConfig, next_steps=next_steps)
def main(config: PrepareConfig) -> None:
    """Make what is missing or damaged."""
    from pixelpersona.recipes.preparation import prepare

    prepare(config)


if __name__ == "__main__":
    main()
