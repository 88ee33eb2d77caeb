"""Checks of the settings of an evaluation, before anything is drawn."""

import re
from collections.abc import Callable
from typing import Any

from pixelpersona.config.eval import EvalConfig, EvalFeatures
from pixelpersona.config.evaluate import EvaluateConfig
from pixelpersona.evaluation.distribution import MIN_PICTURES
from pixelpersona.pixel.damage import KINDS


def check_eval(evaluation: EvalConfig, image_size: int) -> None:
    """Raises ValueError naming the key of a value that cannot be measured. image_size: pixels."""
    if (evaluation.features is EvalFeatures.inception) != (evaluation.features_path is not None):
        raise ValueError(
            "eval.features_path: eval.features=inception needs the file of its weights, persona none"
        )
    if evaluation.damage not in (None, *KINDS):
        raise ValueError(f"eval.damage={evaluation.damage}: accepted null, {', '.join(KINDS)}")
    if evaluation.damage is not None and evaluation.strengths:
        raise ValueError(f"eval.damage={evaluation.damage}: accepted null with eval.strengths")
    if bool(evaluation.strengths) != bool(evaluation.guidances):
        missing = "guidances" if evaluation.strengths else "strengths"
        raise ValueError(f"eval.{missing}=[]: accepted one or more, as in the other list")
    largest_cell = image_size // 2
    accepted: dict[str, tuple[str, Callable[[Any], bool]]] = {
        "strengths": ("above 0, up to 1", lambda value: 0.0 < value <= 1.0),
        "guidances": ("1 (off) or more", lambda value: 1.0 <= value < float("inf")),
        "samplers": ("as dpm-20 or ddim-50", lambda value: bool(re.fullmatch(r"(ddim|dpm)-[1-9]\d*", value))),
        "also_cells": (f"2 to {largest_cell} pixels", lambda value: 2 <= value <= largest_cell),
        "also_colors": ("1 to 256", lambda value: 1 <= value <= 256),
    }
    for key, (words, is_accepted) in accepted.items():
        values = getattr(evaluation, key)
        for value in values:
            if not is_accepted(value):
                raise ValueError(f"eval.{key}={value}: accepted {words}")
        if key in ("strengths", "guidances", "samplers") and len(set(values)) < len(values):
            raise ValueError(f"eval.{key}={values}: accepted each value once")


def check_num_photos(config: EvaluateConfig, num: int) -> None:
    """Raises ValueError naming the key that helps when the split has too few photos. num: photos it has."""
    split, limit = config.eval.split, config.eval.num_photos
    if limit is not None and limit < MIN_PICTURES:
        raise ValueError(f"eval.num_photos={limit}: accepted {MIN_PICTURES} or more, or null")
    if num < MIN_PICTURES:
        share = {"val": config.dataset.val_share, "test": config.dataset.test_share}[split]
        raise ValueError(
            f"eval.split={split}: the data set has {num} {split} photos; accepted {MIN_PICTURES} or more: "
            f"add {split} photos, or raise dataset.{split}_share (now {share:g}) and train again"
        )
