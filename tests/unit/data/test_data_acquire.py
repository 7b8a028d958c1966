import hashlib
import json
import struct
import time
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweep.data.cleaning import read_clean
from sweep.data.dataset_file import DatasetSpec
from sweep.data.prepare import prepare
from sweep.data.reading import acquire
from sweep.data.reading.acquire import NOT_FETCHED, fetch_annotations, fetch_images
from sweep.data.reading.picture import encode_jpeg
from sweep.data.reading.source import Source
from sweep.errors import InputError, SweepError
from sweep.files.download import ATTEMPTS, FetchError, Remote
from tests.datasets import load
from tests.web import Answer, Web, body, in_turn, serving

pytestmark = pytest.mark.slow

PHOTO = encode_jpeg(np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8))
COUNT = 6


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setattr(acquire, "MAX_IMAGE_BYTES", 100_000)
    with serving() as web:
        for index in range(COUNT):
            web.answers[f"/{index}.jpg"] = body(PHOTO)
        yield web


def coco(web: Web, **images: Any) -> dict[str, Any]:
    return {
        "images": [
            {
                "id": index,
                "file_name": f"batch/{index}.jpg",
                "width": 80,
                "height": 60,
                "flickr_url": f"{web.url}/{index}.jpg",
            }
            | images
            for index in range(COUNT)
        ],
        "annotations": [
            {"id": index, "image_id": index, "category_id": 0, "bbox": [8, 6, 40, 30]}
            for index in range(COUNT)
        ],
        "categories": [{"id": 0, "name": "cell"}],
    }


def dataset(folder: Path, document: dict[str, Any], **source: Any) -> DatasetSpec:
    (folder / "a.json").write_text(json.dumps(document))
    return write_spec(folder, download="flickr_url", **source)


def write_spec(folder: Path, **source: Any) -> DatasetSpec:
    return load(
        folder,
        {
            "name": "photos",
            "source": {"coco": "a.json", "images": "images", **source},
            "resize": "none",
            "split": {"train": 0.5, "val": 0.5, "test": 0},
        },
    )


def fetch(spec: DatasetSpec, waits: list[float] | None = None) -> Source:
    """Fetch without waiting; what would be waited for is noted."""

    def stopped(seconds: float) -> bool:
        if seconds and waits is not None:
            waits.append(seconds)
        return False

    source = read_clean(spec).source
    return fetch_images(spec, source, lambda task, done, total: None, stopped)


def not_fetched(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "images" / NOT_FETCHED).read_text())
    return found


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "images").rglob("*") if path.is_file())


def test_photos_are_fetched_once(tmp_path: Path, web: Web) -> None:
    spec, told = dataset(tmp_path, coco(web)), list[tuple[str, int, int | None]]()
    fetch_images(spec, read_clean(spec).source, lambda *call: told.append(call))
    assert told == [("fetching images", done, COUNT) for done in range(1, COUNT + 1)]
    assert (tmp_path / "images" / "batch" / "0.jpg").read_bytes() == PHOTO
    assert files(tmp_path) == [".fetch.lock", *(f"{index}.jpg" for index in range(COUNT))]
    (tmp_path / "images" / "batch" / "3.jpg").unlink()
    fetch(spec)
    assert web.asked == {f"/{index}.jpg": 2 if index == 3 else 1 for index in range(COUNT)}


def cut_off(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Length", str(len(PHOTO)))
    request.end_headers()
    request.wfile.write(PHOTO[:-20])
    request.close_connection = True


@pytest.mark.parametrize(
    ("first", "wait"),
    [
        (cut_off, None),
        (body(b"", status=503), None),
        (body(b"", status=429, Retry_After="17"), 17),
    ],
)
def test_what_fails_once_is_tried_again(
    tmp_path: Path, web: Web, first: Answer, wait: float | None
) -> None:
    waits = list[float]()
    web.answers["/2.jpg"] = in_turn(first, body(PHOTO))
    fetch(dataset(tmp_path, coco(web)), waits)
    assert (tmp_path / "images" / "batch" / "2.jpg").read_bytes() == PHOTO
    assert web.asked["/2.jpg"] == 2
    assert waits == [wait] if wait else 0.5 <= waits[0] <= 1


def test_waiting_doubles_and_ends(tmp_path: Path, web: Web) -> None:
    waits = list[float]()
    web.answers["/2.jpg"] = body(b"", status=500)
    with pytest.raises(SweepError, match=r"1 images could not be had, such as batch/2.jpg: the se"):
        fetch(dataset(tmp_path, coco(web)), waits)
    assert web.asked["/2.jpg"] == ATTEMPTS
    assert [round(wait / 2**index + 0.25) for index, wait in enumerate(waits)] == [1] * 4


def test_a_date_to_retry_after_is_understood_and_a_long_wait_refused(
    tmp_path: Path, web: Web
) -> None:
    later = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 3600))
    web.answers["/2.jpg"] = body(b"", status=429, Retry_After=later)
    with pytest.raises(SweepError, match=r"the server answered 429, and asks to wait 3[56]\d\d s"):
        fetch(dataset(tmp_path, coco(web)))
    assert web.asked["/2.jpg"] == 1


def png(width: int, height: int) -> bytes:
    """A PNG of a few kilobytes that unpacks to any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    row = bytes(1 + width)
    pixels = b"".join(packer.compress(row) for _ in range(min(height, 2000))) + packer.flush()
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def endless(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    while True:
        request.wfile.write(bytes(1 << 16))


def ten_gigabytes(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Length", str(10**10))
    endless(request)


@pytest.mark.parametrize(
    ("answer", "reason", "gone"),
    [
        (body(b"", status=404), "the server answered 404", True),
        (body(b"", status=403), "the server answered 403", False),
        (body(b"<html>Sign in</html>"), "what came is not an image of a known format", False),
        (body(PHOTO[:-200]), "what came is not a whole image", False),
        (body(encode_jpeg(np.zeros((50, 50, 3), np.uint8))), "what came is 50x50 px with", True),
        (body(png(20_000, 20_000)), "what came is is 20000x20000 px; must be", False),
        (body(png(9000, 9000)), "what came is 9000x9000 px with EXIF", True),
        (body(zlib.compress(bytes(10**6)), Content_Encoding="deflate"), "what came is not", False),
        (ten_gigabytes, "has 10000000000 bytes; 100000 are allowed", False),
        (endless, "is longer than the 100000 bytes allowed", False),
        (body(b"", status=302, Location="file:///etc/passwd"), "cannot be asked for: Inva", False),
        (body(b"", status=302, Location="ftp://localhost/a"), "cannot be asked for: Inval", False),
        (body(b"", status=302, Location="/2.jpg"), "cannot be asked for: TooManyRedirects", False),
    ],
)
def test_what_is_not_the_photo_is_listed_and_the_others_are_had(
    tmp_path: Path,
    web: Web,
    answer: Answer,
    reason: str,
    gone: bool,
) -> None:
    web.answers["/2.jpg"] = answer
    with pytest.raises(InputError if gone else SweepError) as raised:
        fetch(dataset(tmp_path, coco(web)))
    assert isinstance(raised.value, InputError) == gone
    assert str(raised.value).startswith(
        f"{tmp_path / 'photos.yaml'}: source: 1 images could not be had, such as batch/2.jpg: "
    )
    (entry,) = not_fetched(tmp_path).values()
    assert entry["reason"].startswith(reason)
    assert entry["gone"] == gone
    assert (tmp_path / "images" / NOT_FETCHED).stat().st_mode & 0o777 == 0o600
    photos = [name for name in files(tmp_path) if name.endswith(".jpg")]
    assert photos == [f"{index}.jpg" for index in range(COUNT) if index != 2]


def test_a_redirect_to_the_photo_is_followed(tmp_path: Path, web: Web) -> None:
    web.answers["/2.jpg"] = body(b"", status=302, Location=f"{web.url}/0.jpg")
    fetch(dataset(tmp_path, coco(web)))
    assert (tmp_path / "images" / "batch" / "2.jpg").read_bytes() == PHOTO


def dripping(beginning: bytes, drop: bytes) -> Answer:
    """Return an answer that sends its beginning and then, for ever, a drop now and then."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(beginning)
        while True:
            request.wfile.write(drop)
            time.sleep(0.01)

    return answer


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        dripping(b"", b"x"),
        dripping(OK + b"Server: ", b"x"),
        dripping(OK + b"\r\n", b"x"),
        dripping(OK + b"Content-Length: 90000\r\n\r\n", b"x"),
        dripping(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        dripping(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
        dripping(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"x"),
        dripping(b"HTTP/1.1 404 Not Found\r\nServer: ", b"x"),
    ],
    ids=["status", "header", "body", "sized", "chunks", "chunk", "trailer", "404"],
)
def test_a_server_that_drips_is_left(
    tmp_path: Path, web: Web, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    spec = dataset(tmp_path, coco(web))
    fetch(spec)
    (tmp_path / "images" / "batch" / "2.jpg").unlink()
    monkeypatch.setattr(acquire, "MAX_IMAGE_S", 0.3)
    web.answers["/2.jpg"] = answer
    with pytest.raises(
        SweepError, match=r"1 images could not be had, such as batch/2.jpg: took lo"
    ):
        fetch(spec)
    (entry,) = not_fetched(tmp_path).values()
    assert entry == {"url": f"{web.url}/2.jpg", "reason": "took longer than 0.3 s", "gone": False}
    assert web.asked["/2.jpg"] <= 2, "asked again"
    assert "2.jpg" not in files(tmp_path) and ".2.jpg.part" not in files(tmp_path)


def test_redirects_do_not_lengthen_the_time(
    tmp_path: Path, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = dataset(tmp_path, coco(web))
    fetch(spec)
    (tmp_path / "images" / "batch" / "2.jpg").unlink()
    monkeypatch.setattr(acquire, "MAX_IMAGE_S", 0.3)
    web.answers["/2.jpg"] = body(b"", status=302, Location="/drip.jpg")
    web.answers["/drip.jpg"] = dripping(OK, b"x")
    with pytest.raises(SweepError, match=r"such as batch/2.jpg: took longer than 0.3 s"):
        fetch(spec)


def test_a_proxy_that_drips_is_left(
    tmp_path: Path, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", web.url)
    url = "http://example.invalid/2.jpg"
    web.answers[url] = dripping(OK, b"x")
    with Remote() as remote, pytest.raises(FetchError, match=r"took longer than 0.3 s"):
        remote.fetch(url, tmp_path / "a.jpg", max_bytes=10**6, max_s=0.3, check=lambda file: None)
    assert web.asked[url] <= 1, "asked again"


def test_an_attempt_that_would_come_too_late_is_not_waited_for(tmp_path: Path, web: Web) -> None:
    waits = list[float]()
    web.answers["/2.jpg"] = body(b"", status=429, Retry_After="100")
    remote = Remote(lambda seconds: bool(waits.append(seconds)))
    with remote, pytest.raises(FetchError, match="answered 429, without time for all 5 attempts"):
        remote.fetch(
            f"{web.url}/2.jpg",
            tmp_path / "a.jpg",
            max_bytes=10**6,
            max_s=90,
            check=lambda file: None,
        )
    assert waits == []


def test_an_interruption_ends_what_is_being_fetched(tmp_path: Path, web: Web) -> None:
    web.answers["/2.jpg"] = dripping(OK, b"x")

    def progress(_task: str, done: int, _total: int | None) -> None:
        if done == COUNT - 1:
            raise KeyboardInterrupt

    spec = dataset(tmp_path, coco(web))
    with pytest.raises(KeyboardInterrupt):
        fetch_images(spec, read_clean(spec).source, progress)
    assert files(tmp_path).count("2.jpg") == 0


def test_without_a_network_it_gives_up_soon(
    tmp_path: Path, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acquire, "GIVE_UP_AFTER", 2)
    monkeypatch.setattr(acquire, "CONNECTIONS", 1)
    document = coco(web)
    for image in document["images"]:
        image["flickr_url"] = "http://127.0.0.1:9/a.jpg"
    with pytest.raises(SweepError, match="6 images could not be had"):
        fetch(dataset(tmp_path, document))
    reasons = [entry["reason"] for entry in not_fetched(tmp_path).values()]
    assert reasons[0].startswith("broke off (NewConnectionError), at the last of 5 attempts")
    assert reasons[-1] == "not tried: too many others failed"


def test_what_is_gone_is_left_out_if_the_file_says_so(tmp_path: Path, web: Web) -> None:
    for index in range(1, COUNT):
        noise = np.random.default_rng(index).integers(0, 256, (60, 80, 3), np.uint8)
        web.answers[f"/{index}.jpg"] = body(encode_jpeg(noise))
    del web.answers["/2.jpg"]
    spec = dataset(tmp_path, coco(web), gone="leave out")
    first = prepare(spec, tmp_path / "out")
    report = json.loads(first.report.read_text())
    assert report["images_left_out"] == [
        {"image": "batch/2.jpg", "boxes": 1, "why": "the server answered 404"}
    ]
    assert report["source"]["images"] == sum(first.images_per_split.values()) + 1
    assert report["source"]["boxes"] == sum(first.boxes_per_split.values()) + 1
    web.answers.clear()
    (tmp_path / "images" / ".fetch.lock").unlink()
    (tmp_path / "images" / ".fetch.lock").mkdir()  # writing there would fail
    assert prepare(spec, tmp_path / "out") == first
    assert web.asked["/2.jpg"] == 1  # what is gone is not asked for again


def test_symbolic_links_do_not_lead_a_download_out_of_the_folder(tmp_path: Path, web: Web) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "images" / "batch").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="must lie in the image folder"):
        fetch(dataset(tmp_path, coco(web)))
    assert web.asked == {}


@pytest.mark.parametrize("name", ["../0.jpg", "/tmp/0.jpg", "batch/../../0.jpg", "C:\\0.jpg"])
def test_names_do_not_lead_a_download_out_of_the_folder(
    tmp_path: Path, web: Web, name: str
) -> None:
    with pytest.raises(InputError, match="must lie in the image folder"):
        fetch(dataset(tmp_path, coco(web, file_name=name)))
    assert web.asked == {}


def test_annotations_are_fetched_and_must_be_the_ones_named(tmp_path: Path, web: Web) -> None:
    data = json.dumps(coco(web)).encode()
    web.answers["/a.json"] = body(data)
    where = {"coco_url": f"{web.url}/a.json", "coco_sha256": hashlib.sha256(data).hexdigest()}
    spec = write_spec(tmp_path, download="flickr_url", **where)
    fetch_annotations(spec, lambda task, done, total: None)
    assert (tmp_path / "a.json").read_bytes() == data
    fetch_annotations(spec, lambda task, done, total: None)
    assert web.asked["/a.json"] == 1
    (tmp_path / "a.json").unlink()
    web.answers["/a.json"] = body(data + b"\n")
    with pytest.raises(InputError, match=r"source.coco_sha256: the file at .* has [0-9a-f]{64}"):
        fetch_annotations(spec, lambda task, done, total: None)
    assert not (tmp_path / "a.json").exists()
    del web.answers["/a.json"]
    with pytest.raises(SweepError, match="the server answered 404; check the network, or put"):
        fetch_annotations(spec, lambda task, done, total: None)


def test_a_dataset_file_alone_is_enough(tmp_path: Path, web: Web) -> None:
    for index in range(COUNT):
        noise = np.random.default_rng(index).integers(0, 256, (60, 80, 3), np.uint8)
        web.answers[f"/{index}.jpg"] = body(encode_jpeg(noise))
    data = json.dumps(coco(web)).encode()
    web.answers["/a.json"] = body(data)
    where = {"coco_url": f"{web.url}/a.json", "coco_sha256": hashlib.sha256(data).hexdigest()}
    found = prepare(write_spec(tmp_path, download="flickr_url", **where), tmp_path / "out")
    assert found.images_per_split == {"train": 3, "val": 3, "test": 0}
