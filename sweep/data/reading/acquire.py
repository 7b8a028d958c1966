"""Fetches what a COCO dataset lacks: its annotations, and images from the addresses in them."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from sweep.data.dataset_file import CocoSource, DatasetSpec
from sweep.data.reading.picture import Picture, PictureError
from sweep.data.reading.source import Source, SourceImage
from sweep.errors import InputError, SweepError
from sweep.files.atomic_write import write_json
from sweep.files.download import FetchError, Remote, Stopped
from sweep.files.lock import HOURS_S, lock

MAX_ANNOTATIONS_BYTES = 4 << 30
MAX_ANNOTATIONS_S = 4 * 3600.0
MAX_IMAGE_BYTES = 128 << 20
MAX_IMAGE_S = 1800.0
"""For all attempts, and however slowly a server sends: enough for 5 MB at 3 kB a second."""
CONNECTIONS = 8
GIVE_UP_AFTER = 3 * CONNECTIONS
"""So many failures in a row say that it is the network, not the files."""
NOT_FETCHED = "not-fetched.json"
"""Name of the list of images that could not be had, in their folder."""
_LOCK = ".fetch.lock"

Progress = Callable[[str, int, int | None], None]
"""Told what is being done, how far it is, and how far it goes (None: not known, in bytes)."""


@dataclass(frozen=True, kw_only=True)
class NotFetched:
    """Why an image could not be had."""

    url: str
    reason: str
    gone: bool
    """Whether the server has it no more, so that it is not asked for again."""


def fetch_annotations(spec: DatasetSpec, progress: Progress) -> None:
    """Fetch the COCO file if it is not there and the dataset file says from where.

    Raises:
        InputError: If what came is another file.
        SweepError: If it could not be had.
    """
    source = spec.source
    if not isinstance(source, CocoSource) or source.coco.exists() or source.coco_url is None:
        return

    def check(file: Path) -> None:
        with file.open("rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
        if found != source.coco_sha256:
            raise InputError(
                f"{spec.file}: source.coco_sha256: the file at {source.coco_url} has {found}; "
                "look at what changed, then correct it"
            )

    progress(f"fetching {source.coco.name}", 0, None)
    try:
        with _only_fetcher(source.coco.parent), Remote() as remote:
            if not source.coco.exists():
                remote.fetch(
                    source.coco_url,
                    source.coco,
                    max_bytes=MAX_ANNOTATIONS_BYTES,
                    max_s=MAX_ANNOTATIONS_S,
                    check=check,
                )
    except FetchError as error:
        raise SweepError(
            f"{source.coco_url}: {error}; check the network, or put the file at {source.coco}"
        ) from error


def fetch_images(
    spec: DatasetSpec, source: Source, progress: Progress, stopped: Stopped | None = None
) -> Source:
    """Fetch the images that are not there; return the source without those that are gone.

    An image has its name only when it is whole, so a run that was interrupted is gone on with.
    `not-fetched.json` in the image folder lists what could not be had.

    Args:
        spec: The dataset file.
        source: As read from it.
        progress: Told the images done and in all, in this thread.
        stopped: Waits between attempts at one image; by default until this call ends.

    Raises:
        InputError: If images are gone and the dataset file does not leave them out.
        SweepError: If images could not be had this time.
    """
    coco = spec.source
    if not isinstance(coco, CocoSource) or coco.download is None or not _missing(source):
        return source
    gone, wanted = _sort(coco, source)
    if not wanted:  # as before: nothing to write, so the folder may be read-only
        return source.without({name: entry.reason for name, entry in gone.items()})
    with _only_fetcher(coco.images):
        gone, wanted = _sort(coco, source)  # again, as another process may have fetched
        failed = gone | _fetch_all(wanted, progress, stopped)
        _write_list(coco.images, failed)
    unlucky = {name: entry for name, entry in failed.items() if not entry.gone}
    if unlucky:
        raise SweepError(f"{_complaint(spec, coco, unlucky)}; run again to go on")
    if failed and coco.gone == "refuse":
        raise InputError(f"{_complaint(spec, coco, failed)}; set `gone: leave out` to do without")
    return source.without({name: entry.reason for name, entry in failed.items()})


def _complaint(spec: DatasetSpec, coco: CocoSource, failed: Mapping[str, NotFetched]) -> str:
    name, entry = min(failed.items())
    return (
        f"{spec.file}: source: {len(failed)} images could not be had, such as {name}: "
        f"{entry.reason}; {coco.images / NOT_FETCHED} lists them"
    )


def _missing(source: Source) -> list[SourceImage]:
    return [image for image in source.images if image.path and not image.path.is_file()]


def _sort(coco: CocoSource, source: Source) -> tuple[dict[str, NotFetched], list[SourceImage]]:
    """Return the missing images that are known to be gone, by name, and the others."""
    known = _read_list(coco.images) if coco.gone == "leave out" else {}
    gone: dict[str, NotFetched] = {}
    wanted: list[SourceImage] = []
    for image in _missing(source):
        entry = known.get(image.name)
        if entry is not None and entry.url == image.url:
            gone[image.name] = entry
        else:
            wanted.append(image)
    return gone, wanted


def _fetch_all(
    images: Sequence[SourceImage], progress: Progress, stopped: Stopped | None
) -> dict[str, NotFetched]:
    """Fetch images side by side; return those that could not be had, by name."""
    ended, decoding = threading.Event(), threading.Lock()
    failed: dict[str, NotFetched] = {}
    in_a_row = 0
    with Remote(stopped or ended.wait) as remote, ThreadPoolExecutor(CONNECTIONS) as pool:
        futures = {pool.submit(_fetch, remote, image, decoding, ended): image for image in images}
        try:
            for done, future in enumerate(as_completed(futures), 1):
                image, entry = futures[future], future.result()
                if entry:
                    failed[image.name] = entry
                in_a_row = in_a_row + 1 if entry and not entry.gone else 0
                if in_a_row == GIVE_UP_AFTER:
                    ended.set()
                progress("fetching images", done, len(images))
        except BaseException:
            ended.set()
            pool.shutdown(wait=False, cancel_futures=True)
            remote.interrupt()
            raise
    return failed


def _fetch(
    remote: Remote, image: SourceImage, decoding: threading.Lock, ended: threading.Event
) -> NotFetched | None:
    url, target = str(image.url), image.path
    if target is None or ended.is_set():
        return NotFetched(url=url, reason="not tried: too many others failed", gone=False)

    def check(file: Path) -> None:
        with decoding:  # one at a time, so that memory is bounded by one image
            _check_image(image, file.read_bytes())

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        remote.fetch(url, target, max_bytes=MAX_IMAGE_BYTES, max_s=MAX_IMAGE_S, check=check)
    except FetchError as error:
        return NotFetched(url=url, reason=str(error), gone=error.gone)
    return None


def _check_image(image: SourceImage, data: bytes) -> None:
    """Refuse what is not this image; its size is looked at before a pixel is decoded."""
    try:
        picture = Picture.parse(data)
    except PictureError as error:
        raise FetchError(f"what came is {error}") from error
    try:
        turn = picture.turn_for(image.width, image.height)
        picture.decode(turn, (1, 1))
    except PictureError as error:
        # Servers answer with a picture that says so where the right one was removed.
        raise FetchError(f"what came {error}", gone=True) from error


def _read_list(images: Path) -> dict[str, NotFetched]:
    """Return the images that were gone before; removing the file forgets them."""
    try:
        found = json.loads((images / NOT_FETCHED).read_bytes())
        entries = {name: NotFetched(**entry) for name, entry in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
    return {name: entry for name, entry in entries.items() if entry.gone}


def _write_list(images: Path, failed: Mapping[str, NotFetched]) -> None:
    """Write the list for its owner only, as addresses may hold keys; none if nothing failed."""
    path = images / NOT_FETCHED
    if not failed:
        path.unlink(missing_ok=True)
        return
    listed = {name: asdict(entry) for name, entry in sorted(failed.items())}
    write_json(path, listed, indent=2, mode=0o600)


@contextmanager
def _only_fetcher(folder: Path) -> Iterator[None]:
    """Hold the right to fetch into a folder."""
    try:
        with lock(folder / _LOCK, within_s=HOURS_S):
            yield
    except OSError as error:
        raise SweepError(f"{folder}: cannot be written: {error.strerror or error}") from error
