"""Groups of people by their captions, and a metric over a group."""

from dataclasses import replace

import numpy as np
import pytest

from pixelpersona.evaluation.intervals import bootstrap_mean, proportion
from pixelpersona.evaluation.people import MIN_PHOTOS, estimate_of_group, groups_of_people
from pixelpersona.evaluation.result import EvalResult, EvalResults

NUM = 24
IDS = [f"p{i}" for i in range(NUM)]


def result(name: str, values: list[float], metric: str = "likeness_raw") -> EvalResult:
    return EvalResult(
        variant=name,
        metrics={},
        per_photo={metric: values},
        photo_ids=IDS,
        seeds=[0] * NUM,
        base_sha256="b" * 64,
        adapter_sha256=None,
        features_sha256="f" * 64,
        num_parameters=0,
    )


def test_groups_hold_the_photos_whose_captions_mention_them() -> None:
    ages = [15, 16, 39, 40, 64, 65] * 4
    captions = {
        photo_id: f"a photo of a {age} year old {'asian ' if i % 2 else ''}{'man' if i < 16 else 'woman'}"
        for i, (photo_id, age) in enumerate(zip(IDS, ages, strict=True))
    }
    groups = groups_of_people(captions, IDS)
    assert groups == {
        "women": list(range(16, 24)),
        "men": list(range(16)),
        "16 to 39 years": [i for i in range(NUM) if ages[i] in (16, 39)],
        "40 to 64 years": [i for i in range(NUM) if ages[i] in (40, 64)],
        "asian": list(range(1, NUM, 2)),
    }
    assert list(groups) == ["women", "men", "16 to 39 years", "40 to 64 years", "asian"]


def test_groups_are_not_formed_of_few_photos_or_without_captions() -> None:
    captions = {photo_id: "a photo of a woman" for photo_id in IDS[: MIN_PHOTOS - 1]}
    assert groups_of_people(captions, IDS) == {}
    captions[IDS[-1]] = "a girl"
    assert groups_of_people(captions, IDS) == {"women": [*range(MIN_PHOTOS - 1), NUM - 1]}
    assert groups_of_people({}, IDS) == {}
    assert groups_of_people(dict.fromkeys(IDS, "a cat"), IDS) == {}


def test_a_group_has_the_interval_of_its_photos() -> None:
    values = np.random.default_rng(0).normal(size=NUM).tolist()
    one = result("lora-r4", values)
    found = estimate_of_group(EvalResults([one], []), one, "likeness_raw", range(8))
    assert found == bootstrap_mean(values[:8])
    hits = [float(i % 3 == 0) for i in range(NUM)]
    share = result("lora-r4", hits, "likeness_top1_raw")
    found = estimate_of_group(EvalResults([share], []), share, "likeness_top1_raw", range(8))
    assert found == proportion(hits[:8])
    assert estimate_of_group(EvalResults([one], []), one, "kid_persona_raw", range(8)) is None


def test_several_training_seeds_are_averaged_per_photo() -> None:
    low, high = result("a", [0.0] * NUM), result("b", [float(i) for i in range(NUM)])
    both = replace(low, variant="lora-r4", per_photo={}, members=["a", "b"])
    found = estimate_of_group(EvalResults([low, high], [], groups=[both]), both, "likeness_raw", range(10))
    assert found == bootstrap_mean([i / 2 for i in range(10)])
    assert found is not None
    assert found.mean == pytest.approx(2.25)
