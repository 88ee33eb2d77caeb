"""What a caption says about the person: the inverse of `metadata.attribute_caption`."""

import re
from dataclasses import dataclass

_AGE = re.compile(r"\b(\d{1,3}) year old\b")
_GENDERS = {"man": "male", "boy": "male", "woman": "female", "girl": "female"}
_ETHNICITIES = ("white", "black", "asian", "indian")


@dataclass(frozen=True, slots=True)
class Attributes:
    """age: years. gender: male or female. ethnicity: white, black, asian or indian. None: not stated."""

    age: int | None = None
    gender: str | None = None
    ethnicity: str | None = None


def read_attributes(caption: str | None) -> Attributes:
    """ "a photo of a 26 year old asian woman" → Attributes(26, "female", "asian")."""
    text = (caption or "").lower()
    age = _AGE.search(text)
    words = re.findall(r"[a-z]+", text)
    return Attributes(
        age=int(age.group(1)) if age else None,
        gender=next((_GENDERS[word] for word in words if word in _GENDERS), None),
        ethnicity=next((word for word in words if word in _ETHNICITIES), None),
    )
