"""Which image goes to training, validation and test.

Iterative stratification: Sechidis, Tsoumakas, Vlahavas, "On the Stratification of Multi-Label
Data", ECML PKDD 2011, algorithm 1. The rarest class is shared out first, each of its images to the
split that lacks most of it.

No random generator is used: order and ties follow SHA-256 of seed and key, so the split is the same
on every machine and with every version of every library, and does not depend on the images' order.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction
from itertools import chain

from sweep.data.prepared import SPLITS, Split

_NO_CLASS = -1
"""Stands for the class of images without a box, so that they are spread as well."""


def stratified_split(
    keys: Sequence[str],
    labels: Sequence[Collection[int]],
    ratios: Mapping[Split, float],
    seed: int,
    *,
    large_first: bool = False,
) -> list[Split]:
    """Assign every image to a split.

    Args:
        keys: What each image holds, such as a hash of its bytes; images with equal keys stay
            together.
        labels: The classes in each image, any order.
        ratios: Share of each split; they need not sum to exactly 1.
        seed: Another seed, another split.
        large_first: Whether of the images with a class those that are many together come first.

    Returns:
        The split of each image, in the order of `keys`.
    """
    shares = {split: Fraction(str(ratios[split])) for split in SPLITS if ratios[split] > 0}
    whole = sum(shares.values())
    groups: dict[str, list[frozenset[int]]] = defaultdict(list)
    carriers: dict[int, set[str]] = defaultdict(set)  # class -> keys that are not assigned yet
    totals = Counter[int]()
    for key, found in zip(keys, labels, strict=True):
        member = frozenset(found) or frozenset({_NO_CLASS})
        groups[key].append(member)
        totals.update(member)
        for label in member:
            carriers[label].add(key)
    lacking = {
        split: {label: total * share / whole for label, total in totals.items()}
        for split, share in shares.items()
    }
    room = {split: len(keys) * share / whole for split, share in shares.items()}

    assigned: dict[str, Split] = {}
    while carriers:
        rarest = min(carriers, key=lambda label: (len(carriers[label]), label))
        for key in sorted(
            carriers[rarest],
            key=lambda key: (-len(groups[key]) if large_first else 0, draw(seed, key)),
        ):
            split = max(
                shares,
                key=lambda split: (lacking[split][rarest], room[split], draw(seed, key, split)),
            )
            assigned[key] = split
            room[split] -= len(groups[key])
            for label in chain.from_iterable(groups[key]):
                lacking[split][label] -= 1
                carriers[label].discard(key)
        carriers = {label: left for label, left in carriers.items() if left}
    return [assigned[key] for key in keys]


def draw(seed: int, *parts: str) -> bytes:
    """Return what stands for a random number of a seed and a key."""
    return hashlib.sha256("/".join((str(seed), *parts)).encode()).digest()
