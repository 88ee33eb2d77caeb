"""An evaluation, runs and a trade-off with known verdicts, shared by all tests: do not modify them."""

import numpy as np
import pytest

from pixelpersona.evaluation.intervals import Estimate, bootstrap_mean, paired_difference
from pixelpersona.evaluation.result import Difference, EvalResult, EvalResults
from pixelpersona.evaluation.tradeoff import Setting, Tradeoff
from pixelpersona.runs.reading import RunRecord

NUM_PHOTOS = 32
# grid contrast and likeness of each variant, before snapping
LEVELS = {"photo": (0.04, 1.0), "base": (0.12, 0.62), "lora-r4": (0.60, 0.62), "lora-r8": (0.65, 0.50)}


@pytest.fixture(scope="session")
def results() -> EvalResults:
    """Both LoRAs draw clearer pixel art than the base; rank 4 keeps the likeness, rank 8 loses some."""
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 0.1, NUM_PHOTOS)
    variants = []
    for index, (name, (grid, like)) in enumerate(LEVELS.items()):
        noise = rng.normal(0, 0.04, (2, NUM_PHOTOS))
        noise -= noise.mean(axis=1, keepdims=True)  # so that the means are exactly the levels
        per_photo = {
            "grid_contrast_raw": (grid + noise[0]).tolist(),
            "likeness_raw": (like + shared + noise[1]).tolist(),
            "grid_contrast_snapped": [1.0] * NUM_PHOTOS,
        }
        metrics = {key: bootstrap_mean(values) for key, values in per_photo.items()}
        metrics["kid_persona_raw"] = Estimate(0.5 / (index + 1), 0.45 / (index + 1), 0.55 / (index + 1))
        if name != "photo":
            metrics["noise_loss"] = Estimate(0.1 - index / 100, 0.09 - index / 100, 0.11 - index / 100)
        variants.append(
            EvalResult(
                variant=name,
                metrics=metrics,
                per_photo=per_photo,
                photo_ids=[f"p{i}" for i in range(NUM_PHOTOS)],
                seeds=[7] * NUM_PHOTOS,
                base_sha256="b" * 64,
                adapter_sha256=str(index) * 64 if name.startswith("lora") else None,
                features_sha256="f" * 64,
                num_parameters=50_176 if name.startswith("lora") else 0,
            )
        )
    base, lora = variants[1], variants[2]
    known = paired_difference(lora.per_photo["likeness_raw"], base.per_photo["likeness_raw"])
    settings: dict[str, object] = {"prompt": "pixel art", "sampler": {"num_steps": 12, "guidance": 3.0}}
    return EvalResults(variants, [Difference("lora-r4", "base", "likeness_raw", known)], settings)


@pytest.fixture(scope="session")
def runs() -> list[RunRecord]:
    steps = range(1, 61)
    lora = [
        RunRecord(
            id=f"lora-r{rank}",
            overrides=[f"lora.rank={rank}"],
            config={"method": {"kind": "lora"}},
            curves={
                "train/loss": [(s, 0.12 / s) for s in steps],
                "train/grad_norm": [(s, 1.0) for s in steps],
                "train/lr/lora": [(s, 1e-3) for s in steps],
                "val/loss": [(s, 0.1) for s in steps[::20]],
                "eval/kid_persona": [(s, 0.3) for s in steps[::20]],
            },
            git={"commit": "c" * 40, "dirty": True},
        )
        for rank in (4, 8)
    ]
    supervised = RunRecord(
        "supervised",
        ["method=supervised"],
        {"method": {"kind": "supervised"}},
        {"train/loss": [(1, 9.0), (2, 8.0)]},
    )
    return [*lora, supervised]


@pytest.fixture(scope="session")
def tradeoff() -> Tradeoff:
    """Rank 4 counts as pixel art at strength 0.6, the base never; guidance 4 is worse in both metrics."""
    means = {
        ("base", 0.3): (0.10, 0.90), ("base", 0.6): (0.20, 0.80),
        ("lora-r4", 0.3): (0.30, 0.85), ("lora-r4", 0.6): (0.50, 0.75),
    }  # fmt: skip
    spread = np.linspace(-0.03, 0.03, 8)
    settings = [
        Setting(
            variant,
            strength,
            guidance,
            None,
            (style - guidance / 50 + spread).tolist(),
            (like - guidance / 50 + spread[::-1]).tolist(),
            sampler="dpm-20",
            num_passes=int(20 * strength) * (1 if guidance == 1.0 else 2),
        )
        for (variant, strength), (style, like) in means.items()
        for guidance in (1.0, 4.0)
    ]
    photos = [f"p{i}" for i in range(8)]
    return Tradeoff(settings, [0.8] * 8, photos, list(range(8)), "b" * 64, "f" * 64)
