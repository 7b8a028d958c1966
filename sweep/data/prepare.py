"""From a dataset file to a prepared dataset, whole or not at all."""

import os
import shutil
from collections.abc import Sequence
from itertools import compress
from pathlib import Path

from sweep.data.cleaning import CleanDataset, clean_source, read_clean
from sweep.data.dataset_file import CocoSource, DatasetSpec
from sweep.data.packing.digests import CACHE, digests_of
from sweep.data.packing.drawing import draw_images
from sweep.data.packing.fingerprint import fingerprint
from sweep.data.packing.folder import Plan, write_folder
from sweep.data.prepared import PreparedDataset
from sweep.data.preview.page import preview
from sweep.data.preview.report import report
from sweep.data.reading.acquire import Progress, fetch_annotations, fetch_images
from sweep.data.reading.file_names import nearest_file
from sweep.data.splitting.assign import assign_splits, refuse_shared
from sweep.data.splitting.similar import similar_groups
from sweep.errors import InputError, SweepError
from sweep.files.atomic_write import sync_folder, write_file, write_json
from sweep.files.lock import HOURS_S, lock

_PARTIAL = ".partial"
_LOCK = ".lock"


def prepare(spec: DatasetSpec, out: Path, progress: Progress | None = None) -> PreparedDataset:
    """Fetch, read, mend, split and resize a dataset into `out/<name>-<fingerprint, 12 digits>`.

    A folder that is there is returned at once. A new one gets its name only when everything in it
    is on the disk, so a folder of that name is always whole. One process writes below `out` at a
    time, others wait; what killed ones left behind is removed.

    Args:
        spec: The dataset file.
        out: Folder of prepared datasets; made if missing.
        progress: Called in this thread.

    Raises:
        InputError: If the dataset file, its source or an image is wrong, or an image is missing.
        SweepError: If a file could not be fetched, `out` cannot be written, or another process
            prepares there and was stopped.
    """
    show = progress or (lambda task, done, total: None)
    fetch_annotations(spec, show)
    clean = read_clean(spec)
    had = fetch_images(spec, clean.source, show)
    if had is not clean.source:
        clean = clean_source(spec, had)
    _refuse_missing(spec, clean)
    digests = digests_of(clean.source.images, out.absolute())
    hashed = fingerprint(spec, clean, digests)
    folder = out.absolute() / f"{spec.name}-{hashed[:12]}"
    if folder.exists():
        return _whole(folder, hashed)
    # What cannot be split is refused before the work.
    assign_splits(spec, clean, digests)
    if spec.split is None:
        refuse_shared(spec, clean, digests)
    try:
        with lock(folder.parent / _LOCK, within_s=HOURS_S):
            if not folder.exists():
                _write_whole(spec, clean, digests, hashed=hashed, folder=folder, show=show)
    except OSError as error:
        raise SweepError(f"{folder}: cannot be written: {error.strerror or error}") from error
    return _whole(folder, hashed)


def _refuse_missing(spec: DatasetSpec, clean: CleanDataset) -> None:
    images = clean.source.images
    absent = [image for image in images if image.path and not image.path.exists()]
    if not absent:
        return
    missing = [image.name for image in absent]
    mend = "put them there"
    if isinstance(spec.source, CocoSource):
        near = nearest_file(missing[0], spec.source.images)
        mend = f"put them into {spec.source.images}{near}"
    if any(image.path and image.path.is_symlink() for image in absent):
        mend += "; some are links to what is not here: `dvc pull` or `git annex get` fetches it"
    raise InputError(
        f"{spec.file}: source: {len(missing)} of {len(images)} images are missing "
        f"({', '.join(missing[:3])}{', …' if len(missing) > 3 else ''}); {mend}"
    )


def _whole(folder: Path, hashed: str) -> PreparedDataset:
    try:
        dataset = PreparedDataset.load(folder)
    except InputError as error:
        raise InputError(f"{folder}: was changed by hand; delete it and prepare again") from error
    if dataset.fingerprint != hashed:
        raise InputError(f"{folder}: holds another dataset; delete it and prepare again")
    return dataset


def _write_whole(
    spec: DatasetSpec,
    clean: CleanDataset,
    digests: Sequence[str],
    *,
    hashed: str,
    folder: Path,
    show: Progress,
) -> None:
    """Write `folder` under another name, then rename it. The caller is the only writer."""
    for leftover in folder.parent.glob(f".*{_PARTIAL}"):
        shutil.rmtree(leftover)
    for unfinished in folder.parent.glob(f"{CACHE}.*"):
        unfinished.unlink(missing_ok=True)  # if its process lives, it does without
    partial = folder.with_name(f".{folder.name}{_PARTIAL}")
    drawn = partial / "drawn"
    try:
        drawn.mkdir(parents=True)
        images, damaged = draw_images(
            spec,
            clean,
            digests,
            drawn,
            lambda done, total: show("preparing the dataset", done, total),
        )
        if damaged:
            names = [image.name for image in clean.source.images]
            kept = [name not in damaged for name in names]
            digests = list(compress(digests, kept))
            clean = clean_source(spec, clean.source.without(damaged))
        similar = similar_groups([image.look for image in images])
        plan = Plan(
            spec=spec,
            clean=clean,
            images=images,
            splits=assign_splits(spec, clean, digests, similar),
            similar=similar,
            fingerprint=hashed,
        )
        _write(plan, drawn, partial)
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    sync_folder(folder.parent)


def _write(plan: Plan, drawn: Path, folder: Path) -> None:
    dataset = plan.dataset(folder)
    write_folder(plan, drawn, dataset)
    drawn.rmdir()
    write_json(dataset.report, report(plan, dataset), indent=2)
    write_file(dataset.preview, preview(plan, dataset).encode())
    for parent, _, _ in os.walk(folder):
        sync_folder(Path(parent))
