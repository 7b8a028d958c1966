"""A way to a server of this machine that can be made slow."""

import socket
import threading
import time
from contextlib import suppress


class SlowProxy:
    """Passes on what clients and a server say, each answer later by `delay_s`.

    Args:
        port: Of the server.
    """

    def __init__(self, port: int) -> None:
        self.delay_s = 0.0
        """Added to every answer: to every statement, and to every step of connecting."""
        self._server_port = port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        """Accept no more."""
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # it was closed
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self._server_port))
                except ConnectionRefusedError:
                    client.close()
                    continue
                for source, target, late in ((client, server, False), (server, client, True)):
                    threading.Thread(
                        target=self._pass_on, args=(source, target, late), daemon=True
                    ).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, late: bool) -> None:
        with suppress(OSError):
            while said := source.recv(1 << 16):
                if late:
                    time.sleep(self.delay_s)
                target.sendall(said)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
