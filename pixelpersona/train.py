"""`python -m pixelpersona.train lora.rank=8`: fine-tune on pairs of photo and pixel art."""

from pathlib import Path

from pixelpersona.cli.command import command
from pixelpersona.cli.next_steps import NextStep
from pixelpersona.cli.overrides import command_line, overrides
from pixelpersona.config.evaluate import EvaluateConfig
from pixelpersona.config.method import MethodKind
from pixelpersona.config.stylize import StylizeConfig
from pixelpersona.config.train import TrainConfig
from pixelpersona.runs.names import named_folder


def run_folder(config: TrainConfig) -> Path:
    """The one folder that a run writes, apart from caches."""
    return named_folder(config.paths.runs, config.name)


def next_steps(config: TrainConfig) -> list[NextStep]:
    """Evaluate; draw a photo with the LoRA."""
    shared = ("dataset", "pixelate", "augment", "model", "finetune", "sampler", "paths")
    steps = [NextStep("compare all runs with the untouched base", "evaluate", EvaluateConfig, shared)]
    if config.method.kind is MethodKind.lora:
        words = ("photo=me.jpg", "out=me.png", f"adapter.path={run_folder(config)}")
        steps.append(NextStep("draw a photo of yours", "stylize", StylizeConfig, ("model",), words))
    return steps


@command("train", TrainConfig, run_folder=run_folder, next_steps=next_steps)
def main(config: TrainConfig) -> bool:
    """Train the method that is asked for; False when the run is already finished."""
    words = overrides("train", TrainConfig, run_name=config.name)
    if config.method.kind is MethodKind.lora:
        from pixelpersona.recipes.finetune import finetune

        return finetune(config, words, command_line("train", words))
    from pixelpersona.recipes.supervised_baseline import train_supervised_baseline

    return train_supervised_baseline(config, words)


if __name__ == "__main__":
    main()
