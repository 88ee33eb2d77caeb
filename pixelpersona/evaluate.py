"""`python -m pixelpersona.evaluate`: every variant on the same photos and seeds → result.json."""

from pixelpersona.cli.command import command
from pixelpersona.cli.next_steps import NextStep
from pixelpersona.cli.overrides import overrides
from pixelpersona.config.evaluate import EvaluateConfig
from pixelpersona.config.report import ReportConfig


def next_steps(config: EvaluateConfig) -> list[NextStep]:
    """Report; after trade-offs without a comparison, which a report needs, that comparison."""
    if (config.paths.runs / "result.json").is_file():
        return [NextStep("write one page about all results", "report", ReportConfig, ("paths",))]
    shared = ("dataset", "pixelate", "augment", "model", "finetune", "sampler", "postprocess", "paths")
    return [NextStep("compare the runs, which the report needs", "evaluate", EvaluateConfig, shared)]


@command("evaluate", EvaluateConfig, next_steps=next_steps)
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
