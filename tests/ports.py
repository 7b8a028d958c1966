"""Ports for servers that tests start."""

import random
import socket

_PORTS = range(15_000, 32_000)
"""Below those that outgoing connections get, which could take the port of a stopped server."""


def free_port() -> int:
    """Return a port of loopback that nobody listens at."""
    while True:
        port = random.SystemRandom().choice(_PORTS)
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
