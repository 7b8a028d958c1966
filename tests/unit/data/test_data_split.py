import random
from collections import Counter
from operator import ne

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.data.prepared import SPLITS, Split
from sweep.data.splitting.serving import serve_all
from sweep.data.splitting.stratified import stratified_split

RATIOS: dict[Split, float] = {"train": 0.7, "val": 0.2, "test": 0.1}


def make_labels(count: int) -> list[set[int]]:
    """One frequent class, one in three, one in ten, and one with twelve images."""
    draw = random.Random(1)
    labels = [
        {0} | ({1} if draw.random() < 0.3 else set()) | ({2} if draw.random() < 0.1 else set())
        for _ in range(count)
    ]
    for index in range(0, count, count // 12):
        labels[index].add(3)
    return labels


def test_is_the_same_for_ever() -> None:
    keys = [str(index) for index in range(12)]
    labels = [{index % 3} for index in range(12)]
    assert (
        "".join(split[1] for split in stratified_split(keys, labels, RATIOS, 0)) == "rararrrrarrr"
    )


def test_seeds_differ_and_order_does_not_matter() -> None:
    keys = [str(index) for index in range(120)]
    labels = make_labels(120)
    split = stratified_split(keys, labels, RATIOS, 0)
    assert split != stratified_split(keys, labels, RATIOS, 1)
    assert split[::-1] == stratified_split(keys[::-1], labels[::-1], RATIOS, 0)


def test_every_class_is_spread_by_the_ratios() -> None:
    labels = make_labels(600)
    splits = stratified_split([str(index) for index in range(600)], labels, RATIOS, 3)
    for label in range(4):
        found = Counter(split for split, has in zip(splits, labels, strict=True) if label in has)
        for split in SPLITS:
            assert found[split] == pytest.approx(RATIOS[split] * found.total(), abs=2.5)
    sizes = Counter(splits)
    for split in SPLITS:
        assert sizes[split] == pytest.approx(RATIOS[split] * 600, abs=12)


def test_images_without_boxes_are_spread_too() -> None:
    labels: list[set[int]] = [{0} if index < 100 else set() for index in range(150)]
    splits = stratified_split([str(index) for index in range(150)], labels, RATIOS, 0)
    assert Counter(splits[100:]) == {"train": 35, "val": 10, "test": 5}


def test_a_split_of_ratio_zero_stays_empty() -> None:
    ratios: dict[Split, float] = {"train": 0.8, "val": 0.2, "test": 0}
    splits = stratified_split([str(index) for index in range(50)], [{0}] * 50, ratios, 0)
    assert Counter(splits) == {"train": 40, "val": 10}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 20), st.frozensets(st.integers(0, 4))), min_size=1, max_size=60
    ),
    st.integers(0, 5),
)
def test_equal_images_stay_together(images: list[tuple[int, frozenset[int]]], seed: int) -> None:
    keys = [str(key) for key, _ in images]
    splits = stratified_split(keys, [labels for _, labels in images], RATIOS, seed)
    assert len(set(zip(keys, splits, strict=True))) == len(set(keys))


def test_a_large_group_comes_first_if_asked_for() -> None:
    sizes = [500, 100, 50, 30, *[20] * 16]
    keys = [str(group) for group, size in enumerate(sizes) for _ in range(size)]
    splits = stratified_split(keys, [{0}] * 1000, RATIOS, 0, large_first=True)
    assert Counter(splits) == {"train": 700, "val": 200, "test": 100}


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=3, max_size=12), st.integers(0, 3), st.booleans())
def test_no_split_is_left_empty_where_there_are_groups_enough(
    sizes: list[int], seed: int, large_first: bool
) -> None:
    keys = [str(group) for group, size in enumerate(sizes) for _ in range(size)]
    labels = [{int(key)} for key in keys]  # of each class there is one group
    splits = stratified_split(keys, labels, RATIOS, seed, large_first=large_first)
    splits = serve_all(splits, keys, labels, RATIOS, seed)
    assert {split for split in SPLITS if len(keys) * RATIOS[split] >= 1} <= set(splits)
    assert len(set(zip(keys, splits, strict=True))) == len(sizes)


def test_train_and_val_get_boxes_before_test_does() -> None:
    for seed in range(5):
        labels: list[set[int]] = [set() for _ in range(38)] + [{0}, {0}]
        keys = [str(index) for index in range(40)]
        splits = stratified_split(keys, labels, RATIOS, seed)
        served = serve_all(splits, keys, labels, RATIOS, seed)
        assert set(served[38:]) == {"train", "val"}
        assert sum(map(ne, served, splits)) <= 1
