"""Resolving a model, against a server on loopback that behaves well and badly."""

import hashlib
import http.server
import io
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml

from sweep.errors import InputError, SweepError
from sweep.files import download
from sweep.training.ultralytics import model_kind
from sweep.training.ultralytics.pretrained import ResolvedModel, check_model, resolve_weights
from tests.web import body, in_turn, serving


def weights(*classes: str, name: str = "yolov8n/data.pkl") -> bytes:
    """Return what looks like weights of 2 MiB that refer to classes: `module Class`."""
    found = io.BytesIO()
    with zipfile.ZipFile(found, "w") as archive:
        globals_ = b"".join(b"c%s\n%s\n0" % tuple(found.encode().split()) for found in classes)
        archive.writestr(name, b"\x80\x02" + globals_ + b"N.")
        archive.writestr("yolov8n/data/0", bytes(range(256)) * 8192)
    return found.getvalue()


BODY = weights("ultralytics.nn.tasks DetectionModel", "ultralytics.nn.modules.head Detect")
SHA256 = hashlib.sha256(BODY).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves by name: yolov8n whole, yolov8s cut short, yolov8m a page, yolov8l an error."""

    asked: list[str]

    def __init__(self, asked: list[str], *args: object) -> None:
        self.asked = asked
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        name = self.path.rpartition("/")[2]
        page = b"<!DOCTYPE html><html>Sign in</html>"
        status, body = {
            "yolov8n.pt": (200, BODY),
            "yolov8s.pt": (200, BODY[: len(BODY) // 2]),
            "yolov8m.pt": (200, page),
            "yolov8l.pt": (503, page),
        }.get(name, (404, page))
        self.send_response(status)
        self.send_header("Content-Length", str(len(BODY if name == "yolov8s.pt" else body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let another attempt begin at once."""
    monkeypatch.setattr(download, "BACKOFF_S", 0.0)


@pytest.fixture
def asked() -> list[str]:
    return []


@pytest.fixture
def url(asked: list[str]) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, asked))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/release"
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_architecture_is_taken_by_name(tmp_path: Path) -> None:
    found = resolve_weights("yolov8n.yaml", tmp_path)
    assert found == ResolvedModel(path="yolov8n.yaml", sha256=None)


def test_a_file_is_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.pt").write_bytes(BODY)
    monkeypatch.chdir(tmp_path)
    found = resolve_weights("mine.pt", tmp_path / "weights")
    assert found == ResolvedModel(path=str(tmp_path / "mine.pt"), sha256=SHA256)


def test_published_weights_are_downloaded_once(tmp_path: Path, url: str, asked: list[str]) -> None:
    seen: list[tuple[int, int | None]] = []
    folder = tmp_path / "weights"
    found = resolve_weights(
        "yolov8n.pt", folder, progress=lambda *step: seen.append(step), base_url=url
    )
    assert found == ResolvedModel(path=str(folder / "yolov8n.pt"), sha256=SHA256)
    assert Path(found.path).read_bytes() == BODY
    assert seen[-1] == (len(BODY), len(BODY))
    assert len(seen) > 1
    again = resolve_weights("yolov8n.pt", folder, expected_sha256=SHA256, base_url=url)
    assert again == found
    assert asked == ["/release/yolov8n.pt"]


def test_a_download_that_fails_once_is_tried_again(tmp_path: Path) -> None:
    with serving() as web:
        web.answers["/yolov8n.pt"] = in_turn(body(b"", status=503), body(BODY))
        assert resolve_weights("yolov8n.pt", tmp_path, base_url=web.url).sha256 == SHA256
        assert web.asked["/yolov8n.pt"] == 2


def test_two_processes_download_once(tmp_path: Path, url: str, asked: list[str]) -> None:
    code = (
        "import sys; from pathlib import Path;"
        "from sweep.training.ultralytics.pretrained import resolve_weights;"
        "print(resolve_weights('yolov8n.pt', Path(sys.argv[1]), base_url=sys.argv[2]).sha256);"
        "assert not {'torch', 'ultralytics'} & set(sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path), url]
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)
    ]
    outputs = [process.communicate() for process in started]
    assert outputs == [(f"{SHA256}\n".encode(), b"")] * 3
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("model", "kind", "message"),
    [
        ("yolov8x.pt", InputError, r"does not exist \(404\)"),
        ("yolov8l.pt", SweepError, "the server answered 503"),
        ("yolov8s.pt", SweepError, r"ended after \d+ of \d+ bytes"),
        ("yolov8m.pt", SweepError, "no PyTorch weights"),
        ("yolo8n.pt", InputError, "did you mean 'yolov8n.pt'"),
        ("yolov11n.pt", InputError, "did you mean 'yolo11n.pt'"),
        ("yolov11s.yaml", InputError, "did you mean 'yolo11s.yaml'"),
        ("YOLOv8n.pt", InputError, "did you mean 'yolov8n.pt'"),
        ("yolov8n", InputError, "did you mean 'yolov8n.pt' or 'yolov8n.yaml'"),
        ("yolov5s.pt", InputError, "did you mean 'yolov5su.pt'"),
        ("yolov8b.yaml", InputError, "no architecture of Ultralytics"),
        ("yolov8n.onnx", InputError, "did you mean 'yolov8n.pt'"),
        ("yolov8n-seg.yaml", InputError, "is a segmentation model; .* write 'yolov8n.yaml'"),
        ("yolov8n-seg.pt", InputError, "is a segmentation model; .* write 'yolov8n.pt'"),
        ("yolo11x-cls.yaml", InputError, "is a classification model; .* write 'yolo11x.yaml'"),
        ("yolov8x-pose-p6.yaml", InputError, "is a pose model; .* write 'yolov8x-p6.yaml'"),
        ("yolo26n-obb.pt", InputError, "is a model of oriented boxes; .* write 'yolo26n.pt'"),
        ("yolo26s-sem.yaml", InputError, "semantic segmentation model; .* write 'yolo26s.yaml'"),
        ("yolo26s-depth.yaml", InputError, "is a depth model; .* write 'yolo26s.yaml'"),
        ("rtdetr-l.pt", InputError, "is an RT-DETR model; a sweep trains YOLO detectors"),
        ("yolov8-rtdetr.yaml", InputError, "is an RT-DETR model"),
        ("yolov8s-worldv2.pt", InputError, "YOLO-World.*write 'yolov8s.pt'"),
        ("yoloe-11s.yaml", InputError, "YOLOE.*did you mean 'yolo11s.yaml'"),
        ("yolo_nas_s.pt", InputError, "is a YOLO-NAS model"),
        ("FastSAM-s.pt", InputError, "is a SAM model"),
        ("weights/mine.pt", InputError, "no such file"),
        ("yolov8n.yml", InputError, "no architecture of Ultralytics"),
        ("yolov77n.yaml", InputError, "no architecture of Ultralytics"),
    ],
)
def test_what_cannot_be_had_is_one_line_and_leaves_nothing(
    model: str, kind: type[SweepError], message: str, tmp_path: Path, url: str
) -> None:
    with pytest.raises(kind, match=message) as error:
        resolve_weights(model, tmp_path, base_url=url)
    assert "\n" not in str(error.value)
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".lock"]


ARCHITECTURE = {
    "nc": 80,
    "scales": {"n": [0.33, 0.25, 1024], "s": [0.33, 0.5, 1024]},
    "backbone": [[-1, 1, "Conv", [64, 3, 2]], [-1, 1, "nn.Upsample", ["None", 2, "nearest"]]],
    "head": [[[-1], 1, "Detect", ["nc"]]],
}


@pytest.mark.parametrize("head", ["Detect", "v10Detect"])
@pytest.mark.parametrize("name", ["mynet.yaml", "mynet.yml", "yolov8s-mine.yaml"])
def test_an_architecture_of_ones_own_is_taken(tmp_path: Path, name: str, head: str) -> None:
    content = {**ARCHITECTURE, "head": [[[-1], 1, head, ["nc"]]]}
    (tmp_path / name).write_text(yaml.safe_dump(content))
    check_model(str(tmp_path / name))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("my.yaml", {"head": [[[-1], 1, "Segment", ["nc"]]]}, "is a segmentation model, as its"),
        ("my.yaml", {"head": [[[-1], 1, "Classify", ["nc"]]]}, "is a classification model"),
        ("my.yaml", {"head": [[[-1], 1, "Pose26", ["nc"]]]}, "is a pose model"),
        ("my.yaml", {"head": [[[-1], 1, "OBB", ["nc"]]]}, "is a model of oriented boxes"),
        ("my.yaml", {"head": [[[-1], 1, "RTDETRDecoder", ["nc"]]]}, "is an RT-DETR model"),
        ("my.yaml", {"head": [[[-1], 1, "WorldDetect", ["nc"]]]}, "YOLO-World"),
        ("my.yaml", {"head": [[-1, 1, "Conv", [8]]]}, "is no detector, as its last layer is Conv"),
        ("my.yaml", {"head": [[-1, 1, "Detct", [8]]]}, "no module 'Detct'; did you mean 'Detect'"),
        ("my.yaml", {"head": [[-1, 1, "Detect"]]}, r"layer 2: must be \[from, repeats"),
        ("my.yaml", {"head": None}, "no architecture: it has no `backbone` and `head`"),
        ("yolov8x.yaml", {}, "by its name it is of size 'x', but its `scales` has n, s"),
    ],
)
def test_an_architecture_that_cannot_be_trained_is_one_line(
    tmp_path: Path, name: str, change: dict[str, object], message: str
) -> None:
    file = tmp_path / name
    file.write_text(yaml.safe_dump({**ARCHITECTURE, **change}))
    with pytest.raises(InputError, match=message) as error:
        check_model(str(file))
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (weights("ultralytics.nn.tasks SegmentationModel"), "is a segmentation model"),
        (weights("ultralytics.nn.tasks ClassificationModel"), "is a classification model"),
        (weights("ultralytics.nn.tasks RTDETRDetectionModel"), "is an RT-DETR model"),
        (weights("ultralytics.nn.tasks WorldModel"), "YOLO-World"),
        (weights("models.yolo Model"), "is a model of the old YOLOv5"),
        (weights("collections OrderedDict"), "no whole model, as a state_dict is none"),
        (weights("a b", name="yolov8n/else"), "no file of weights that PyTorch wrote"),
        (BODY[: len(BODY) // 2], "is damaged"),
        (b"<!DOCTYPE html>", "not weights that PyTorch wrote"),
    ],
)
def test_weights_that_are_no_detector_are_one_line(
    tmp_path: Path, content: bytes, message: str
) -> None:
    file = tmp_path / "best.pt"
    file.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        check_model(str(file))
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_weights_that_ultralytics_wrote_are_told_apart(tmp_path: Path) -> None:
    import torch
    from ultralytics.nn.tasks import ClassificationModel, DetectionModel, PoseModel

    for model, name, kind in (
        (DetectionModel, "yolov8n.yaml", None),
        (DetectionModel, "yolov10n.yaml", None),
        (PoseModel, "yolov8n-pose.yaml", "a pose model"),
        (ClassificationModel, "yolov8n-cls.yaml", "a classification model"),
    ):
        torch.save({"model": model(name, verbose=False)}, tmp_path / "mine.pt")
        assert model_kind.of_weights(tmp_path / "mine.pt") == kind


def test_without_a_network_the_line_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SweepError, match=r"put the file at .*yolov8n\.pt yourself"):
        resolve_weights("yolov8n.pt", tmp_path, base_url="http://127.0.0.1:9")


def test_a_page_saved_as_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "yolov8n.pt").write_bytes(b"<!DOCTYPE html>")
    with pytest.raises(InputError, match="not weights that PyTorch wrote"):
        resolve_weights(str(tmp_path / "yolov8n.pt"), tmp_path)


def test_a_changed_file_stops_a_sweep_that_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "mine.pt"
    file.write_bytes(BODY)
    first = resolve_weights(str(file), tmp_path)
    file.write_bytes(BODY + b"more")
    with pytest.raises(InputError, match="changed since the sweep began"):
        resolve_weights(str(file), tmp_path, expected_sha256=first.sha256)
