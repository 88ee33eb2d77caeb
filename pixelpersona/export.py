"""`python -m pixelpersona.export adapter.path=runs/demo/lora-r8 out=exported`: a LoRA for other programs."""

from pixelpersona.cli.command import command
from pixelpersona.cli.next_steps import NextStep
from pixelpersona.config.export import ExportConfig, Format
from pixelpersona.config.stylize import StylizeConfig


def next_steps(config: ExportConfig) -> list[NextStep]:
    """Draw a photo with what was written."""
    if config.format is Format.merged:
        written = f"model.path={config.out}"
    else:
        written = f"adapter.path={next(config.out.glob('*.safetensors'))}"
    words = ("photo=me.jpg", "out=me.png", written)
    return [NextStep("draw a photo of yours with it", "stylize", StylizeConfig, ("model",), words)]


@command("export", ExportConfig, next_steps=next_steps)
def main(config: ExportConfig) -> None:
    """Export the adapter."""
    from pixelpersona.recipes.export_adapter import export_adapter

    export_adapter(config)


if __name__ == "__main__":
    main()
