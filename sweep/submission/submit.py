"""From a sweep file to a queued sweep."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from storage.database import Database
from storage.errors import SweepNotFound
from storage.queue import sweeps
from storage.queue.stages import NewStage
from storage.states import SweepState
from storage.urls import is_missing
from sweep import paths
from sweep.errors import InputError
from sweep.files.atomic_write import write_file
from sweep.spec.sweep_file import SweepSpec, differences
from sweep.stages.plan import ensure_study, planned_stages
from sweep.submission.checks import SplitCounts, check_counts, check_files, enlarging, model_path
from sweep.submission.deleting import delete
from sweep.submission.disk import DiskNeed, check_disk, disk_need
from sweep.training import registry
from sweep.worker.restore import restore

if TYPE_CHECKING:  # a sweep that is done needs neither images nor weights
    from sweep.data.dataset_file import DatasetSpec
    from sweep.data.prepared import PreparedDataset
    from sweep.data.summary import DatasetSummary
    from sweep.training.ultralytics.pretrained import ResolvedModel

Progress = Callable[[str, int, int | None], None]
"""Told what is being done, how far it is, and how far it goes (None: not known)."""


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """A sweep that is queued now."""

    database: Database
    new: bool
    """Whether it was not there before."""
    done: bool
    """Whether nothing is left to do."""
    need: DiskNeed | None = None
    """What a new one will write; None where its trainer is not built in."""


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What was found while a sweep was checked."""

    dataset: "DatasetSummary | None"
    """None where the trainer needs no dataset, or its source is not there yet."""
    missing: str | None
    """The dataset's source, where it is not there yet."""
    need: DiskNeed | None
    """None where the trainer is not built in."""
    note: str
    """What is right, but hardly meant; empty if nothing is."""


def load(file: Path) -> SweepSpec:
    """Read a sweep file and check what it names besides the dataset's images.

    Raises:
        InputError: If anything in it is wrong.
    """
    spec = SweepSpec.load(file)
    _check_trainer(spec, file)
    return spec


def _check_trainer(spec: SweepSpec, file: Path) -> None:
    try:
        registry.check(spec.trainer)
    except InputError as error:
        raise InputError(f"{file}: trainer: {error}") from error


def dataset_spec(spec: SweepSpec, file: Path) -> "DatasetSpec | None":
    """Read the dataset file or `data.yaml` that a sweep file names; None where it names none.

    Images are resized to the sweep's `imgsz` where the dataset file names no size.

    Raises:
        InputError: If it is not there, or anything in it is wrong.
    """
    from sweep.data.dataset_file import DatasetSpec

    path = spec.dataset_file(file)
    if path is None:
        return None
    if not path.exists():
        raise InputError(f"{file}: dataset: {path} does not exist; paths are relative to this file")
    return DatasetSpec.load(path, size_px=spec.image_size_px)


def check(spec: SweepSpec, file: Path) -> Checked:
    """Check all that can be known of a sweep before its images are read.

    Raises:
        InputError: If the model, the dataset, what they hold or the disk does not fit the sweep.
    """
    _check_trainer(spec, file)  # a spec that a program made was not loaded
    _check_names(spec, file)
    dataset = dataset_spec(spec, file)
    check_files(spec, file, dataset)
    missing = None if dataset is None else _missing_source(dataset)
    summary = None
    if dataset is not None and missing is None:
        from sweep.data.summary import check as summarise

        summary = summarise(dataset)
        check_counts(spec, file, SplitCounts.of_summary(summary))
    need = disk_need(spec, file, dataset, 0 if summary is None else summary.images)
    if need is not None:
        check_disk(file, need)
    return Checked(dataset=summary, missing=missing, need=need, note=enlarging(spec, dataset))


def _check_names(spec: SweepSpec, file: Path) -> None:
    """Refuse places that the database could not keep."""
    for place in (str(paths.RUNS.resolve()), model_path(spec, file)):
        try:
            place.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"{file}: {place} has a name that is not UTF-8, and a database keeps no other; "
                "rename the folder, or work in another"
            ) from error


def _missing_source(dataset: "DatasetSpec") -> str | None:
    from sweep.data.dataset_file import CocoSource, SyntheticSource, YoloSource

    match dataset.source:
        case CocoSource(coco=path) | YoloSource(yolo=path):
            return None if path.exists() else str(path)
        case SyntheticSource():
            return None


def submit(storage: str, spec: SweepSpec, file: Path, *, progress: Progress) -> Submitted:
    """Queue a sweep; the same one again changes nothing.

    Prepares the dataset and fetches the weights where they are missing. A database that is not
    there yet is made last, so that wrong input leaves none behind.

    Args:
        storage: The URL of the database.
        spec: What `load` read.
        file: What it was read from.
        progress: Told how far it is.

    Raises:
        InputError: If something the file names is wrong, or it differs from the sweep of this name.
        DatabaseRefused: If the database cannot serve.
    """
    database = None if is_missing(storage) else Database.open(storage)
    earlier = None if database is None else _earlier(database, spec.name)
    if database is not None and earlier is not None and earlier.state is SweepState.DELETING:
        delete(database, spec.name)  # the command that began it was cut off
        earlier = None
    if database is not None and earlier is not None:
        _refuse_changes(file, spec, earlier)
        restore(database, earlier, spec)
        if earlier.state in (SweepState.DONE, SweepState.CANCELLED):
            return Submitted(database=database, new=False, done=True)
    need = check(spec, file).need if earlier is None else None
    model = _resolved_model(spec, file, earlier, progress)
    dataset = _prepared(spec, file, progress)
    if earlier is None and dataset is not None:
        check_counts(spec, file, SplitCounts.of_prepared(dataset))
    fingerprint = "" if dataset is None else dataset.fingerprint
    if earlier is not None and earlier.fingerprint != fingerprint:
        raise InputError(
            f"{file}: dataset: fingerprint is {fingerprint[:12]}, but sweep '{spec.name}' began "
            f"on {earlier.fingerprint[:12]}; put the data back, or give the sweep another `name`"
        )
    database = database or Database.open(storage)
    if earlier is not None:
        return Submitted(database=database, new=False, done=False)
    stages = planned_stages(spec)
    _refuse_foreign_studies(database, file, spec, stages)
    new = sweeps.create(
        database.engine,
        sweeps.Submission(
            name=spec.name,
            spec=spec.to_json(),
            spec_hash=spec.hash(),
            dataset=None if dataset is None else dataset.path,
            fingerprint=fingerprint,
            runs=paths.RUNS.resolve(),
            model=model.path,
            model_sha256=model.sha256,
        ),
        stages,
    )
    submission = sweeps.get(database.engine, spec.name)
    if not new:  # another process submitted this name meanwhile
        _refuse_changes(file, spec, submission)
    if new and file.is_file():
        _keep(file, paths.sweep_file(submission.runs, spec.name))
    for stage in stages:
        if stage.slots is not None:
            ensure_study(database, submission, stage.study, spec)
    return Submitted(database=database, new=new, done=False, need=need)


def _keep(file: Path, copy: Path) -> None:
    """Keep the sweep file as written, comments and all, for the report; it may do without."""
    with contextlib.suppress(OSError):
        copy.parent.mkdir(parents=True, exist_ok=True)
        write_file(copy, file.read_bytes())


def _earlier(database: Database, name: str) -> sweeps.Sweep | None:
    try:
        return sweeps.get(database.engine, name)
    except SweepNotFound:
        return None


def _refuse_foreign_studies(
    database: Database, file: Path, spec: SweepSpec, stages: Sequence[NewStage]
) -> None:
    """Refuse a name under which the database has studies but no sweep."""
    taken = [stage.study for stage in stages if database.studies.exists(stage.study)]
    if taken and _earlier(database, spec.name) is None:  # no other process has submitted it
        if taken[0] in database.studies.owned_by(spec.name):
            raise InputError(
                f"{file}: name: the database holds a study '{taken[0]}' of a sweep that is not "
                f"there any more; remove it by `sweep delete {spec.name} --yes`, or give the "
                "sweep another `name`"
            )
        raise InputError(
            f"{file}: name: the database holds a study '{taken[0]}' that no sweep made; "
            "give the sweep another `name`, or rename the study"
        )


def _refuse_changes(file: Path, spec: SweepSpec, earlier: sweeps.Submission) -> None:
    if earlier.spec_hash == spec.hash():
        return
    # One that an older version stored lacks the keys that are new; each has a default.
    changes = "; ".join(differences(_complete(earlier.spec), spec.to_json()))
    if not changes:
        return
    raise InputError(
        f"{file}: sweep '{spec.name}' was submitted with other settings: {changes}; "
        "put them back to continue it, or give this one another `name`"
    )


def _complete(stored: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a stored spec with the defaults of all keys, as far as it is still right."""
    try:
        return SweepSpec.model_validate(stored).to_json()
    except ValidationError:
        return stored


def _prepared(spec: SweepSpec, file: Path, progress: Progress) -> "PreparedDataset | None":
    from sweep.data.prepare import prepare

    dataset = dataset_spec(spec, file)
    return None if dataset is None else prepare(dataset, paths.PREPARED, progress=progress)


def _resolved_model(
    spec: SweepSpec, file: Path, earlier: sweeps.Submission | None, progress: Progress
) -> "ResolvedModel":
    from sweep.training.ultralytics.pretrained import ResolvedModel, resolve_weights

    if spec.trainer not in registry.BUILT_IN:
        return ResolvedModel(path=spec.model, sha256=None)
    try:
        return resolve_weights(
            model_path(spec, file),
            paths.WEIGHTS,
            expected_sha256=None if earlier is None else earlier.model_sha256,
            progress=lambda done, total: progress(f"downloading {spec.model}", done, total),
        )
    except InputError as error:
        raise InputError(f"{file}: model: {error}") from error
