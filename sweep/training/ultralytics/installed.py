"""Where Ultralytics is installed, found without importing it: that would load torch."""

from importlib.util import find_spec
from pathlib import Path

from sweep.errors import InputError


def package_folder() -> Path:
    """Return the folder of the installed Ultralytics.

    Raises:
        InputError: If it is not installed.
    """
    spec = find_spec("ultralytics")
    if spec is None or spec.origin is None:
        raise InputError("ultralytics is not installed: run `pip install ultralytics`")
    return Path(spec.origin).parent
