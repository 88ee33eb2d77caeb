"""The landmark network: soft-argmax, and the export with folded batch norm."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pixelpersona.models.landmark_net import (
    LAYERS,
    WEIGHTS_FILE,
    LandmarkNet,
    folded,
    save_landmark_net,
    soft_argmax,
    standardised,
)

CHANNELS = {
    "stem": (16, 3),
    "down1": (32, 16),
    "mid1": (32, 32),
    "down2": (64, 32),
    "mid2": (64, 64),
    "wide2": (64, 64),
    "wide4": (64, 64),
    "merge": (32, 96),
    "heads": (5, 32),
}
STRIDES, DILATIONS = {"down1": 2, "down2": 2}, {"wide2": 2, "wide4": 4}


@pytest.fixture
def net() -> LandmarkNet:
    """Random weights, and statistics and scales of batch norm that are not 0 and 1."""
    torch.manual_seed(0)
    net = LandmarkNet()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 2.0)
            torch.nn.init.uniform_(module.bias, -0.5, 0.5)
            torch.nn.init.uniform_(module.running_mean, -0.5, 0.5)
            torch.nn.init.uniform_(module.running_var, 0.2, 2.0)
    return net.eval()


def test_the_file_computes_the_same_heatmaps(net: LandmarkNet, tmp_path: Path) -> None:
    file = tmp_path / "new" / WEIGHTS_FILE
    save_landmark_net(net, file)
    assert [path.name for path in file.parent.iterdir()] == [WEIGHTS_FILE]
    with np.load(file, allow_pickle=False) as opened:
        arrays = {name: opened[name] for name in opened.files}
    assert {name: array.shape for name, array in arrays.items()} == {
        **{f"{layer}.weight": (*channels, 3, 3) for layer, channels in CHANNELS.items()},
        **{f"{layer}.bias": channels[:1] for layer, channels in CHANNELS.items()},
    }
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float16)}
    assert tuple(CHANNELS) == LAYERS

    def layer(hidden: torch.Tensor, name: str) -> torch.Tensor:
        weight, bias = (torch.from_numpy(arrays[f"{name}.{kind}"]).float() for kind in ("weight", "bias"))
        dilation = DILATIONS.get(name, 1)
        out = F.conv2d(hidden, weight, bias, STRIDES.get(name, 1), padding=dilation, dilation=dilation)
        return out if name == "heads" else out.relu()

    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    hidden = torch.from_numpy(np.stack([(x - x.mean()) / (x.std() + 0.05) for x in images.double().numpy()]))
    fine = hidden.float()
    for name in ("stem", "down1", "mid1"):
        fine = layer(fine, name)
    hidden = fine
    for name in ("down2", "mid2", "wide2", "wide4"):
        hidden = layer(hidden, name)
    hidden = hidden.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    found = layer(layer(torch.cat([fine, hidden], dim=1), "merge"), "heads")
    with torch.no_grad():
        expected = net(images)
    assert expected.shape == (3, 5, 32, 32)
    assert (found - expected).abs().max() < 2e-3 * expected.abs().max()


def test_weights_that_overflow_are_refused(net: LandmarkNet) -> None:
    with torch.no_grad():
        net.mid2[1].bias[3] = 1e6
    with pytest.raises(ValueError, match=r"mid2\.bias of the landmark network: some values are not finite"):
        folded(net)


def test_soft_argmax_is_the_expected_position() -> None:
    """One cell of 8x4, two cells with shares of 1/4 and 3/4, and a flat map."""
    heatmaps = torch.full((1, 3, 4, 8), -1000.0)
    heatmaps[0, 0, 3, 1] = 0.0
    heatmaps[0, 1, 0, 2] = 0.0
    heatmaps[0, 1, 2, 6] = float(np.log(3.0))
    heatmaps[0, 2] = 7.0
    expected = torch.tensor([[[1.5 / 8, 3.5 / 4], [5.5 / 8, 2.0 / 4], [0.5, 0.5]]])
    torch.testing.assert_close(soft_argmax(heatmaps), expected)


def test_brightness_and_contrast_do_not_matter() -> None:
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    deviations = images.std(dim=(1, 2, 3), correction=0)
    found = standardised(images)
    torch.testing.assert_close(found.mean(dim=(1, 2, 3)), torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(found.std(dim=(1, 2, 3), correction=0), deviations / (deviations + 0.05))
    torch.testing.assert_close(standardised(images + 0.3), found)
    assert torch.isfinite(standardised(torch.ones(1, 3, 8, 8))).all()
