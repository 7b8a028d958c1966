"""Resolving a model, against a server on loopback that behaves well and badly."""

import hashlib
import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from sweep.errors import InputError, SweepError
from sweep.files import download
from sweep.training.ultralytics.pretrained import ResolvedModel, resolve_weights
from tests.web import body, in_turn, serving

BODY = b"PK\x03\x04" + bytes(range(256)) * 8192  # 2 MiB
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
