from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pixelpersona.assets.locate import path as asset
from pixelpersona.models.persona_net import (
    WEIGHTS_FILE,
    PersonaNet,
    load_persona_net,
    save_persona_net,
)


def test_outputs_do_not_depend_on_the_batch() -> None:
    torch.manual_seed(0)
    net = PersonaNet().train()  # in training mode as well
    images = torch.rand(4, 3, 128, 128) * 2 - 1
    whole, alone = net(images), net(images[2:3])
    for name in ("embedding", "age", "gender", "ethnicity"):
        torch.testing.assert_close(getattr(whole, name)[2:3], getattr(alone, name))
    torch.testing.assert_close(whole.embedding.norm(dim=1), torch.ones(4))


def test_early_maps_have_half_and_a_quarter_of_the_side() -> None:
    net = PersonaNet()
    maps = net.early_maps(torch.zeros(1, 3, 128, 128))
    assert [tuple(each.shape[2:]) for each in maps] == [(64, 64), (32, 32)]


def test_saving_and_loading_keep_half_precision(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = PersonaNet()
    file = save_persona_net(net, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [WEIGHTS_FILE]
    assert file.stat().st_size < 750_000
    (tmp_path / "other").touch()
    assert file.stat().st_mode == (tmp_path / "other").stat().st_mode
    loaded, sha256 = load_persona_net(tmp_path)
    assert len(sha256) == 64
    for name, value in net.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value.half().float())
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_the_packaged_network_is_small() -> None:
    assert (asset("persona") / WEIGHTS_FILE).stat().st_size < 750_000


def test_a_missing_or_wrong_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"persona\.safetensors: no feature network there"):
        load_persona_net(tmp_path)
    save_file({"weight": torch.zeros(3)}, tmp_path / WEIGHTS_FILE)
    with pytest.raises(ValueError, match=r"persona\.safetensors: not this feature network"):
        load_persona_net(tmp_path)
    (tmp_path / WEIGHTS_FILE).write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"persona\.safetensors: not this feature network"):
        load_persona_net(tmp_path)
