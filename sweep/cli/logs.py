"""Where a command's log goes: the terminal, and a file where one is named."""

import logging
import sys
from enum import StrEnum
from pathlib import Path

from sweep.errors import InputError


class LogLevel(StrEnum):
    """What is logged: everything from this level on."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def start_logging(level: LogLevel, file: Path | None = None) -> None:
    """Log to standard output, and to `file` as well.

    Raises:
        InputError: If the file cannot be written.
    """
    logging.raiseExceptions = False  # a full disk under the log must not end a worker
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stdout)]
    if file is not None:
        handlers.append(log_file_handler(file))
    logging.basicConfig(
        format="%(asctime)s %(message)s", datefmt="%H:%M:%S", handlers=handlers, force=True
    )
    for package in ("sweep", "storage"):
        logging.getLogger(package).setLevel(level.upper())


def log_file_handler(file: Path) -> logging.Handler:
    """Open a log file to append to; several workers may do so.

    Raises:
        InputError: If it cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return logging.FileHandler(file, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise InputError(
            f"--log-file {file}: cannot be written: {error.strerror}; name another"
        ) from error
