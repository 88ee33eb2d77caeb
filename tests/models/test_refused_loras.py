"""A LoRA that cannot be used completely is one line with the file, the number of keys and one example."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from pixelpersona import stylize
from pixelpersona.models.adapter import load_lora
from pixelpersona.models.base import BaseModel
from pixelpersona.models.formats import read_lora
from tests.models.lora_pairs import METADATA, make_pairs, peft_weights, with_kohya_names, with_metadata

Change = Callable[[dict[str, Tensor], dict[str, object]], None]


def renamed(old: str, new: str) -> Change:
    def change(weights: dict[str, Tensor], stored: dict[str, object]) -> None:
        for key in list(weights):
            weights[re.sub(old, new, key)] = weights.pop(key)

    return change


def filled(pattern: str, value: float) -> Change:
    def change(weights: dict[str, Tensor], stored: dict[str, object]) -> None:
        for key in weights:
            if re.search(pattern, key):
                weights[key].view(-1)[0 : 1 if np.isnan(value) or np.isinf(value) else None] = value

    return change


def without(pattern: str) -> Change:
    def change(weights: dict[str, Tensor], stored: dict[str, object]) -> None:
        for key in [key for key in weights if re.search(pattern, key)]:
            del weights[key]

    return change


def stored_as(key: str, value: object) -> Change:
    def change(weights: dict[str, Tensor], stored: dict[str, object]) -> None:
        stored[key] = value

    return change


def narrowed(weights: dict[str, Tensor], stored: dict[str, object]) -> None:
    weights["unet.conv_in.lora_A.weight"] = weights["unet.conv_in.lora_A.weight"][:, :3].contiguous()


def of_two_ranks(weights: dict[str, Tensor], stored: dict[str, object]) -> None:
    weights["unet.conv_in.lora_A.weight"] = weights["unet.conv_in.lora_A.weight"][:1].contiguous()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (renamed("^", "base_model.model."), r"14 of 14 keys cannot be used, for example base_model\.model\."),
        (renamed("^unet", "base_model.model.unet"), "10 of 14 keys cannot be used, for example base_model"),
        (renamed("attn1", "attn3"), r"2 of 14 keys fit no layer of this base, for example .*attn3\.to_q"),
        (renamed("conv_in.lora_A", "conv_in.lora_mid"), "2 of 14 keys cannot be used, for example .*conv_in"),
        (without(r"conv_in\.lora_B"), r"1 of 13 keys cannot be used, for example unet\.conv_in\.lora_A"),
        (without("."), "0 of 0 keys cannot be used; accepted pairs of lora_A.weight and lora_B.weight"),
        (filled(r"conv_in\.lora_A", np.nan), r"1 of 14 keys hold values that are not finite, .*conv_in"),
        (filled("text_encoder", -np.inf), "4 of 14 keys hold values that are not finite, .*text_encoder"),
        (filled("lora_B", 0.0), "all its lora_B weights are 0, so it would change nothing"),
        (filled("lora", 0.0), "are 0, so it would change nothing"),
        (
            narrowed,
            r"1 of 14 keys do not have the shape their layer needs, .*\[4, 3, 3, 3\] instead of \[4, 4, 3",
        ),
        (of_two_ranks, r"1 of its modules have wrong shapes, for example unet\.conv_in"),
        (stored_as("unet.lora_gamma", 1), r"the key unet\.lora_gamma, which PEFT does not know"),
        (stored_as("unet.r", 3), r"unet\..* has rank 4, 3 in its lora_adapter_metadata"),
        (stored_as("unet.r", None), "its lora_adapter_metadata cannot be read"),
        (stored_as("unet.rank_pattern", [1]), "its lora_adapter_metadata cannot be read"),
        (stored_as("unet.lora_alpha", "much"), "its lora_adapter_metadata cannot be read"),
        (
            stored_as("unet.lora_alpha", float("nan")),
            r"its lora_adapter_metadata is not JSON \(NaN is not a finite number\)",
        ),
        (stored_as("unet.init_lora_weights", "pissa"), "init_lora_weights=pissa changes the base"),
    ],
)
def test_a_file_that_cannot_be_used_completely_is_refused(
    micro_base: BaseModel, tmp_path: Path, change: Change, message: str
) -> None:
    file = tmp_path / "lora.safetensors"
    weights = peft_weights(make_pairs(micro_base, ranks=(4,)))
    stored = {f"{part}.{key}": 4 for part in ("unet", "text_encoder") for key in ("r", "lora_alpha")}
    change(weights, stored)
    save_file(weights, file, metadata={METADATA: json.dumps(stored)})
    refused(micro_base, file, message)


def refused(base: BaseModel, file: Path, message: str) -> None:
    before = base.unet.state_dict().keys()
    with pytest.raises(ValueError, match=rf"adapter\.path={re.escape(str(file))}: .*{message}") as caught:
        load_lora(base, file)
    assert "\n" not in str(caught.value)
    assert base.unet.state_dict().keys() == before


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("lora_unet_conv_in", "lora_unet_conv_of", "3 of 21 keys cannot be used, for example .*conv_of"),
        (r"(q_proj)\.alpha", r"\1.dora_scale", "1 of 21 keys cannot be used, .*dora_scale"),
        (r"lora_te_", r"lora_te2_", "6 of 21 keys cannot be used, for example lora_te2_"),
    ],
)
def test_a_kohya_file_that_cannot_be_used_completely_is_refused(
    micro_base: BaseModel, tmp_path: Path, old: str, new: str, message: str
) -> None:
    file = tmp_path / "kohya.safetensors"
    with_kohya_names(make_pairs(micro_base, ranks=(4,)), file)
    weights = load_file(file)
    renamed(old, new)(weights, {})
    save_file(weights, file)
    refused(micro_base, file, message)


@pytest.mark.parametrize("alpha", [torch.tensor(0.0), torch.tensor([1.0, 2.0]), torch.tensor(float("nan"))])
def test_a_kohya_alpha_is_one_finite_number_other_than_0(
    micro_base: BaseModel, tmp_path: Path, alpha: Tensor
) -> None:
    file = tmp_path / "kohya.safetensors"
    with_kohya_names(make_pairs(micro_base, ranks=(4,)), file)
    weights = load_file(file)
    weights["lora_unet_conv_in.alpha"] = alpha
    save_file(weights, file)
    refused(micro_base, file, "(accepted one number other than 0|not finite)")


@pytest.mark.parametrize("text", ["{", "[]", "7", "[" * 100_000])
def test_damaged_metadata_is_refused(micro_base: BaseModel, tmp_path: Path, text: str) -> None:
    file = tmp_path / "lora.safetensors"
    save_file(peft_weights(make_pairs(micro_base, ranks=(4,))), file, metadata={METADATA: text})
    refused(micro_base, file, "its lora_adapter_metadata is not (a )?JSON")


def test_a_damaged_file_is_refused_or_still_a_lora(micro_base: BaseModel, tmp_path: Path) -> None:
    """Bytes of the header changed one at a time, and the file cut off at several places."""
    whole, file = tmp_path / "whole.safetensors", tmp_path / "lora.safetensors"
    with_metadata(make_pairs(micro_base, ranks=(4,), alphas=(8.0,)), whole)
    content = whole.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    damaged = [content[:end] for end in (0, 4, 8, header // 2, header, header + 40, len(content) - 1)]
    damaged += [
        content[:place] + bytes([content[place] ^ flip]) + content[place + 1 :]
        for place in range(0, header, 7)
        for flip in (1, 0x80)
    ]
    messages = []
    for changed in damaged:
        file.write_bytes(changed)
        try:
            read_lora(file)
        except ValueError as error:
            messages.append(str(error))
    assert len(messages) > len(damaged) / 2
    assert all(line.startswith(f"adapter.path={file}: ") and "\n" not in line for line in messages)


def test_stylize_refuses_a_lora_with_nan_and_writes_nothing(
    micro_base: BaseModel, micro_base_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = peft_weights(make_pairs(micro_base, ranks=(4,)))
    filled("lora_B", np.nan)(weights, {})
    save_file(weights, tmp_path / "broken.safetensors")
    Image.new("RGB", (64, 64), "teal").save(tmp_path / "photo.png")
    words = [f"photo={tmp_path / 'photo.png'}", f"out={tmp_path / 'out.png'}", "framing=center"]
    words += [f"model.path={micro_base_folder}", "model.image_size=32", "model.cell=4"]
    with pytest.raises(SystemExit) as stop:
        stylize.main([*words, f"adapter.path={tmp_path / 'broken.safetensors'}"])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"adapter.path={tmp_path / 'broken.safetensors'}: 7 of 14 keys hold values")
    assert {path.name for path in tmp_path.iterdir()} == {"broken.safetensors", "photo.png"}
