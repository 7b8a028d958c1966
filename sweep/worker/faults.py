"""What is wrong with one sweep, in one line."""

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError
from sqlalchemy import Engine

from storage.errors import RowUnreadable, StorageError
from storage.queue import sweeps
from sweep.errors import InputError, SweepError
from sweep.files.yaml import one_line
from sweep.spec.sweep_file import SweepSpec


def told(error: Exception) -> str:
    """Say in one line why a sweep cannot be worked on or shown."""
    if isinstance(error, RowUnreadable):
        return (
            f"the database holds what this program did not write ({error}); mend it, or bring "
            "back a copy"
        )
    if isinstance(error, SweepError | StorageError):
        return one_line(str(error))
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        return f"its sweep file as stored is not one of this version ({where}: {first['msg']})"
    return one_line(f"what is stored of it cannot be read ({type(error).__name__}: {error})")


@contextmanager
def telling_spoilt(engine: Engine, name: str) -> Iterator[None]:
    """Raise what is wrong with a sweep's file as stored in the place of what came of it.

    Raises:
        InputError: If the file is not one of this version.
    """
    try:
        yield
    except (SweepError, StorageError, OSError):
        raise
    except Exception as error:
        try:
            SweepSpec.model_validate(sweeps.get(engine, name).spec)
        except ValidationError as fault:
            raise InputError(f"{name}: {told(fault)}") from error
        raise
