"""Reading a sweep file and queueing the sweep."""

from pathlib import Path

from pydantic import ValidationError

from sweep.api.database import errors_of_sweep, storage_url
from sweep.errors import InputError
from sweep.files.validation import explain
from sweep.spec.sweep_file import SweepSpec
from sweep.submission.submit import Submitted, load
from sweep.submission.submit import submit as queue


def load_spec(file: str | Path) -> SweepSpec:
    """Read a sweep file and check all that it says, but for the dataset's images.

    Raises:
        InputError: If anything in it is wrong.

    >>> from pathlib import Path
    >>> import sweep
    >>> _ = Path("rates.yaml").write_text('''
    ... name: rates
    ... trainer: sweep.testing:instant_trainer
    ... search: {epochs: 2, space: {lr0: [0.1, 0.01]}}
    ... ''')
    >>> sweep.load_spec("rates.yaml").search.epochs
    2
    """
    return load(Path(file))


def submit(file_or_spec: str | Path | SweepSpec, *, storage: str | None = None) -> str:
    """Queue a sweep for workers; the same one again changes nothing.

    Prepares the dataset and fetches the weights where they are missing.

    Args:
        file_or_spec: A sweep file, or what `load_spec` read, perhaps changed by `model_copy`. The
            paths in a file are relative to the file, those in a spec to the current folder.
        storage: URL of the database. None: as SWEEP_STORAGE says, else `sqlite:///sweep.db`.

    Returns:
        The sweep's name.

    Raises:
        InputError: If something in it is wrong, or it differs from the sweep of this name, or the
            database cannot serve.

    >>> from pathlib import Path
    >>> import sweep
    >>> _ = Path("rates.yaml").write_text('''
    ... name: rates
    ... trainer: sweep.testing:instant_trainer
    ... search: {epochs: 2, space: {lr0: [0.1, 0.01]}}
    ... ''')
    >>> sweep.submit("rates.yaml")
    'rates'
    >>> spec = sweep.load_spec("rates.yaml")
    >>> sweep.submit(spec.model_copy(update={"name": "other-seed", "seed": 1}))
    'other-seed'
    """
    with errors_of_sweep():
        name, _ = queued(file_or_spec, storage)
    return name


def queued(file_or_spec: str | Path | SweepSpec, storage: str | None) -> tuple[str, Submitted]:
    """Do what `submit` does, and say how far the sweep was before."""
    if isinstance(file_or_spec, SweepSpec):
        file = Path(file_or_spec.name)
        try:  # pydantic's `model_copy` checks nothing
            spec = SweepSpec.model_validate(file_or_spec.to_json())
        except ValidationError as error:
            raise InputError(explain(error, SweepSpec, file)) from error
    else:
        file = Path(file_or_spec)
        spec = load(file)
    return spec.name, queue(storage_url(storage), spec, file, progress=lambda *_: None)
