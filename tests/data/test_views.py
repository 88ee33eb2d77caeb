import numpy as np
import pytest
import torch

from pixelpersona.data.attributes import Attributes
from pixelpersona.data.views import UNKNOWN, ViewBatch, ViewBatches

NUM, SIZE, CELLS = 12, 32, 8


def make(seed: int = 0, batch_size: int = 6) -> ViewBatches:
    """Photos of one grey each and their drawings; every person has a different age."""
    greys = np.linspace(40, 200, NUM).astype(np.uint8)
    photos = np.broadcast_to(greys[:, None, None, None], (NUM, SIZE, SIZE, 3)).copy()
    photos[:, 8:24, 12:20] += 40  # a feature inside the face
    drawings = photos[:, None, ::4, ::4].repeat(2, axis=1)
    people = [Attributes(age, "male" if age % 2 else "female", "asian") for age in range(NUM - 1)]
    return ViewBatches(
        photos,
        drawings,
        [*people, Attributes()],
        genders=("female", "male"),
        ethnicities=("white", "asian"),
        batch_size=batch_size,
        seed=seed,
    )


def batches_of_an_epoch(batches: ViewBatches) -> list[ViewBatch]:
    return [batches.at(step) for step in range(NUM // batches.batch_size)]


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    first, again, other = make().at(3), make().at(3), make(seed=1).at(3)
    assert torch.equal(first.views, again.views)
    assert torch.equal(first.gender, again.gender)
    assert not torch.equal(first.views, other.views)
    assert not torch.equal(first.views, make().at(4).views)


def test_there_are_two_different_views_per_person_in_range() -> None:
    batch = make().at(0)
    assert batch.views.shape == (12, 3, SIZE, SIZE)
    assert batch.views.dtype == torch.float32
    assert batch.views.min() >= -1
    assert batch.views.max() <= 1
    assert not torch.equal(batch.views[:6], batch.views[6:])


def test_an_epoch_shows_every_person_once_with_the_right_labels() -> None:
    batches = batches_of_an_epoch(make())
    ages = torch.cat([batch.age for batch in batches])
    assert sorted(ages[~ages.isnan()].tolist()) == list(range(NUM - 1))
    for batch in batches:
        known = ~batch.age.isnan()
        assert torch.equal(batch.gender[known], (batch.age[known] % 2).long())
        assert (batch.ethnicity[known] == 1).all()
        assert (batch.gender[~known] == UNKNOWN).all()
        assert (batch.ethnicity[~known] == UNKNOWN).all()


def test_most_second_views_consist_of_flat_cells() -> None:
    """Without noise and blur, cropping keeps the cells of a drawing flat and on the grid."""
    flat = []
    for step in range(20):
        second = make(batch_size=12).at(step).views[12:]
        cells = second.reshape(12, 3, CELLS, 4, CELLS, 4)
        flat += (cells.amax(dim=(3, 5)) - cells.amin(dim=(3, 5))).amax(dim=(1, 2, 3)).lt(1e-5).tolist()
    assert 0.25 < np.mean(flat) < 0.75


def test_lists_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="12 photos, 12 drawings, 1 attributes"):
        ViewBatches(
            np.zeros((12, 8, 8, 3), np.uint8),
            np.zeros((12, 1, 2, 2, 3), np.uint8),
            [Attributes()],
            genders=(),
            ethnicities=(),
            batch_size=2,
            seed=0,
        )
