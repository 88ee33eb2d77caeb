"""After `prepare`, training with the default recipe encodes nothing."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import Tensor

from pixelpersona import prepare, train
from pixelpersona.models.codec import Codec
from tests.training.running import train_words


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Number of pictures of every call to the encoder from now on."""
    encode, calls = Codec.encode_images, []

    def counting(self: Codec, images: NDArray[np.uint8]) -> Tensor:
        calls.append(len(images))
        return encode(self, images)

    monkeypatch.setattr(Codec, "encode_images", counting)
    return calls


@pytest.mark.parametrize(("mirror", "num_encoded"), [("false", 3 * 4), ("true", 5 * 4)])
def test_training_encodes_nothing_that_prepare_did_not(
    tmp_path: Path, micro_base_folder: Path, monkeypatch: pytest.MonkeyPatch, mirror: str, num_encoded: int
) -> None:
    """Pixel art of four train and four val pairs; photos and mirrored pictures of the train pairs alone."""
    words = [*train_words(tmp_path, micro_base_folder), f"dataset.mirror={mirror}"]
    calls = counted(monkeypatch)
    prepare.main([word for word in words if word.startswith(("dataset", "model", "paths.cache"))])
    assert sum(calls) == num_encoded
    calls.clear()
    train.main([*words, "tracker=none", "loop.num_samples=0", f"paths.runs={tmp_path / 'runs'}"])
    assert calls == []


def test_without_a_residual_shift_prepare_encodes_the_pixel_art_alone(
    tmp_path: Path, micro_base_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = train_words(tmp_path, micro_base_folder)
    calls = counted(monkeypatch)
    given = [word for word in words if word.startswith(("dataset", "model", "paths.cache"))]
    prepare.main([*given, "finetune.residual_shift_strength=0"])
    assert sum(calls) == 8
