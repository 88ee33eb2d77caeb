import pytest

from pixelpersona.data.attributes import Attributes, read_attributes
from pixelpersona.data.metadata import attribute_caption


@pytest.mark.parametrize("age", [1, 8, 15, 16, 26, 101])
@pytest.mark.parametrize("gender", ["male", "female", None])
@pytest.mark.parametrize("ethnicity", ["white", "black", "asian", "indian", None])
def test_attributes_of_a_caption_are_read_back(age: int, gender: str | None, ethnicity: str | None) -> None:
    assert read_attributes(attribute_caption(age, gender, ethnicity)) == Attributes(age, gender, ethnicity)


def test_missing_attributes_are_none() -> None:
    nothing = Attributes()
    for caption in (None, "", "pixel art portrait, 16-color style", "a photo of a person", "a womanly manor"):
        assert read_attributes(caption) == nothing
    assert read_attributes("a photo of a young woman, smiling") == Attributes(gender="female")
