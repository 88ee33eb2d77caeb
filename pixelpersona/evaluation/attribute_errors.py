"""How well a feature network's age, gender and ethnicity agree with captions."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pixelpersona.data.attributes import read_attributes
from pixelpersona.models.features import PersonaFeatures
from pixelpersona.models.persona_net import ETHNICITIES, GENDERS


def attribute_errors(
    features: PersonaFeatures, pictures: NDArray[np.uint8], captions: Sequence[str]
) -> dict[str, float]:
    """gender_accuracy and ethnicity_accuracy, 0 to 1, and age_error, mean in years, against the captions.

    pictures: uint8 [N, H, W, 3], with one caption each. Captions that do not mention an attribute do not
    count for it; NaN when no caption mentions it. num_gender and num_ethnicity: captions that do mention it.
    """
    personas = features.personas(pictures)
    people = [read_attributes(caption) for caption in captions]
    ages = zip(personas.age.tolist(), [p.age for p in people], strict=True)
    return {
        "gender_accuracy": _accuracy(personas.gender, GENDERS, [p.gender for p in people]),
        "ethnicity_accuracy": _accuracy(personas.ethnicity, ETHNICITIES, [p.ethnicity for p in people]),
        "age_error": _mean([abs(age - label) for age, label in ages if label is not None]),
        "num_gender": sum(p.gender is not None for p in people),
        "num_ethnicity": sum(p.ethnicity is not None for p in people),
    }


def _accuracy(logits: Tensor, classes: Sequence[str], labels: Sequence[str | None]) -> float:
    """Share of the known labels that are the class of the highest logit; logits float [N, classes]."""
    guesses = zip(logits.argmax(dim=1).tolist(), labels, strict=True)
    return _mean([float(classes[guess] == label) for guess, label in guesses if label is not None])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")
