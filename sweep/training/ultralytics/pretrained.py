"""From a sweep file's `model:` to what a training loads: resolved once, checked by hash."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from sweep.errors import InputError, SweepError, nearest
from sweep.files.download import FetchError, Progress, Remote
from sweep.files.lock import lock
from sweep.training.ultralytics.installed import package_folder

ASSETS_URL = "https://github.com/ultralytics/assets/releases/download/v8.4.0"
"""Release that Ultralytics takes weights from (ultralytics/utils/downloads.py)."""

ASSETS = frozenset(
    [f"yolov8{size}.pt" for size in "nsmlx"]
    + [f"yolov8{size}-oiv7.pt" for size in "nsmlx"]
    + [f"yolo11{size}.pt" for size in "nsmlx"]
    + [f"yolo12{size}.pt" for size in "nsmlx"]
    + [f"yolo26{size}.pt" for size in "nsmlx"]
    + [f"yolov10{size}.pt" for size in "nsmblx"]
    + [f"yolov9{size}.pt" for size in "tsmce"]
    + [f"yolov5{size}{large}u.pt" for size in "nsmlx" for large in ("", "6")]
    + [f"yolov3{kind}u.pt" for kind in ("", "-spp", "-tiny")]
)
"""Published weights of detectors."""

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
        SweepError: If the download failed; nothing is left of it.
    """
    path = Path(model)
    if path.is_file():
        return _checked(path, expected_sha256)
    if path.suffix in {".yaml", ".yml"} and path.name == model:
        _check_architecture(model)
        return ResolvedModel(path=model, sha256=None)
    if model not in ASSETS:
        raise InputError(
            f"model '{model}': no such file from {Path.cwd()}, and no published detector; "
            f"{nearest(path.name, ASSETS)}"
        )
    target = folder / model
    with lock(folder / f".{model}.lock"):
        if not target.is_file():
            _download(f"{base_url}/{model}", target, progress)
    return _checked(target, expected_sha256)


def _checked(path: Path, expected_sha256: str | None) -> ResolvedModel:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"model {path}: cannot be read: {error.strerror}") from error
    if path.suffix == ".pt" and not _is_weights(path):
        raise InputError(f"model {path}: not weights that PyTorch wrote")
    if expected_sha256 not in (None, found):
        raise InputError(
            f"model {path} changed since the sweep began: its SHA-256 is {found[:12]}…, it was "
            f"{str(expected_sha256)[:12]}…; put the old file back or submit under another name"
        )
    return ResolvedModel(path=str(path.resolve()), sha256=found)


def _check_architecture(name: str) -> None:
    """Check that Ultralytics has `name`, as its `yaml_model_load` looks for it."""
    models = (package_folder() / "cfg" / "models").rglob("*.yaml")
    known = {path.name for path in models}
    if name not in known and re.sub(r"(\d+)[nsblmx](.+)?$", r"\1\2", name) not in known:
        raise InputError(
            f"model '{name}' is no architecture of Ultralytics; {nearest(name, known)}"
        )


def _download(url: str, target: Path, progress: Progress | None) -> None:
    mend = f"check the network, or put the file at {target} yourself"
    try:
        with Remote() as remote:
            remote.fetch(
                url,
                target,
                max_bytes=MAX_BYTES,
                max_s=MAX_S,
                check=_check_weights,
                progress=progress,
            )
    except FetchError as error:
        if error.gone:
            raise InputError(f"model '{target.name}': {url} does not exist (404)") from error
        raise SweepError(f"{url}: {error}; {mend}") from error
    except OSError as error:
        raise SweepError(f"{target}: cannot be written: {error.strerror or error}") from error


def _check_weights(file: Path) -> None:
    if not _is_weights(file):
        raise FetchError("what came is no PyTorch weights")


def _is_weights(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4).startswith(_BEGINNINGS)
