"""Postprocessing: few, distinct colours on a grid, and features from the photo."""

import dataclasses

import numpy as np
import pytest

from pixelpersona.pixel.cleanup import orphans, remove_orphans
from pixelpersona.pixel.grid import Grid
from pixelpersona.pixel.palette import perceptual
from pixelpersona.pixel.postprocess import Postprocess
from pixelpersona.pixel.score import structure
from tests.pixel.snapping import FACE, snap


def test_the_defaults_only_snap() -> None:
    plain, grid = Postprocess().apply(FACE, 4), Grid.of(128, 128, 4)
    assert np.array_equal(plain.image(), snap(FACE, grid).image())


def test_colours_are_distinct_and_no_cell_is_isolated() -> None:
    snapped = Postprocess(min_distance=0.07, cleanup=True, levels=0.5, saturation=1.2).apply(FACE, 4)
    assert len(snapped.palette) < len(Postprocess().apply(FACE, 4).palette) == 16
    points = perceptual(snapped.palette.rgb / 255.0)
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)[~np.eye(len(points), dtype=bool)]
    assert distance.min() > 0.065  # min_distance, less the rounding to 8 bits
    assert np.array_equal(remove_orphans(snapped.indices, snapped.palette), snapped.indices)
    plain = Postprocess(min_distance=0.07).apply(FACE, 4)
    assert orphans(snapped.indices).sum() < orphans(plain.indices).sum()


def test_detail_restores_features_that_the_drawing_lost() -> None:
    lost = np.ascontiguousarray(np.repeat(np.repeat(FACE[::16, ::16], 16, axis=0), 16, axis=1))
    grid = Grid.of(128, 128, 4)
    plain, detailed = Postprocess().apply(lost, 4, FACE), Postprocess(detail=1.0).apply(lost, 4, FACE)
    for snapped in (plain, detailed):
        assert len(snapped.palette) <= 16
    assert structure(FACE, detailed.image(), grid) > structure(FACE, plain.image(), grid) + 0.1
    with pytest.raises(ValueError, match=r"postprocess\.detail=1\.0: accepted 0 without a photo"):
        Postprocess(detail=1.0).apply(lost, 4)
    assert np.array_equal(plain.cells, Postprocess().apply(lost, 4).cells)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_colors", 1),
        ("num_colors", 257),
        ("detail", -0.1),
        ("detail", 4.5),
        ("levels", -0.1),
        ("levels", 1.1),
        ("local_contrast", float("inf")),
        ("coherence", 2.0),
        ("saturation", 5.0),
        ("min_distance", 1.5),
        ("min_distance", float("nan")),
    ],
)
def test_values_out_of_range_are_named(key: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"postprocess\.{key}={value}"):
        dataclasses.replace(Postprocess(), **{key: value})
