"""Damaged weights, checkpoints and caches: refused in one line that names the file, or made again."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from pixelpersona.data.latents import encode_pairs
from pixelpersona.data.pairset import PairSet
from pixelpersona.data.survey import read_inspections
from pixelpersona.data.training_photos import TRAINING_PHOTOS, read_training_photos, write_training_photos
from pixelpersona.data.verify import verify_cache
from pixelpersona.models.adapter import merge_lora
from pixelpersona.models.base import BaseModel
from pixelpersona.models.baseline import BaselineUNet, load_baseline, save_baseline
from pixelpersona.models.formats import read_lora
from pixelpersona.models.persona_net import PersonaNet, load_persona_net, save_persona_net
from pixelpersona.training.checkpoints import TrainState, load_checkpoint, save_checkpoint
from tests.corrupting import check_reader
from tests.data.preparing import Encoder, prepare, write_photos
from tests.models.lora_pairs import METADATA, make_pairs, with_kohya_names, with_metadata

quick_and_thorough = pytest.mark.parametrize("thorough", [False, pytest.param(True, marks=pytest.mark.slow)])


def metadata_writer(file: Path, key: str) -> tuple[object, Callable[[str], bytes]]:
    """The JSON value in the metadata of a safetensors file, and what makes the file with another text."""
    weights, draft = load_file(file), file.with_suffix(".draft")
    with safe_open(file, framework="pt") as opened:
        metadata = opened.metadata()

    def write(text: str) -> bytes:
        save_file(weights, draft, metadata=metadata | {key: text})
        return draft.read_bytes()

    return json.loads(metadata[key]), write


@quick_and_thorough
def test_loras(micro_base: BaseModel, tmp_path: Path, thorough: bool) -> None:
    file = tmp_path / "lora.safetensors"
    with_metadata(make_pairs(micro_base, ranks=(4, 2), alphas=(8.0,)), file)
    document, write = metadata_writer(file, METADATA)

    def read() -> object:
        return merge_lora(micro_base, file) if thorough else read_lora(file)

    assert check_reader(file, read, document, thorough=thorough, as_text=write) > 20
    kohya = tmp_path / "kohya.safetensors"
    with_kohya_names(make_pairs(micro_base, ranks=(4,)), kohya)
    assert check_reader(kohya, lambda: read_lora(kohya, micro_base), thorough=thorough) > 10


@quick_and_thorough
def test_supervised_baselines_and_feature_networks(tmp_path: Path, thorough: bool) -> None:
    file = save_baseline(BaselineUNet(cell=4, widths=(8, 8, 8)), tmp_path)
    document, write = metadata_writer(file, "shape")
    num = check_reader(file, lambda: load_baseline(file), document, thorough=thorough, as_text=write)
    assert num > 20
    features = save_persona_net(PersonaNet(), tmp_path)
    assert check_reader(features, lambda: load_persona_net(tmp_path), thorough=thorough) > 10


def new_state() -> TrainState:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(module.parameters())
    schedule = torch.optim.lr_scheduler.ConstantLR(optimizer)
    return TrainState(module, optimizer, schedule, step=5, identity={"rank": 4, "sampler": {"kind": "dpm"}})


@quick_and_thorough
@pytest.mark.parametrize("name", ["manifest.json", "weights.safetensors", "state.pt"])
def test_checkpoints(tmp_path: Path, name: str, thorough: bool) -> None:
    folder = save_checkpoint(new_state(), tmp_path)
    document = json.loads((folder / name).read_text()) if name == "manifest.json" else None
    before = new_state().objective.state_dict()

    def read() -> None:
        state = new_state()
        load_checkpoint(state, folder)
        assert all(torch.equal(value, before[key]) for key, value in state.objective.state_dict().items())

    assert check_reader(folder / name, read, document, thorough=thorough, named=str(folder)) > 20


@quick_and_thorough
@pytest.mark.parametrize("name", ["manifest.json", "metadata.jsonl"])
def test_pair_sets_are_refused_and_made_again(tmp_path: Path, name: str, thorough: bool) -> None:
    photos, cache = write_photos(tmp_path / "photos"), tmp_path / "cache"
    pairs = prepare(photos, cache)
    file = pairs.folder / name
    document = json.loads(file.read_text()) if name == "manifest.json" else None
    assert check_reader(file, lambda: PairSet.load(pairs.folder), document, thorough=thorough) > 10
    check_reader(file, lambda: verify_cache(cache), document, thorough=thorough)

    def again() -> None:
        assert prepare(photos, cache).sha256 == pairs.sha256
        PairSet.load(pairs.folder)

    assert check_reader(file, again, thorough=False) == 0


@quick_and_thorough
@pytest.mark.parametrize("kind", ["latents", "text"])
def test_cached_latents_are_made_again(
    tmp_path: Path, kind: str, thorough: bool, caplog: pytest.LogCaptureFixture
) -> None:
    pairs, cache = prepare(write_photos(tmp_path / "photos"), tmp_path / "cache"), tmp_path / "cache"
    expected = encode_pairs(pairs, "train", Encoder(), cache)
    (file,) = cache.glob(f"latents-*/{kind}-*.safetensors")
    caplog.set_level(logging.ERROR)  # a line for every damaged shard

    def read() -> None:
        found = encode_pairs(pairs, "train", Encoder(), cache)
        assert torch.equal(found.latents, expected.latents)
        assert torch.equal(found.text, expected.text)

    assert check_reader(file, read, thorough=thorough) == 0
    assert check_reader(file, lambda: verify_cache(cache), thorough=thorough) == 0


@quick_and_thorough
def test_training_photos_and_inspections(tmp_path: Path, thorough: bool) -> None:
    photos, cache = write_photos(tmp_path / "photos"), tmp_path / "cache"
    pairs = prepare(photos, cache)
    write_training_photos(tmp_path, pairs)
    file = tmp_path / TRAINING_PHOTOS
    assert check_reader(file, lambda: read_training_photos(tmp_path), thorough=thorough) > 10
    (inspections,) = cache.glob("photos-*.json")
    document = json.loads(inspections.read_text())
    assert check_reader(inspections, lambda: read_inspections(inspections), document, thorough=thorough) > 10
