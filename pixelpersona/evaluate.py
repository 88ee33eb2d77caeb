"""`python -m pixelpersona.evaluate`: every variant on the same photos and seeds → result.json."""

from pixelpersona.cli.command import command
from pixelpersona.cli.overrides import overrides
from pixelpersona.config.evaluate import EvaluateConfig


@command("evaluate", EvaluateConfig)
def main(config: EvaluateConfig) -> None:
    """Compare the variants; with eval.strengths, measure trade-offs instead."""
    words = overrides("evaluate", EvaluateConfig)
    if config.eval.strengths or config.eval.guidances:
        from pixelpersona.recipes.tradeoffs import weigh_tradeoffs

        weigh_tradeoffs(config, words)
    else:
        from pixelpersona.recipes.evaluation import evaluate

        evaluate(config, words)


if __name__ == "__main__":
    main()
