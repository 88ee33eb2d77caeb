"""Which photos become val and test photos."""

import hashlib

import pytest

from pixelpersona.data.splits import SplitShares, decide_splits

DIGESTS = [hashlib.sha256(f"photo {i}".encode()).hexdigest() for i in range(600)]


def fraction(digest: str) -> float:
    return int(digest, 16) / 2**256


def test_hashes_give_test_then_val_their_shares() -> None:
    splits = decide_splits([None] * 600, DIGESTS, range(600), set(), SplitShares(val=0.2, test=0.1))
    for digest, split in zip(DIGESTS, splits, strict=True):
        expected = "test" if fraction(digest) < 0.1 else "val" if fraction(digest) < 0.3 else "train"
        assert split == expected
    assert 30 < splits.count("test") < 90  # 60, 4 standard deviations of 7
    assert 80 < splits.count("val") < 160
    # Adding photos changes no split, and copies share one.
    more = decide_splits([None] * 601, [*DIGESTS, DIGESTS[7]], [*range(600), 7], set(), SplitShares(0.2, 0.1))
    assert more == [*splits, splits[7]]


@pytest.mark.parametrize(
    ("given", "missing"), [(("train", "test"), "val"), (("train", "val"), "test"), ((None, "test"), "val")]
)
def test_a_missing_split_is_taken_from_train_photos_alone(given: tuple[str, str], missing: str) -> None:
    splits = [given[index % 2] for index in range(600)]
    defined = set(given) - {None}
    found = decide_splits(splits, DIGESTS, range(600), defined, SplitShares(val=0.1, test=0.1))
    assert found[1::2] == splits[1::2]
    for digest, split in zip(DIGESTS[::2], found[::2], strict=True):
        assert split == (missing if fraction(digest) < 0.1 else "train")


def test_where_all_splits_are_defined_photos_without_one_are_train_photos() -> None:
    given = ["train", "val", "test", None] * 150
    found = decide_splits(
        given, DIGESTS, range(600), {"train", "val", "test"}, SplitShares(val=0.4, test=0.4)
    )
    assert found == ["train", "val", "test", "train"] * 150


@pytest.mark.parametrize(
    ("num", "defined", "expected"),
    [
        (1, set(), ["train"]),
        (2, set(), ["val", "train"]),
        (3, set(), ["test", "val", "train"]),
        (4, set(), ["test", "val", "train", "train"]),
        (2, {"test"}, ["val", "train"]),
        (2, {"val"}, ["test", "train"]),
        (1, {"val"}, ["train"]),
        (0, {"test"}, []),
    ],
)
def test_few_photos_in_the_order_of_their_hashes(num: int, defined: set[str], expected: list[str]) -> None:
    digests = sorted(DIGESTS)[-num:] if num else []  # all above the shares
    assert (
        decide_splits([None] * num, digests, range(num), defined, SplitShares(val=0.1, test=0.1)) == expected
    )
    lowest = sorted(DIGESTS)[:num]  # all below the share of test
    assert (
        decide_splits([None] * num, lowest, range(num), defined, SplitShares(val=0.1, test=0.1))[-1:]
        == expected[-1:]
    )


def test_two_copies_of_three_photos_share_a_split() -> None:
    splits = decide_splits([None] * 3, DIGESTS[:3], [0, 1, 0], set(), SplitShares(0.1, 0.1))
    assert splits[0] == splits[2]
    assert sorted(set(splits)) == ["train", "val"]


def test_a_share_of_0_takes_nothing() -> None:
    assert decide_splits([None] * 3, DIGESTS[:3], range(3), set(), SplitShares(0, 0)) == ["train"] * 3
    splits = decide_splits([None] * 3, DIGESTS[:3], range(3), set(), SplitShares(val=0.1, test=0))
    assert sorted(splits) == ["train", "train", "val"]


@pytest.mark.parametrize("shares", [(-0.1, 0.1), (0.1, -0.1), (0.5, 0.5), (float("nan"), 0.1)])
def test_shares_that_leave_nothing_to_train_on_are_named(shares: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=r"dataset\.val_share=.*test_share=.*: accepted 0 or more"):
        SplitShares(*shares)


def test_the_smallest_hash_of_a_group_decides() -> None:
    lowest, highest = min(DIGESTS), max(DIGESTS)
    digests, groups = [highest, *DIGESTS[:20], lowest], [0, *range(1, 21), 0]
    splits = decide_splits([None] * 22, digests, groups, set(), SplitShares(0.1, 0.1))
    assert splits[0] == splits[-1] == "test"
    # A copy that the data set itself has put elsewhere does not move.
    splits = decide_splits([*[None] * 21, "val"], digests, groups, {"val"}, SplitShares(0.1, 0.0))
    assert (splits[0], splits[-1]) == ("train", "val")
