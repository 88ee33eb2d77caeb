"""Inception features: with a stand-in network, and with the real one where torch-fidelity is installed."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torchmetrics.image.fid
from torch import nn

from pixelpersona.models.inception import WEIGHTS, InceptionFeatures

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
FIRST, LAST = "Conv2d_1a_3x3.conv.weight", "Mixed_7c.branch_pool.conv.weight"


class StandIn(nn.Module):
    """NOT Inception: has the interface of torchmetrics' NoTrainInceptionV3 and returns scaled pixels."""

    def __init__(self, name: str, features_list: list[str], feature_extractor_weights_path: str) -> None:
        super().__init__()
        assert (name, features_list) == ("inception-v3-compat", ["2048"])
        self.scale = torch.load(feature_extractor_weights_path, weights_only=True)[FIRST]

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        assert pixels.dtype == torch.uint8
        assert pixels.shape[1] == 3
        means = nn.functional.adaptive_avg_pool2d(pixels.float(), (32, 32)).flatten(1)
        return means[:, :2048] * self.scale


def weights(folder: Path, scale: float = 1.0) -> Path:
    file = folder / WEIGHTS
    torch.save({FIRST: torch.tensor(scale), LAST: torch.zeros(1)}, file)
    return file


def test_features_shape_dtype_and_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchmetrics.image.fid, "NoTrainInceptionV3", StandIn)
    extractor = InceptionFeatures(weights(tmp_path))
    features = extractor.features(IMAGES)
    assert features.dtype == torch.float32
    assert features.shape == (3, 2048)
    assert torch.equal(extractor.features(IMAGES[1:2])[0], features[1])
    again = InceptionFeatures(weights(tmp_path))
    assert again.sha256 == extractor.sha256
    assert InceptionFeatures(weights(tmp_path, 2.0)).sha256 != extractor.sha256
    with pytest.raises(ValueError, match=r"accepted uint8 \[B, H, W, 3\]"):
        extractor.features(IMAGES.astype(np.float32))


def test_a_missing_or_wrong_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"eval\.features_path=.*nowhere.*{WEIGHTS} is at https://"):
        InceptionFeatures(tmp_path / "nowhere.pth")
    (tmp_path / "text.pth").write_text("no weights")
    torch.save({"conv.weight": torch.zeros(1)}, tmp_path / "other.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    for name, message in (
        ("text", "not a file of weights"),
        ("list", "not a file of"),
        ("other", "not Inception"),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            InceptionFeatures(tmp_path / f"{name}.pth")
        assert "\n" not in str(caught.value)


def test_a_malicious_file_cannot_run_code(tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "ran",)  # type: ignore[return-value]

    (tmp_path / "harmful.pth").write_bytes(pickle.dumps({FIRST: Harmful(), LAST: Harmful()}))
    with pytest.raises(ValueError, match="not a file of weights"):
        InceptionFeatures(tmp_path / "harmful.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "error",
    [ModuleNotFoundError("No module"), RuntimeError("operator torchvision::nms does not exist\nmore")],
)
def test_a_missing_or_broken_package_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(torchmetrics.image.fid, "NoTrainInceptionV3", refuse)
    with pytest.raises(ValueError, match=r"needs torch-fidelity: pip install -e '\.\[inception\]'") as caught:
        InceptionFeatures(weights(tmp_path))
    assert "\n" not in str(caught.value)


def test_the_real_network_gives_the_features_of_torchmetrics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With random weights, bit for bit."""
    try:
        from torch_fidelity import feature_extractor_inceptionv3 as fidelity
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"torch-fidelity is missing or does not fit this torch: {error}")
    made: list[nn.Module] = []
    with monkeypatch.context() as patch:  # no download: the network keeps its random initialisation
        patch.setattr(fidelity, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(nn.Module, "load_state_dict", lambda self, *_, **__: made.append(self))
        torch.manual_seed(0)
        fidelity.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    file = tmp_path / WEIGHTS
    torch.save(made[0].state_dict(), file)
    features = InceptionFeatures(file).features(IMAGES)
    metric = torchmetrics.image.fid.FrechetInceptionDistance(2048, feature_extractor_weights_path=str(file))
    expected = metric.inception(torch.from_numpy(IMAGES.transpose(0, 3, 1, 2).copy()))
    assert torch.equal(features, expected)
