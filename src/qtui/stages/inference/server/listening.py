"""Where a server listens: bound before the model is loaded, so that a taken port is known at once.

The Unix socket lies in the run's folder; where its path is too long for the kernel (about
a hundred bytes) or the file system has no sockets, in a private temporary folder.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from qtui.errors import ImpossibleError, InputError
from qtui.terminal import clean_line

SOCKET = "serve.sock"
_LONGEST = 100
"""Bytes of a Unix socket's path that every kernel takes."""

BACKLOG = 2048


@dataclass
class Listener:
    """A bound socket. `url` has no path; `path` is that of a Unix socket."""

    socket: socket.socket
    url: str
    path: Path | None = None
    folder: Path | None = None
    """A temporary folder that was made for it."""

    def close(self) -> None:
        """Stop listening and leave nothing behind; a second call does nothing."""
        self.socket.close()
        if self.path is not None:
            self.path.unlink(missing_ok=True)
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


def on_port(host: str, port: int) -> Listener:
    """Listen on `host` and `port`; 0 takes a free one.

    Raises InputError when the port is taken or the address is none of this machine's.
    """
    shown = clean_line(host)
    try:
        found = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise InputError(
            f"{shown} is no address: {error.strerror}",
            remedy="listen on 127.0.0.1, on 0.0.0.0 for all of this machine's, or on a socket",
        ) from error
    # `localhost` is both; IPv4 is what most clients try first.
    family, kind, protocol, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _not_bound(shown, port, error) from error
    bound = listener.getsockname()[1]
    name = f"[{host.strip('[]')}]" if ":" in host else host
    return Listener(listener, f"http://{name}:{bound}")


def _not_bound(host: str, port: int, error: OSError) -> InputError:
    if error.errno == errno.EADDRINUSE:
        return InputError(
            f"port {port} on {host} is in use",
            remedy="--port 0 takes a free one; another server of qtui? See qtui runs list",
        )
    if error.errno == errno.EACCES:
        return InputError(
            f"port {port} may only be used by root", remedy="take one above 1023, such as 8000"
        )
    return InputError(
        f"{host}:{port} cannot be listened on: {error.strerror}",
        remedy="listen on 127.0.0.1, on 0.0.0.0 for all of this machine's, or on a socket",
    )


def on_socket(run_folder: Path) -> Listener:
    """Listen on a Unix socket that nobody else can open, in `run_folder` where that is possible.

    The caller holds the run's lock: a socket that lies there already is a dead server's. Raises
    ImpossibleError on a machine without Unix sockets.
    """
    path = run_folder / SOCKET
    with suppress(OSError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
    if len(os.fsencode(path)) <= _LONGEST:
        with suppress(OSError):
            run_folder.chmod(0o700)  # some systems look at the folder only
            return Listener(_bound(path), "http://localhost", path)
    try:
        folder = Path(tempfile.mkdtemp(prefix="qtui-"))
        return Listener(_bound(folder / SOCKET), "http://localhost", folder / SOCKET, folder)
    except OSError as error:
        raise ImpossibleError(
            f"no Unix socket can be made here: {error.strerror or error}",
            remedy="listen on a port instead: qtui serve --port 0",
        ) from error


def _bound(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)  # from its first moment it is nobody else's
    try:
        listener.bind(str(path))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(before)
    return listener
