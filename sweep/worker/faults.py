"""What is wrong with one sweep, in one line."""

from pydantic import ValidationError

from storage.errors import StorageError
from sweep.errors import SweepError
from sweep.files.yaml import one_line


def told(error: Exception) -> str:
    """Say in one line why a sweep cannot be worked on or shown."""
    if isinstance(error, SweepError | StorageError):
        return one_line(str(error))
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        return f"its sweep file as stored is not one of this version ({where}: {first['msg']})"
    return one_line(f"what is stored of it cannot be read ({type(error).__name__}: {error})")
