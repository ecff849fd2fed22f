"""Ports of 127.0.0.1 that stay ours, also while the server that is to listen there starts, or is dead."""

from __future__ import annotations

import socket
import sys

__all__ = ("free_port", "give_back")

_HELD: dict[int, socket.socket] = {}


def free_port() -> int:
    """Return a port on which nothing listens, and which nobody else gets before it is given back.

    A bound socket that does not listen holds it: Linux lets a server bind it beside that (both with
    SO_REUSEADDR, as servers set it), gives it to nobody who asks for any port, and connects nobody from it.
    """
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    port: int = sock.getsockname()[1]
    if sys.platform == "linux":
        _HELD[port] = sock
    else:
        sock.close()
    return port


def give_back(port: int) -> None:
    """Hold a port no longer; any other number is ignored."""
    if (sock := _HELD.pop(port, None)) is not None:
        sock.close()
