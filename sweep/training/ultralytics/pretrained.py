"""From a sweep file's `model:` to what a training loads: resolved once, checked by hash."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from sweep.errors import InputError, SweepError
from sweep.files.download import FetchError, Progress, Remote
from sweep.files.lock import HOURS_S, lock
from sweep.training.ultralytics import model_kind
from sweep.training.ultralytics.architecture import read_architecture, size_of
from sweep.training.ultralytics.model_kind import DETECTION_HEADS
from sweep.training.ultralytics.model_names import check_name

ASSETS_URL = "https://github.com/ultralytics/assets/releases/download/v8.4.0"
"""Release that Ultralytics takes weights from (ultralytics/utils/downloads.py)."""

MAX_BYTES = 4 << 30
MAX_S = 4 * 3600.0
"""For all attempts at a download, and however slowly the server sends."""
_BEGINNINGS = (b"PK\x03\x04", b"\x80")
"""What weights begin with: a zip archive, as PyTorch writes since 1.6, or a pickle."""


@dataclass(frozen=True, kw_only=True)
class ResolvedModel:
    """A model that a training process can load without the network."""

    path: str
    """Absolute path, or the name of an architecture in Ultralytics (`yolov8n.yaml`)."""
    sha256: str | None
    """Of the file, hexadecimal; None for an architecture by name."""


def check_model(model: str) -> None:
    """Check that a sweep can start from `model`, without the network.

    Args:
        model: A path, or a name such as `yolov8n.pt` or `yolov8n.yaml`.

    Raises:
        InputError: If there is no such model, or it is no detector.
    """
    path = Path(model)
    if path.is_dir():
        raise InputError(f"'{model}' is a folder; name the weights (.pt) or the architecture in it")
    if not path.is_file():
        check_name(model)
    elif path.suffix in {".yaml", ".yml"}:
        _check_architecture(path)
    elif path.suffix == ".pt":
        _check_weights(path)
    else:
        raise InputError(
            f"'{model}': a training starts from weights that PyTorch wrote (.pt) or from an "
            "architecture (.yaml); name such a file"
        )


def _check_architecture(path: Path) -> None:
    found = read_architecture(path)
    heads = " or ".join(DETECTION_HEADS)
    if found.head not in DETECTION_HEADS:
        what = model_kind.of_class(found.head) or "no detector"
        raise InputError(
            f"{path} is {what}, as its last layer is {found.head}; a sweep trains YOLO detectors: "
            f"let it be {heads}, or name another model, such as 'yolov8n.yaml'"
        )
    if (size := size_of(path.name)) and found.sizes and size not in found.sizes:
        raise InputError(
            f"{path}: by its name it is of size '{size}', but its `scales` has "
            f"{', '.join(found.sizes)}; add it there, or rename the file"
        )


def _check_weights(path: Path) -> None:
    try:
        whole = _is_weights(path)
        what = model_kind.of_weights(path) if whole else None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    if not whole:
        raise InputError(f"{path}: not weights that PyTorch wrote; fetch or copy the file again")
    if what is not None:
        raise InputError(
            f"{path} is {what}; a sweep trains Ultralytics' YOLO detectors: name the weights of "
            "one, such as 'yolov8n.pt'"
        )


def resolve_weights(
    model: str,
    folder: Path,
    *,
    expected_sha256: str | None = None,
    progress: Progress | None = None,
    base_url: str = ASSETS_URL,
) -> ResolvedModel:
    """Find `model`, or download it into `folder` if it names published weights.

    Several processes may do so at once: one downloads, the others wait for it.

    Args:
        model: A path, or a name such as `yolov8n.pt` or `yolov8n.yaml`.
        folder: Where downloads are kept; made if missing.
        expected_sha256: What the file must hash to, when a sweep goes on.
        progress: Told about a download.
        base_url: Where published weights lie.

    Raises:
        InputError: If there is no such model, it is not what its name says, or it changed.
        SweepError: If the download failed, and nothing is left of it, or another process downloads
            it and was stopped.
    """
    check_model(model)
    path = Path(model)
    if path.is_file():
        return _checked(path, expected_sha256)
    if path.suffix == ".yaml":
        return ResolvedModel(path=model, sha256=None)
    target = folder / model
    with lock(folder / f".{model}.lock", within_s=HOURS_S):
        if not target.is_file():
            _download(f"{base_url}/{model}", target, progress)
    return _checked(target, expected_sha256)


def _checked(path: Path, expected_sha256: str | None) -> ResolvedModel:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"model {path}: cannot be read: {error.strerror}") from error
    if expected_sha256 not in (None, found):
        raise InputError(
            f"model {path} changed since the sweep began: its SHA-256 is {found[:12]}…, it was "
            f"{str(expected_sha256)[:12]}…; put the old file back or submit under another name"
        )
    return ResolvedModel(path=str(path.resolve()), sha256=found)


def _download(url: str, target: Path, progress: Progress | None) -> None:
    mend = f"check the network, or put the file at {target} yourself"
    try:
        with Remote() as remote:
            remote.fetch(
                url,
                target,
                max_bytes=MAX_BYTES,
                max_s=MAX_S,
                check=_check_download,
                progress=progress,
            )
    except FetchError as error:
        if error.gone:
            raise InputError(f"model '{target.name}': {url} does not exist (404)") from error
        raise SweepError(f"{url}: {error}; {mend}") from error
    except OSError as error:
        raise SweepError(f"{target}: cannot be written: {error.strerror or error}") from error


def _check_download(file: Path) -> None:
    if not _is_weights(file):
        raise FetchError("what came is no PyTorch weights")


def _is_weights(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4).startswith(_BEGINNINGS)
