"""`state.ckpt`: what a training needs to go on in another process; damage to it is noticed.

A magic word, the SHA-256 of the rest, and the rest as `torch.save` writes it. The checkpoint before
the newest one is kept beside it. Reading runs no code from the file.
"""

import hashlib
import io
import pickle
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import torch
from ultralytics.utils import LOGGER

from sweep import paths
from sweep.files.atomic_write import sync, sync_folder

State = Mapping[str, Any]
"""Tensors, numbers, strings, None, and lists, tuples and dicts of them."""

_MAGIC = b"sweep state 1\n"
_DIGEST_BYTES = hashlib.sha256().digest_size


class DamagedCheckpoint(Exception):
    """A checkpoint that is not whole. Use the one before, or start again."""


def write(folder: Path, state: State) -> None:
    """Make `state` the newest checkpoint in `folder`, and keep the one before.

    When this returns it is on the disk. A process that dies meanwhile leaves what was there.

    Raises:
        OSError: If it cannot be written.
    """
    newest, previous = folder / paths.CHECKPOINT, folder / paths.PREVIOUS_CHECKPOINT
    part = folder / paths.UNFINISHED_CHECKPOINT
    with part.open("wb") as file:
        file.write(_MAGIC + bytes(_DIGEST_BYTES))
        payload = _Hashing(file)
        torch.save(state, payload)
        file.seek(len(_MAGIC))
        file.write(payload.digest())
        sync(file)
    if newest.exists():
        newest.replace(previous)
    part.replace(newest)
    sync_folder(folder)


class _Hashing:
    """A file to write to that knows the SHA-256 of what was written."""

    def __init__(self, file: BinaryIO) -> None:
        self._hash = hashlib.sha256()
        self._file = file
        self.flush = file.flush
        self.digest = self._hash.digest

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        return self._file.write(data)


class Writer:
    """Writes checkpoints beside the training, one after the other."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._writing: Future[None] | None = None

    def start(self, folder: Path, state: State) -> None:
        """Make `state`, as it is now, the newest checkpoint in `folder`.

        It is on the disk when `wait` has returned. Waits for the checkpoint before it first.

        Raises:
            OSError: If the checkpoint before could not be written.
        """
        self.wait()
        self._writing = self._thread.submit(write, folder, _copy(state))

    def wait(self) -> None:
        """Wait until the checkpoint that was started last is on the disk.

        Raises:
            OSError: If it could not be written.
        """
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()


def _copy(state: Any) -> Any:
    """Copy what a training goes on to change; tensors into main memory."""
    if isinstance(state, torch.Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, Mapping):
        return {key: _copy(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(map(_copy, state))
    return state


def read(path: Path) -> State:
    """Return the state in one checkpoint, its tensors in main memory.

    Raises:
        DamagedCheckpoint: If the file is not whole, or holds more than plain values.
        OSError: If it cannot be read.
    """
    content = path.read_bytes()
    digest = content[len(_MAGIC) :][:_DIGEST_BYTES]
    payload = memoryview(content)[len(_MAGIC) + _DIGEST_BYTES :]
    if not content.startswith(_MAGIC) or hashlib.sha256(payload).digest() != digest:
        raise DamagedCheckpoint(f"{path} is damaged: its checksum is not that of its content")
    try:
        state: State = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise DamagedCheckpoint(f"{path} holds what no checkpoint does: {error}") from error
    return state


def newest(folders: Iterable[Path], *, identity: str) -> tuple[Path, State] | None:
    """Return the newest whole checkpoint and the folder it lies in, or None.

    Args:
        folders: Run folders of earlier attempts, newest first.
        identity: What the state's `identity` must be; others belong to another training.
    """
    for folder in folders:
        for name in (paths.CHECKPOINT, paths.PREVIOUS_CHECKPOINT):
            try:
                state = read(folder / name)
            except FileNotFoundError:
                continue
            except (DamagedCheckpoint, OSError) as error:
                LOGGER.warning(f"{error}; going back to the one before")
                continue
            if state["identity"] == identity:
                return folder, state
            LOGGER.warning(f"{folder / name} belongs to another training; not used")
    return None
