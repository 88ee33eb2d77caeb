"""The finish: clearer colours of the same hue, then exactly a grid with few, distinct colours."""

import dataclasses

import numpy as np
import pytest
from skimage.data import astronaut

from pixelpersona.pixel.cleanup import orphans, remove_orphans
from pixelpersona.pixel.finish import Finish
from pixelpersona.pixel.grid import Grid
from pixelpersona.pixel.palette import perceptual
from pixelpersona.pixel.score import edge_agreement
from pixelpersona.pixel.snap import snap

FACE = np.ascontiguousarray(astronaut()[:256:2, 96:352:2])


def test_without_any_setting_it_is_plain_snapping() -> None:
    plain, grid = Finish().apply(FACE, 4), Grid.of(128, 128, 4)
    assert np.array_equal(plain.image(), snap(FACE, grid, 16).image())


def test_colours_are_few_and_distinct_and_no_cell_is_stray() -> None:
    snapped = Finish(min_distance=0.07, cleanup=True, levels=0.5, saturation=1.2).apply(FACE, 4)
    assert len(snapped.palette) < len(Finish().apply(FACE, 4).palette) == 16
    points = perceptual(snapped.palette.rgb / 255.0)
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)[~np.eye(len(points), dtype=bool)]
    assert distance.min() > 0.065  # the limit, less the rounding to 8 bits
    stray = orphans(snapped.indices)
    assert np.array_equal(remove_orphans(snapped.indices, snapped.palette), snapped.indices)
    assert stray.sum() < orphans(Finish(min_distance=0.07).apply(FACE, 4).indices).sum()


def test_the_finish_brings_back_features_that_the_drawing_lost() -> None:
    lost = np.ascontiguousarray(np.repeat(np.repeat(FACE[::16, ::16], 16, axis=0), 16, axis=1))
    grid = Grid.of(128, 128, 4)
    plain, finished = Finish().apply(lost, 4, FACE), Finish(detail=1.0).apply(lost, 4, FACE)
    for snapped in (plain, finished):
        assert len(snapped.palette) <= 16
    assert edge_agreement(FACE, finished.image(), grid) > edge_agreement(FACE, plain.image(), grid) + 0.1
    with pytest.raises(ValueError, match=r"finish\.detail=1\.0 needs the photo"):
        Finish(detail=1.0).apply(lost, 4)
    assert np.array_equal(plain.cells, Finish().apply(lost, 4).cells)  # without detail the photo is not used


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
    with pytest.raises(ValueError, match=rf"finish\.{key}={value}"):
        dataclasses.replace(Finish(), **{key: value})
