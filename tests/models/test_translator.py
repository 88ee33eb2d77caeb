"""The trained baseline: shapes, its file, and that it can learn flat cells."""

from pathlib import Path

import pytest
import torch

from pixelpersona.models.translator import Translator, load_translator, save_translator


def test_keeps_the_shape_and_survives_its_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    translator = Translator(cell=4, widths=(8, 16, 16)).eval()
    photo = torch.rand(2, 3, 32, 48) * 2 - 1
    save_translator(translator, tmp_path)
    again = load_translator(tmp_path)
    assert again(photo).shape == photo.shape
    assert torch.equal(again(photo), translator(photo))


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such translator"):
        load_translator(tmp_path)
    (tmp_path / "translator.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="not a translator"):
        load_translator(tmp_path)
