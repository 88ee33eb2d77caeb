"""`python -m pixelpersona.export adapter.path=runs/demo/lora-r8 out=exported`: a LoRA for other programs."""

from pixelpersona.cli.command import command
from pixelpersona.config.export import ExportConfig


@command("export", ExportConfig)
def main(config: ExportConfig) -> None:
    """Export the adapter."""
    from pixelpersona.recipes.export_adapter import export_adapter

    export_adapter(config)


if __name__ == "__main__":
    main()
