"""Sees to it that no split goes without images, or without boxes to train and validate on.

Images that stay together may be so many that what is dealt out by class leaves a split with none.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence

from sweep.data.prepared import SPLITS, Split
from sweep.data.splitting.stratified import draw


def serve_all(
    splits: Sequence[Split],
    keys: Sequence[str],
    labels: Sequence[Collection[int]],
    ratios: Mapping[Split, float],
    seed: int,
) -> list[Split]:
    """Return the splits, where each that lacks something gets the smallest group others can spare.

    A split whose share is less than one image may go without. So may one that no other can spare a
    group for.

    Args:
        splits: Of each image.
        keys: Images with equal keys are a group and stay together.
        labels: The classes in each image.
        ratios: Share of each split.
        seed: Of the split; decides between groups of one size.
    """
    assigned = dict(zip(keys, splits, strict=True))
    sizes = Counter(keys)
    boxes: dict[str, int] = defaultdict(int)
    for key, found in zip(keys, labels, strict=True):
        boxes[key] += len(found)

    def serves(key: str, split: Split) -> bool:
        return split == "test" or boxes[key] > 0

    serving = Counter(split for key, split in assigned.items() if serves(key, split))
    for split in SPLITS:
        if serving[split] or len(keys) * ratios[split] < 1:
            continue
        spare = [
            key
            for key, own in assigned.items()
            if serves(key, split) and (serving[own] > 1 or not serves(key, own))
        ]
        if spare:
            key = min(spare, key=lambda key: (sizes[key], draw(seed, key)))
            serving[assigned[key]] -= serves(key, assigned[key])
            serving[split] += 1
            assigned[key] = split
    return [assigned[key] for key in keys]
