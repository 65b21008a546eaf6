"""A slow line: a relay on loopback that holds every byte back for a while, in both directions."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def slow_line(port: int, *, seconds: float = 0.15) -> Iterator[int]:
    """The port of a relay to `port`; what goes through it comes `seconds` later."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        sockets: list[socket.socket] = []

        def accept() -> None:
            with suppress(OSError):  # the server was closed: no more connections
                while True:
                    here, _ = server.accept()
                    there = socket.create_connection(("127.0.0.1", port))
                    sockets.extend((here, there))
                    for source, target in ((here, there), (there, here)):
                        late: queue.Queue[tuple[float, bytes]] = queue.Queue()
                        _start(_take, source, late, seconds)
                        _start(_give, target, late)

        _start(accept)
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            for end in sockets:
                end.close()


def _start(work: Callable[..., None], *arguments: object) -> None:
    threading.Thread(target=work, args=arguments, daemon=True).start()


def _take(source: socket.socket, late: queue.Queue[tuple[float, bytes]], seconds: float) -> None:
    data = b"."
    while data:
        try:
            data = source.recv(65536)
        except OSError:
            data = b""
        late.put((time.monotonic() + seconds, data))


def _give(target: socket.socket, late: queue.Queue[tuple[float, bytes]]) -> None:
    with suppress(OSError):  # the other side hung up
        while True:
            due, data = late.get()
            time.sleep(max(due - time.monotonic(), 0))
            if not data:
                target.shutdown(socket.SHUT_WR)
                return
            target.sendall(data)
