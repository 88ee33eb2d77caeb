"""`python -m pixelpersona.stylize photo=me.jpg out=me.png`: one photo → one pixel-art portrait."""

from pixelpersona.cli.command import command
from pixelpersona.cli.next_steps import NextStep
from pixelpersona.config.stylize import StylizeConfig


def next_steps(config: StylizeConfig) -> list[NextStep]:
    """Draw the photo again from seeds that have not been tried."""
    seed = config.seed + config.num_candidates
    out = config.out.with_stem(f"{config.out.stem}-{seed}")
    words = (f"photo={config.photo}", f"out={out}", f"seed={seed}")
    shared = (
        "model",
        "adapter",
        "sampler",
        "search",
        "postprocess",
        "num_candidates",
        "scale",
        "framing",
        "face",
    )
    return [NextStep("draw it again from other seeds", "stylize", StylizeConfig, shared, words)]


@command("stylize", StylizeConfig, next_steps=next_steps)
def main(config: StylizeConfig) -> None:
    """Draw the portrait."""
    from pixelpersona.recipes.stylization import stylize

    stylize(config)


if __name__ == "__main__":
    main()
