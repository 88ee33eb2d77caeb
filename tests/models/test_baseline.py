"""The supervised baseline: shapes and its file."""

from pathlib import Path

import pytest
import torch

from pixelpersona.models.baseline import BaselineUNet, load_baseline, save_baseline


def test_output_has_the_shape_of_the_photo_and_survives_saving(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = BaselineUNet(cell=4, widths=(8, 16, 16)).eval()
    photo = torch.rand(2, 3, 32, 48) * 2 - 1
    save_baseline(network, tmp_path)
    loaded = load_baseline(tmp_path)
    assert loaded(photo).shape == photo.shape
    assert torch.equal(loaded(photo), network(photo))


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such supervised baseline"):
        load_baseline(tmp_path)
    (tmp_path / "supervised_baseline.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="not a supervised baseline"):
        load_baseline(tmp_path)
    network = BaselineUNet(cell=4, widths=(8, 8, 8))
    torch.nn.init.constant_(network.out.bias, float("nan"))
    save_baseline(network, tmp_path)
    with pytest.raises(ValueError, match=r"1 of \d+ weights are not finite, for example out\.bias"):
        load_baseline(tmp_path)
