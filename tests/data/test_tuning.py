import pickle

import pytest

from pixelpersona.assets.locate import path as asset
from pixelpersona.data.sources import FolderSource
from pixelpersona.data.tuning import TuningSource


def test_the_heldout_photos_are_not_touched_and_some_training_photos_take_their_place() -> None:
    source = FolderSource(asset("portraits"))
    tuning = TuningSource(source, 32)
    train = [photo_id for photo_id in source.ids() if source.split(photo_id) == "train"]
    assert tuning.ids() == train
    heldout = [photo_id for photo_id in tuning.ids() if tuning.split(photo_id) == "heldout"]
    assert len(heldout) == 32
    rest = [tuning.digest(photo_id) for photo_id in train if tuning.split(photo_id) == "train"]
    assert max(tuning.digest(photo_id) for photo_id in heldout) < min(rest)
    assert tuning.split_is_given
    assert tuning.caption(train[0]) == source.caption(train[0])
    assert tuning.open(train[0]).tobytes() == source.open(train[0]).tobytes()
    assert pickle.loads(pickle.dumps(tuning)).split(heldout[0]) == "heldout"


@pytest.mark.parametrize("num", [0, -1, 192])
def test_some_are_left_to_train_on(num: int) -> None:
    with pytest.raises(ValueError, match=rf"dataset.num_tuning={num}: accepted 1 to 191; portraits has 192"):
        TuningSource(FolderSource(asset("portraits")), num)
