"""The model card's words, from a run's configuration."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pixelpersona.reporting.card import CardInfo

_GROUPS = ("pixelate", "lora", "lr_schedule", "loss")


def card_info(
    config: Mapping[str, Any], *, title: str, steps: int | None = None, commands: Sequence[str] = ()
) -> "CardInfo":
    """config: `train`'s as plain values, as config.yaml has it, or no more than its `model` and `sampler`.

    steps: that were trained, where it is known better than by the configuration.
    """
    from pixelpersona.reporting.card import CardInfo

    model, sampler = config["model"], config["sampler"]
    packaged = model["path"] is None
    return CardInfo(
        title=title,
        base_model="PixelPersona tiny base" if packaged else _base_name(str(model["path"])),
        prompt=model["prompt"],
        license="other" if packaged else "creativeml-openrail-m",
        license_note="non-commercial research only, as the packaged base" if packaged else "that of the base",
        recipe=_recipe(config, steps),
        commands=commands,
        strength=sampler["strength"],
        guidance=sampler["guidance"],
        num_steps=sampler["num_steps"],
    )


def _base_name(path: str) -> str:
    """A hub id as it is; of a folder its name, which tells nothing about this machine."""
    is_id = path.count("/") == 1 and not Path(path).is_absolute() and path[0] not in ".~"
    return path if is_id and not Path(path).is_dir() else Path(path).name


def _recipe(config: Mapping[str, Any], steps: int | None) -> dict[str, Any]:
    if "loop" not in config:
        return {}
    loop, optimizer = config["loop"], config["optimizer"]
    known = steps if steps is not None else loop["num_steps"]
    return {
        "dataset": config["dataset"]["kind"],
        **{group: config[group] for group in _GROUPS if group in config},
        "optimizer": {"kind": optimizer["kind"], "lr": optimizer["lr"]},
        **({"steps": known} if known is not None else {"epochs": loop["num_epochs"]}),
        "batch_size": loop["batch_size"],
        "seed": loop["seed"],
    }
