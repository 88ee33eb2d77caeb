"""Agreement of the feature network's attributes with captions."""

import math

import numpy as np
import torch
from numpy.typing import NDArray

from pixelpersona.evaluation.attribute_errors import attribute_errors
from pixelpersona.models.features import PersonaFeatures
from pixelpersona.models.persona_net import ETHNICITIES, GENDERS, Persona


class SamePerson(PersonaFeatures):
    """Sees an Asian woman of 20 years in every picture."""

    def __init__(self) -> None:
        pass

    def personas(self, images: NDArray[np.uint8]) -> Persona:
        num = len(images)
        return Persona(
            embedding=torch.zeros(num, 128),
            age=torch.full((num,), 20.0),
            gender=torch.eye(len(GENDERS))[GENDERS.index("female")].expand(num, -1),
            ethnicity=torch.eye(len(ETHNICITIES))[ETHNICITIES.index("asian")].expand(num, -1),
        )


def test_only_what_captions_mention_counts() -> None:
    captions = ["a photo of a 26 year old asian woman", "a photo of a 30 year old man", "a photo of a woman"]
    pictures = np.zeros((3, 16, 16, 3), np.uint8)
    found = attribute_errors(SamePerson(), pictures, captions)
    assert found == {
        "gender_accuracy": 2 / 3, "ethnicity_accuracy": 1.0, "age_error": 8.0,
        "num_gender": 3, "num_ethnicity": 1,
    }  # fmt: skip
    unknown = attribute_errors(SamePerson(), pictures[:1], ["a photo of a person"])
    assert [unknown.pop(name) for name in ("num_gender", "num_ethnicity")] == [0, 0]
    assert all(math.isnan(value) for value in unknown.values())
