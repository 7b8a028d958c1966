"""A web server of the test's own, whose answers the test writes."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[BaseHTTPRequestHandler], None]
"""Writes status, headers and body."""


@dataclass(kw_only=True)
class Web:
    """What the server answers and what it was asked."""

    url: str
    answers: dict[str, Answer] = field(default_factory=dict)
    """By path; others are 404."""
    asked: Counter[str] = field(default_factory=Counter)
    """How often each path was asked for."""


def body(data: bytes, *, status: int = 200, **headers: str) -> Answer:
    """Return an answer with a body of its true length; `_` in a header's name stands for `-`."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(data)

    return answer


def in_turn(*answers: Answer) -> Answer:
    """Return an answer that is the first the first time, and so on; then always the last."""
    left = list(answers)

    def answer(request: BaseHTTPRequestHandler) -> None:
        now = left.pop(0) if len(left) > 1 else left[0]
        now(request)

    return answer


@contextmanager
def serving() -> Iterator[Web]:
    """Serve until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            web.asked[self.path] += 1
            try:
                web.answers.get(self.path, body(b"", status=404))(self)
            except ConnectionError:
                self.close_connection = True  # whoever asked has heard enough

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    web = Web(url=f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
